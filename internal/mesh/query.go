// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// query answers another replica's query, or hands its message to instances here. What is found is
// decided, and the message handed over, before the next envelope is looked at; only what takes
// longer goes on beside it.
func (m *Mesh) query(origin sio.ReplicaID, request *backplane.QueryRequest) {
	if request.Message != nil {
		m.tell(origin, request)
		return
	}
	switch q := request.Query.(type) {
	case *sio.SetData, *sio.Counted:
		m.send(origin, &backplane.QueryAnswer{ID: request.ID, Found: m.hub.Answer(q)(), Last: true})
		return
	case *sio.FindCall:
		m.findCall(origin, request.ID, q)
		return
	case *sio.RetireService:
		m.send(origin, &backplane.QueryAnswer{ID: request.ID, Found: sio.Found{Retired: m.dispatcher.Retire(q)}, Last: true})
		return
	case *sio.ListAbsent:
		m.send(origin, &backplane.QueryAnswer{ID: request.ID, Found: sio.Found{Absent: m.dispatcher.Absent()}, Last: true})
		return
	}
	if !m.mayGather() {
		m.send(origin, &backplane.QueryAnswer{ID: request.ID, Refused: true, Last: true})
		return
	}
	m.bound(request.Query)
	rest := m.hub.Answer(request.Query)
	m.goroutines.Go(func() { // ends when the answer was sent
		defer m.gathered()
		m.answerQuery(origin, request.ID, rest())
	})
}

// findCall tells what is known of an idempotency key. An answer that is too large for the backplane
// stays here.
func (m *Mesh) findCall(origin sio.ReplicaID, id uint64, q *sio.FindCall) {
	var found sio.Found
	if m.options.Calls != nil {
		found = m.options.Calls.Find(origin, q)
	}
	err := m.publisher.Send(origin, &backplane.QueryAnswer{ID: id, Found: found, Last: true})
	if sio.CodeOf(err) == sio.CodeTooLarge {
		found.Calls[0].Answer = nil
		m.send(origin, &backplane.QueryAnswer{ID: id, Found: found, Last: true})
	}
}

// bound applies this replica's limit to a query of another.
func (m *Mesh) bound(q sio.Query) {
	limit := func(n *int) {
		if *n <= 0 || *n > m.options.MaxQueryResults {
			*n = m.options.MaxQueryResults
		}
	}
	switch q := q.(type) {
	case *sio.FetchSockets:
		limit(&q.Limit)
	case *sio.ListRooms:
		limit(&q.Limit)
	}
}

// tell hands another replica's message to instances here, and answers with their acks when it wants
// them.
func (m *Mesh) tell(origin sio.ReplicaID, request *backplane.QueryRequest) {
	replies := m.dispatcher.TellHere(request.Message)
	if !request.Message.WantAcks {
		return
	}
	asked := replies.Asked()
	if len(asked) == 0 || !m.mayGather() {
		m.send(origin, &backplane.QueryAnswer{ID: request.ID, Asked: asked, Last: true})
		return
	}
	m.send(origin, &backplane.QueryAnswer{ID: request.ID, Asked: asked})
	m.goroutines.Go(func() { // ends with the time of the request, or with the mesh
		defer m.gathered()
		ctx, cancel := context.WithTimeout(m.life, request.Timeout)
		defer cancel()
		m.answerAcks(origin, request.ID, replies.Wait(ctx))
	})
}

// answerQuery sends what was found, in several answers when it is large. A socket or a room that is
// too large for the backplane takes down the answer that it travels in, and the origin learns that
// something is missing.
func (m *Mesh) answerQuery(to sio.ReplicaID, id uint64, found sio.Found) {
	sockets, rooms, truncated := found.Sockets, found.Rooms, found.Truncated
	for last := false; !last; {
		s, size := take(sockets, 0, socketSize)
		r, _ := take(rooms, size, func(x *sio.RoomInfo) int { return len(x.Name) + 16 })
		part := sio.Found{Sockets: sockets[:s], Rooms: rooms[:r], Truncated: truncated}
		sockets, rooms = sockets[s:], rooms[r:]
		last = len(sockets)+len(rooms) == 0
		err := m.publisher.Send(to, &backplane.QueryAnswer{ID: id, Found: part, Last: last})
		if err == nil {
			continue
		}
		m.log.Warn("part of an answer not delivered to the peer that asked", "peer", to, "err", err)
		if truncated = true; last && sio.CodeOf(err) == sio.CodeTooLarge {
			m.send(to, &backplane.QueryAnswer{ID: id, Found: sio.Found{Truncated: true}, Last: true})
		}
	}
}

// answerAcks sends acks of instances in the same way; one that is too large is missing there.
func (m *Mesh) answerAcks(to sio.ReplicaID, id uint64, acks []sio.InstanceAck) {
	for last := false; !last; {
		n, _ := take(acks, 0, func(x *sio.InstanceAck) int { return x.Ack.Size() + 128 })
		part := acks[:n]
		acks = acks[n:]
		last = len(acks) == 0
		err := m.publisher.Send(to, &backplane.QueryAnswer{ID: id, Acks: part, Last: last})
		if err == nil {
			continue
		}
		m.log.Warn("acks not delivered to the peer that asked", "peer", to, "count", n, "err", err)
		if last && sio.CodeOf(err) == sio.CodeTooLarge {
			m.send(to, &backplane.QueryAnswer{ID: id, Last: true})
		}
	}
}

// take tells how many of the items fit into one answer, beside what is in it already, and how large
// it is with them. One fits always when there is nothing yet.
func take[T any](items []T, before int, sizeOf func(*T) int) (n, size int) {
	for size = before; n < len(items) && (size == 0 || size < answerBytes); n++ {
		size += sizeOf(&items[n])
	}
	return n, size
}

func socketSize(s *sio.SocketInfo) int {
	const perSocket, perHeader, perRoom = 256, 8, 4
	size := perSocket + len(s.Auth) + len(s.Data.Value)
	for _, r := range s.Rooms {
		size += len(r) + perRoom
	}
	if h := s.Handshake; h != nil {
		size += len(h.URL)
		for _, x := range h.Headers {
			size += len(x.Name) + len(x.Value) + perHeader
		}
	}
	return size
}
