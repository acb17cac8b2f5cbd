// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"sync"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// borrowed is an instance of another replica that serves sockets of this one. It implements Remote.
type borrowed struct {
	mesh       *Mesh
	replica    sio.ReplicaID
	instance   sio.InstanceID
	generation uint64
	lease      uint64
	draining   bool // guarded by the mesh's changing

	ready      chan struct{} // closed when attachment is set
	attachment Attachment    // nil when the dispatcher refused it

	resolving sync.Mutex // held while results are handed to the attachment

	mu    sync.Mutex
	queue []backplane.Dispatch // guarded by mu; bounded by the instance's window
	// guarded by mu; sockets that go to other instances; announced before what is queued
	released []sio.SocketID
	sending  bool // guarded by mu; some goroutine has the writer's role
	broken   bool // guarded by mu; nothing can be sent any more

	sent uint64 // batches; owned by the goroutine in the writer's role
}

// maxReleased bounds the sockets that one batch releases, so that it stays small.
const maxReleased = 1000

// batchBytes is about how large a batch of dispatches becomes before it is sent.
const batchBytes = 256 << 10

// reconcileLocked makes the instances that are borrowed those that should be: each that some other
// replica has and this one has not, from one replica only, as long as that has it. One that
// attached here meanwhile finishes first what it was given there.
func (m *Mesh) reconcileLocked() {
	wanted := m.wantedLocked()
	for id, b := range m.borrowed {
		if w := wanted[id]; w != nil && w.kept {
			delete(wanted, id)
			if b.followLocked(w) {
				continue
			}
		}
		m.giveBackLocked(b)
	}
	for _, w := range wanted {
		m.borrowLocked(w)
	}
}

type wanted struct {
	replica sio.ReplicaID
	offer   *offer
	kept    bool // it is borrowed from there already
	here    bool // it is attached here itself
}

func (m *Mesh) wantedLocked() map[sio.InstanceID]*wanted {
	if len(m.members) == 0 {
		return nil
	}
	here := make(map[sio.InstanceID]bool)
	for _, i := range m.dispatcher.Attached() {
		here[i.Register.Instance] = true
	}
	all := make(map[sio.InstanceID]*wanted)
	for replica, x := range m.members {
		for id, o := range x.offers {
			b := m.borrowed[id]
			// what is borrowed stays where it is
			kept := b != nil && b.replica == replica && b.generation == o.Generation
			if (here[id] || o.Draining) && !kept {
				continue
			}
			if w := all[id]; w == nil || kept || !w.kept && replica < w.replica {
				all[id] = &wanted{replica, o, kept, here[id]}
			}
		}
	}
	return all
}

func (m *Mesh) borrowLocked(w *wanted) {
	m.leases++
	b := &borrowed{
		mesh: m, replica: w.replica, instance: w.offer.Register.Instance, generation: w.offer.Generation, lease: m.leases,
		ready: make(chan struct{}),
	}
	m.mu.Lock()
	m.borrowed[b.instance] = b
	m.mu.Unlock()
	attachment, err := m.dispatcher.Attach(w.offer.Register, b)
	if err == nil {
		b.attachment = attachment
		m.metrics.Instances.Inc()
	}
	close(b.ready)
	if err == nil {
		m.log.Info("remote instance attached", "instance", b.instance, "service", w.offer.Register.Service, "peer", b.replica)
		return
	}
	m.forgetLocked(b)
	if !w.offer.refused {
		w.offer.refused = true
		m.metrics.Rejected.Inc()
		m.log.Warn("remote instance rejected", "instance", b.instance, "peer", b.replica, "err", err)
	}
}

// followLocked passes the instance's new registrations to the dispatcher, or that it drains. It
// returns false when the instance is not needed any more.
func (b *borrowed) followLocked(w *wanted) (needed bool) {
	o := w.offer
	if w.here || o.Draining {
		b.draining = true // for good: when it is needed again, it is borrowed again
	}
	if b.draining {
		select {
		case <-b.attachment.Drain():
			return o.Draining && !w.here // then it leaves by itself
		default:
			return true
		}
	}
	if !o.changed {
		return true
	}
	o.changed = false
	if err := b.attachment.Declare(o.Register.Namespaces); err != nil {
		b.mesh.log.Warn("registrations of a remote instance rejected", "instance", b.instance, "peer", b.replica, "err", err)
	}
	return true
}

func (m *Mesh) giveBackLocked(b *borrowed) {
	b.mu.Lock()
	b.breakLocked()
	b.mu.Unlock()
	m.forgetLocked(b)
	m.metrics.Instances.Dec()
	b.attachment.Detach()
	m.log.Info("remote instance detached", "instance", b.instance, "peer", b.replica)
}

func (m *Mesh) forgetLocked(b *borrowed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.borrowed, b.instance)
}

// reset redelivers all dispatches that are open at the replica, since some of them or of their
// results were lost.
func (m *Mesh) reset(replica sio.ReplicaID) {
	m.changing.Lock()
	defer m.changing.Unlock()
	some := false
	for _, b := range m.borrowed {
		if b.replica == replica {
			m.giveBackLocked(b)
			some = true
		}
	}
	if some {
		m.metrics.Resets.Inc()
		m.log.Warn("envelopes lost between this replica and a peer; redelivering its dispatches", "peer", replica)
		m.reconcileLocked()
	}
}

// resolve takes results that an instance of another replica sent.
func (m *Mesh) resolve(origin sio.ReplicaID, batch *backplane.ResultBatch) {
	m.mu.Lock()
	b := m.borrowed[batch.Instance]
	m.mu.Unlock()
	if b == nil || b.replica != origin || b.generation != batch.Generation {
		m.metrics.Unresolved.Add(float64(len(batch.Results)))
		return
	}
	<-b.ready // set before long: Attach does not block
	if b.attachment == nil {
		m.metrics.Unresolved.Add(float64(len(batch.Results)))
		return
	}
	b.resolving.Lock()
	defer b.resolving.Unlock()
	for i := range batch.Results {
		r := &batch.Results[i]
		if err := b.attachment.Resolve(r.ID, r.Result); err != nil {
			m.metrics.Unresolved.Inc()
			m.log.Debug("result of a peer matches no open dispatch", "dispatch", r.ID, "err", err)
			continue
		}
		m.metrics.Resolved.Inc()
	}
	b.attachment.Flush()
}

// Queue implements Remote.
func (b *borrowed) Queue(d *backplane.Dispatch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.broken {
		b.queue = append(b.queue, *d)
	}
}

// Release implements Remote.
func (b *borrowed) Release(socket sio.SocketID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.broken {
		b.released = append(b.released, socket)
	}
}

func (b *borrowed) breakLocked() { b.broken, b.queue, b.released = true, nil, nil }

// Flush implements Remote. A caller that comes while another goroutine sends leaves what is queued
// to that one, so batches grow with load.
func (b *borrowed) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending {
		return
	}
	b.sending = true
	defer func() { b.sending = false }()
	for len(b.queue)+len(b.released) > 0 && !b.broken {
		queue, released := b.queue, b.released
		b.queue, b.released = nil, nil
		b.mu.Unlock()
		err := b.send(queue, released)
		b.mu.Lock()
		if err != nil {
			b.breakLocked()
			b.mesh.later(func() { b.mesh.breakLocked(b, err) })
		}
	}
}

// send sends the dispatches in batches. One that is too large by itself is given up, since it would
// be too large the next time too.
func (b *borrowed) send(queue []backplane.Dispatch, released []sio.SocketID) error {
	for len(queue)+len(released) > 0 {
		n := dispatchesThatFit(queue)
		r := min(len(released), maxReleased)
		if len(released) > r {
			n = 0 // what is queued may introduce one of them again
		}
		batch := &backplane.DispatchBatch{
			Instance: b.instance, Generation: b.generation, Lease: b.lease, Sequence: b.sent + 1, Dispatches: queue[:n], Released: released[:r],
		}
		released = released[r:]
		err := b.mesh.publisher.Send(b.replica, batch)
		if err == nil {
			b.sent++
		}
		if sio.CodeOf(err) == sio.CodeTooLarge && n == 1 {
			b.mesh.metrics.Unsent.Inc()
			id, message := queue[0].ID, err.Error()
			b.mesh.later(func() { b.giveUp(id, message) })
			err = nil
		} else if err == nil {
			b.mesh.metrics.Sent.Add(float64(n))
		}
		if err != nil {
			b.mesh.metrics.Unsent.Add(float64(len(queue)))
			return err
		}
		queue = queue[n:]
	}
	return nil
}

func (b *borrowed) giveUp(id sio.DispatchID, message string) {
	<-b.ready
	if b.attachment == nil {
		return
	}
	b.resolving.Lock()
	defer b.resolving.Unlock()
	b.mesh.log.Warn("dispatch dropped: too large for the backplane", "setting", "max-envelope", "instance", b.instance, "peer", b.replica, "err", message)
	if err := b.attachment.Resolve(id, sio.Result{Outcome: sio.Abandoned, Message: message}); err == nil {
		b.attachment.Flush()
	}
}

// breakLocked gives the instance back since its replica cannot be reached; the next heartbeat
// offers it again.
func (m *Mesh) breakLocked(b *borrowed, err error) {
	if m.borrowed[b.instance] != b {
		return
	}
	m.log.Warn("dispatches not sent to a peer", "instance", b.instance, "peer", b.replica, "err", err)
	m.giveBackLocked(b)
	if x := m.members[b.replica]; x != nil {
		delete(x.offers, b.instance)
	}
}

func dispatchesThatFit(queue []backplane.Dispatch) int {
	size := 0
	for i := range queue {
		size += dispatchSize(&queue[i])
		if size > batchBytes {
			return max(i, 1)
		}
	}
	return len(queue)
}

func dispatchSize(d *backplane.Dispatch) int {
	size := 128
	if d.Event != nil {
		size += d.Event.Size() + 16*len(d.Event.Attachments)
	}
	for _, r := range d.Rooms {
		size += len(r) + 8
	}
	if d.Introduction != nil {
		size += 512 + len(d.Introduction.Auth) + len(d.Introduction.Data.Value)
		if h := d.Introduction.Handshake; h != nil {
			size += len(h.URL)
			for _, header := range h.Headers {
				size += len(header.Name) + len(header.Value) + 8
			}
		}
	}
	return size
}
