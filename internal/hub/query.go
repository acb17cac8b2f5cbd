// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"

	"github.com/spanwire/spanwire/internal/sio"
)

// Keeper is a Socket that can describe itself and keep data. Of others only the id and the rooms
// are found.
type Keeper interface {
	// Describe tells what is known of the socket, but for its rooms.
	Describe() sio.SocketInfo
	// Keep puts data in the place of what is there, and tells what is there then. kept is false
	// when ifVersion is not 0 and another version was there, which stays. The value is the socket's
	// from then on.
	Keep(value []byte, ifVersion uint64) (now sio.Data, kept bool)
}

// Query carries the query out in the whole cluster. What is found here is decided, and the other
// replicas are asked, before it returns, so that it is reported as it is before the caller's next
// command. collect, to be called once, gathers the answers until all came or ctx ended; waits tells
// whether that takes longer than a moment. Its error has CodeUnavailable when other replicas could
// not be asked; those that did not answer are listed. What was found is returned beside it.
func (h *Hub) Query(ctx context.Context, q sio.Query) (collect func() (sio.Found, error), waits bool) {
	here := h.Answer(q)
	var others func() (sio.Found, error)
	if !h.answersAlone(q) {
		others = h.publisher.Query(ctx, q)
	}
	if others == nil {
		return func() (sio.Found, error) { return here(), nil }, false
	}
	return func() (sio.Found, error) {
		found := here()
		more, err := others()
		merge(&found, &more, q)
		if _, ok := q.(*sio.SetData); ok && err == nil && found.Set == nil && len(found.Silent) > 0 {
			err = sio.E(sio.CodeDeadline, "query", "the socket's replica did not answer; the data may have been kept or not")
		}
		if _, ok := q.(*sio.Counted); ok && err != nil {
			return found, h.unavailable("execute", err)
		}
		if err != nil {
			h.metrics.PublishFailures.Inc()
			err = &sio.Error{Code: sio.CodeUnavailable, Op: "query", Message: "other replicas could not be reached", Cause: err}
		}
		return found, err
	}, true
}

// answersAlone tells whether no other replica can know more.
func (h *Hub) answersAlone(q sio.Query) bool {
	switch q := q.(type) {
	case *sio.FetchSockets:
		return h.staysHere(&q.Target)
	case *sio.ListRooms:
		return q.Local
	case *sio.Counted:
		return h.staysHere(q.Command.To())
	case *sio.SetData:
		replica, ok := q.Socket.Replica()
		return !ok || replica == h.replica // what has not the form of an id is none
	}
	return true
}

// merge adds what other replicas found. Rooms of the same name are one room.
func merge(found, more *sio.Found, q sio.Query) {
	found.Truncated = found.Truncated || more.Truncated
	found.Silent = more.Silent
	found.Reached += more.Reached
	if more.Set != nil {
		found.Set, found.Conflict = more.Set, more.Conflict
	}
	found.Sockets = append(found.Sockets, more.Sockets...)
	if f, ok := q.(*sio.FetchSockets); ok && f.Limit > 0 && len(found.Sockets) > f.Limit {
		found.Sockets, found.Truncated = found.Sockets[:f.Limit], true
	}
	l, ok := q.(*sio.ListRooms)
	if !ok || len(more.Rooms) == 0 {
		return
	}
	at := make(map[sio.Room]int, len(found.Rooms)+len(more.Rooms))
	for i, r := range found.Rooms {
		at[r.Name] = i
	}
	for _, r := range more.Rooms {
		i, known := at[r.Name]
		switch {
		case known:
			found.Rooms[i].Sockets += r.Sockets
		case l.Limit > 0 && len(found.Rooms) == l.Limit:
			found.Truncated = true
		default:
			at[r.Name] = len(found.Rooms)
			found.Rooms = append(found.Rooms, r)
		}
	}
}

// Answer carries the query out on this replica only. Which sockets and rooms are found is decided
// before it returns; the rest, to be called once, gathers what is known of them.
func (h *Hub) Answer(q sio.Query) (rest func() sio.Found) {
	switch q := q.(type) {
	case *sio.FetchSockets:
		h.metrics.Fetches.Inc()
		return h.fetch(q)
	case *sio.ListRooms:
		h.metrics.RoomLists.Inc()
		found := h.listRooms(q)
		return func() sio.Found { return found }
	case *sio.SetData:
		h.metrics.DataSets.Inc()
		found := h.setData(q)
		return func() sio.Found { return found }
	case *sio.Counted:
		reached := h.Apply(q.Command)
		return func() sio.Found { return sio.Found{Reached: reached} }
	}
	return func() sio.Found { return sio.Found{} }
}

// located is a socket and the rooms that it is in.
type located struct {
	socket Socket
	rooms  []sio.Room
}

func (h *Hub) fetch(q *sio.FetchSockets) (rest func() sio.Found) {
	var all []located
	var found sio.Found
	if n := h.namespace(q.Target.Namespace); n != nil {
		all, found.Truncated = n.locate(&q.Target, q.Limit)
	}
	return func() sio.Found {
		found.Sockets = make([]sio.SocketInfo, len(all))
		for i, l := range all {
			info := &found.Sockets[i]
			if k, ok := l.socket.(Keeper); ok {
				*info = k.Describe()
			}
			info.ID, info.Rooms, info.Replica = l.socket.ID(), l.rooms, h.replica
			if !q.Credentials {
				info.Handshake, info.Auth = info.Handshake.Discreet(), nil
			}
		}
		return found
	}
}

// locate gives the target's sockets, and tells whether there are more than the limit. A limit of 0
// is none.
func (n *namespace) locate(t *sio.Target, limit int) (all []located, more bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	n.eachLocked(t, func(m *member) {
		if limit > 0 && len(all) == limit {
			more = true
			return
		}
		all = append(all, located{m.socket, m.roomsLocked()})
	})
	return all, more
}

func (h *Hub) listRooms(q *sio.ListRooms) (found sio.Found) {
	n := h.namespace(q.Namespace)
	if n == nil {
		return found
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	add := func(r sio.Room, sockets int) {
		if q.Limit > 0 && len(found.Rooms) == q.Limit {
			found.Truncated = true
			return
		}
		found.Rooms = append(found.Rooms, sio.RoomInfo{Name: r, Sockets: sockets})
	}
	for r, members := range n.rooms {
		if n.sockets[sio.SocketID(r)] == nil {
			add(r, len(members))
		}
	}
	if q.IncludeOwn {
		for id := range n.sockets {
			add(id.Room(), 1+len(n.rooms[id.Room()]))
		}
	}
	return found
}

func (h *Hub) setData(q *sio.SetData) (found sio.Found) {
	s := h.socket(q.Namespace, q.Socket)
	k, ok := s.(Keeper)
	if !ok {
		return found
	}
	now, kept := k.Keep(q.Data, q.IfVersion)
	if !kept {
		h.metrics.DataConflicts.Inc()
	}
	return sio.Found{Set: &now, Conflict: !kept}
}

// socket is nil when the socket is not here.
func (h *Hub) socket(ns sio.Namespace, id sio.SocketID) Socket {
	n := h.namespace(ns)
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if m := n.sockets[id]; m != nil {
		return m.socket
	}
	return nil
}
