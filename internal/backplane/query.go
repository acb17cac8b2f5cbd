// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"context"
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// query collects what other replicas answer to one question. The publisher's lock guards it.
type query struct {
	settled chan struct{} // closed when nothing more is awaited
	limit   int           // of sockets, and of rooms; 0 is none
	awaited map[sio.ReplicaID]struct{}
	found   sio.Found
	asked   map[sio.InstanceID]bool // whether the instance answered
	acks    []sio.InstanceAck
	done    bool
}

func (q *query) answered(replica sio.ReplicaID, a *QueryAnswer) {
	if _, awaited := q.awaited[replica]; !awaited {
		return
	}
	q.add(&a.Found)
	for _, x := range a.Asked {
		if _, known := q.asked[x.Instance]; !known {
			q.asked[x.Instance] = false
		}
	}
	for _, x := range a.Acks {
		if !q.asked[x.Instance] { // one that is attached to several replicas counts once
			q.asked[x.Instance] = true
			q.acks = append(q.acks, x)
		}
	}
	switch {
	case a.Refused:
		delete(q.awaited, replica)
		q.found.Silent = append(q.found.Silent, replica)
		q.settle()
	case a.Last:
		q.left(replica, false)
	}
}

// add takes over what a replica found, as far as the limit allows.
func (q *query) add(f *sio.Found) {
	sockets, rooms := f.Sockets, f.Rooms
	if q.limit > 0 {
		sockets = sockets[:min(len(sockets), q.limit-len(q.found.Sockets))]
		// of each answer: rooms of several replicas may be the same
		rooms = rooms[:min(len(rooms), q.limit)]
	}
	q.found.Truncated = q.found.Truncated || f.Truncated || len(sockets) < len(f.Sockets) || len(rooms) < len(f.Rooms)
	q.found.Sockets = append(q.found.Sockets, sockets...)
	q.found.Rooms = append(q.found.Rooms, rooms...)
	q.found.Calls = append(q.found.Calls, f.Calls...)
	q.found.Reached += f.Reached
	q.found.Retired.Add(&f.Retired)
	q.found.Absent = append(q.found.Absent, f.Absent...)
	if f.Set != nil {
		q.found.Set, q.found.Conflict = f.Set, f.Conflict
	}
}

// left ends the wait for a replica that has answered, or is gone: silently when it did not say what
// it had.
func (q *query) left(replica sio.ReplicaID, silently bool) {
	if _, awaited := q.awaited[replica]; awaited && silently {
		q.found.Silent = append(q.found.Silent, replica)
	}
	delete(q.awaited, replica)
	q.settle()
}

func (q *query) settle() {
	if len(q.awaited) == 0 && !q.done {
		q.done = true
		close(q.settled)
	}
}

// silent adds those that are still awaited to the silent ones.
func (q *query) silent() []sio.ReplicaID {
	for replica := range q.awaited {
		q.found.Silent = append(q.found.Silent, replica)
	}
	slices.Sort(q.found.Silent)
	return q.found.Silent
}

// Query implements hub.Publisher. ctx should have a deadline.
func (p *Publisher) Query(ctx context.Context, x sio.Query) (collect func() (sio.Found, error)) {
	limit, to := 0, sio.ReplicaID("")
	switch x := x.(type) {
	case *sio.FetchSockets:
		limit, to = x.Limit, p.destination(&x.Target)
	case *sio.ListRooms:
		limit = x.Limit
	case *sio.Counted:
		to = p.destination(x.Command.To())
	case *sio.SetData:
		to = p.destination(&sio.Target{Rooms: []sio.Room{x.Socket.Room()}})
	}
	q, id, nobody := p.openQuery(to, limit)
	_, command := x.(*sio.Counted)
	if command {
		q.found.Silent = p.lostTrack(to)
	}
	if nobody && !command { // a command is for replicas too that are not known yet
		p.closeQuery(id)
		return nil
	}
	err := p.askQuery(to, &QueryRequest{ID: id, Timeout: answerTimeout(ctx), Query: x})
	return func() (sio.Found, error) {
		p.collect(ctx, q, id, err)
		if command && err != nil {
			err = p.partial(to, err)
		}
		return q.found, err
	}
}

// Tell implements dispatch.Others. ctx should have a deadline when the message wants acks.
func (p *Publisher) Tell(ctx context.Context, m *sio.Message) (collect func() (sio.InstanceAcks, error)) {
	if !m.WantAcks {
		err := p.askQuery("", &QueryRequest{Message: m})
		return func() (sio.InstanceAcks, error) { return sio.InstanceAcks{}, err }
	}
	q, id, _ := p.openQuery("", 0)
	err := p.askQuery("", &QueryRequest{ID: id, Timeout: answerTimeout(ctx), Message: m})
	return func() (sio.InstanceAcks, error) {
		p.collect(ctx, q, id, err)
		acks := sio.InstanceAcks{Came: q.acks, Silent: q.found.Silent}
		for _, answered := range q.asked {
			if !answered {
				acks.Missing++
			}
		}
		return acks, err
	}
}

func (p *Publisher) askQuery(to sio.ReplicaID, request *QueryRequest) error {
	p.FlushResults()
	return p.Send(to, request)
}

// collect waits for the answers, unless asking failed. Afterwards nobody else touches q.
func (p *Publisher) collect(ctx context.Context, q *query, id uint64, asked error) {
	if asked == nil {
		select {
		case <-q.settled:
		case <-ctx.Done():
		}
	}
	p.closeQuery(id)
	if silent := q.silent(); asked == nil {
		p.metrics.QueriesFailed.Add(float64(len(silent)))
	}
}

// QueryAnswered takes a replica's answer to what Query or Tell asked. Answers that nobody waits for
// do nothing.
func (p *Publisher) QueryAnswered(replica sio.ReplicaID, a *QueryAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.queries[a.ID]; q != nil {
		q.answered(replica, a)
	}
}

// openQuery tells also whether nobody is to be waited for.
func (p *Publisher) openQuery(to sio.ReplicaID, limit int) (q *query, id uint64, nobody bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q = &query{
		settled: make(chan struct{}), limit: limit, awaited: make(map[sio.ReplicaID]struct{}), asked: make(map[sio.InstanceID]bool),
	}
	for r := range p.replicas {
		if to == "" || to == r {
			q.awaited[r] = struct{}{}
		}
	}
	q.settle()
	p.lastID++
	p.queries[p.lastID] = q
	p.metrics.QueriesOpen.Inc()
	return q, p.lastID, q.done
}

func (p *Publisher) closeQuery(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.queries, id)
	p.metrics.QueriesOpen.Dec()
}
