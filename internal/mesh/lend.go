// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"maps"
	"sync"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// lent are the dispatches of other replicas that are open at instances here. A replica that lost
// envelopes may redeliver one that is still open: its result is to come, and a second run would be
// of no use.
type lent struct {
	mu     sync.Mutex
	open   map[lentTo]map[sio.DispatchID]struct{} // guarded by mu
	leases map[borrower]*lease                    // guarded by mu
}

// borrower is another replica that uses an instance here.
type borrower struct {
	origin   sio.ReplicaID
	instance sio.InstanceID
}

// lease is one time that it does.
type lease struct{ number, batches uint64 }

// accept tells whether the batch follows the one before. What follows a gap must be redelivered, in
// another lease; taken now, it would overtake what was lost.
func (l *lent) accept(origin sio.ReplicaID, b *backplane.DispatchBatch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	who := borrower{origin, b.Instance}
	x := l.leases[who]
	if x == nil || b.Lease > x.number {
		x = &lease{number: b.Lease}
		l.leases[who] = x
	}
	if b.Lease != x.number || b.Sequence != x.batches+1 {
		return false
	}
	x.batches++
	return true
}

// forget drops what is known of a replica's leases.
func (l *lent) forget(origin sio.ReplicaID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.leases, func(who borrower, _ *lease) bool { return who.origin == origin })
}

// lentTo is one attachment of an instance here.
type lentTo struct {
	instance   sio.InstanceID
	generation uint64
}

// add tells whether the dispatch was not open yet.
func (l *lent) add(to lentTo, id sio.DispatchID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[to] == nil {
		l.open[to] = make(map[sio.DispatchID]struct{})
	}
	if _, open := l.open[to][id]; open {
		return false
	}
	l.open[to][id] = struct{}{}
	return true
}

// done tells whether the dispatch was open.
func (l *lent) done(to lentTo, id sio.DispatchID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[to][id]; !open {
		return false
	}
	delete(l.open[to], id)
	if len(l.open[to]) == 0 {
		delete(l.open, to)
	}
	return true
}

// keep drops what is open at attachments other than those.
func (l *lent) keep(here map[lentTo]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for to := range l.open {
		if !here[to] {
			delete(l.open, to)
		}
	}
}

// lend hands another replica's dispatches to an instance here. When the instance is not here any
// more, the origin learns so from the heartbeat that announces all, and gives them elsewhere.
func (m *Mesh) lend(origin sio.ReplicaID, batch *backplane.DispatchBatch) {
	if !m.lent.accept(origin, batch) {
		m.metrics.Undeliverable.Add(float64(len(batch.Dispatches)))
		return
	}
	to := lentTo{batch.Instance, batch.Generation}
	for _, socket := range batch.Released {
		m.remoteLanes.forget(origin, remoteLane{to, socket})
		m.dispatcher.Release(batch.Instance, batch.Generation, socket)
	}
	for i := range batch.Dispatches {
		d := &batch.Dispatches[i]
		if !m.lent.add(to, d.ID) {
			continue
		}
		who := remoteLane{to, d.Socket}
		// first, since the result may come at once
		m.remoteLanes.met(origin, who, d, m.wantsDisconnect)
		kind := d.Kind
		err := m.dispatcher.DispatchRemote(batch.Instance, batch.Generation, d, func(id sio.DispatchID, r sio.Result) {
			if kind == backplane.KindConnect && r.Outcome != sio.Handled && r.Outcome != sio.Answered {
				m.remoteLanes.forget(origin, who)
			}
			m.bringBack(origin, to, id, r)
		})
		switch sio.CodeOf(err) {
		case 0:
			m.metrics.Received.Inc()
		case sio.CodeNotFound:
			m.metrics.Undeliverable.Inc()
			m.lent.done(to, d.ID)
			m.remoteLanes.forget(origin, who)
		default:
			m.metrics.Overflowed.Inc()
			m.log.Warn("dispatch of a peer dropped", "instance", batch.Instance, "peer", origin, "err", err)
			m.bringBack(origin, to, d.ID, sio.Result{Outcome: sio.Abandoned, Message: err.Error()})
		}
	}
	m.dispatcher.Flush(batch.Instance)
}

// bringBack sends a result to the replica that owns the socket. While results are being sent others
// gather, so batches grow with load and a lone result does not wait.
func (m *Mesh) bringBack(origin sio.ReplicaID, from lentTo, id sio.DispatchID, r sio.Result) {
	if !m.lent.done(from, id) {
		return
	}
	m.publisher.QueueResult(origin, from.instance, from.generation, backplane.Result{ID: id, Result: r})
	wake(m.results)
}

// sendResults sends the results that instances gave to other replicas' dispatches, until Stop.
func (m *Mesh) sendResults() {
	for {
		select {
		case <-m.life.Done():
			m.publisher.FlushResults()
			return
		case <-m.results:
			m.publisher.FlushResults()
		}
	}
}
