// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/spanwire/spanwire/internal/sio"
)

// Others reaches the instances of the other replicas.
type Others interface {
	// Tell sends the message to the other replicas before it returns. collect, to be called once,
	// gathers the acks of their instances, if the message wants any, until all came or ctx ended.
	// What came is valid also beside an error.
	Tell(ctx context.Context, m *sio.Message) (collect func() (sio.InstanceAcks, error))
	// Query asks the other replicas before it returns. collect, to be called once, gathers what
	// they found until all answered or ctx ended, and names those that did not. It is nil when
	// nobody is asked.
	Query(ctx context.Context, q sio.Query) (collect func() (sio.Found, error))
}

// Tell hands the message to every other instance in the cluster that registered for it, at most
// once per replica that the instance is attached to, before it returns. collect, to be called once,
// waits until all answered or left, or ctx ended, if the message wants acks; else it returns at
// once. Its error has CodeUnavailable when the other replicas could not be reached.
func (d *Dispatcher) Tell(ctx context.Context, m *sio.Message) (collect func() (sio.InstanceAcks, error)) {
	m.ID = d.nextID()
	m.Served = append(m.Served, m.Sender.Instance)
	here := d.TellHere(m)
	for _, a := range here.Asked() {
		m.Served = append(m.Served, a.Instance)
	}
	if d.options.Others == nil {
		return func() (sio.InstanceAcks, error) {
			came := here.Wait(ctx)
			return sio.InstanceAcks{Came: came, Missing: here.missing(came)}, nil
		}
	}
	others := d.options.Others.Tell(ctx, m)
	return func() (sio.InstanceAcks, error) {
		came := here.Wait(ctx)
		acks, err := others()
		acks.Came = append(came, acks.Came...)
		acks.Missing += here.missing(came)
		if err != nil {
			err = &sio.Error{Code: sio.CodeUnavailable, Op: "server-side emit", Message: "instances here got it, but other replicas could not " +
				"be reached", Cause: err}
		}
		return acks, err
	}
}

// TellHere hands the message to the instances that are attached here. It does not wait for them.
// Messages wait for an instance's window in turn with its sockets, those of a namespace as if they
// were of one socket.
func (d *Dispatcher) TellHere(m *sio.Message) *Replies {
	r := &Replies{wanted: m.WantAcks, settled: make(chan struct{}), pending: make(map[sio.InstanceID]sio.ServiceName)}
	all := d.addressees(m)
	for _, a := range all {
		who := sio.Addressee{Service: a.service.name, Instance: a.register.Instance}
		r.asked = append(r.asked, who)
		if m.WantAcks {
			r.pending[who.Instance] = who.Service
		}
	}
	if len(r.pending) == 0 {
		close(r.settled)
	}
	for _, a := range all {
		a.tell(m, r)
	}
	return r
}

// addressees gives the attachments here that take the message.
func (d *Dispatcher) addressees(m *sio.Message) (all []*Attachment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, a := range d.local {
		switch {
		case len(m.Services) > 0 && !slices.Contains(m.Services, a.service.name):
		case slices.Contains(m.Served, id) || a.isDraining():
		case slices.ContainsFunc(a.declared.Namespaces, func(reg sio.Registration) bool {
			return reg.Covers(m.Namespace) && reg.TakesMessage(m.Event.Name)
		}):
			all = append(all, a)
		}
	}
	return all
}

// noSocket stands for the socket that a message has not.
type noSocket struct{ namespace sio.Namespace }

// ID implements Socket.
func (noSocket) ID() sio.SocketID { return "" }

// Namespace implements Socket.
func (n noSocket) Namespace() sio.Namespace { return n.namespace }

// Introduction implements Socket.
func (noSocket) Introduction() Introduction { return Introduction{} }

// Acknowledge implements Socket.
func (noSocket) Acknowledge(sio.AckID, sio.Ack) {}

// Flush implements Socket.
func (noSocket) Flush() {}

// tell queues the message for the instance, or drops it when too much is waiting there.
func (a *Attachment) tell(m *sio.Message, r *Replies) {
	s := a.service
	who := sio.Addressee{Service: s.name, Instance: a.register.Instance}
	s.mu.Lock()
	if full := a.crammedLocked(); full || !a.takes() {
		s.mu.Unlock()
		if full {
			a.d.metrics.DroppedMessage.Inc()
		}
		r.left(who)
		return
	}
	dp := newDispatch()
	dp.ID, dp.Socket, dp.Kind, dp.WantsAck, dp.Sender = m.ID, noSocket{m.Namespace}, Message, m.WantAcks, m.Sender
	dp.event = m.Event
	dp.Event = &dp.event
	dp.size = overhead + m.Event.Size()
	dp.resolved = func(_ sio.DispatchID, result sio.Result) { r.resolved(who, &result) }
	dp.share, dp.concurrent = messageShare, true
	a.receiveLocked(dp, remoteLane{namespace: m.Namespace})
	s.unlockAndFlush()
}

// Replies gathers the acks of the instances here to one message. It is settled when each has
// answered, or will not answer.
type Replies struct {
	// fixed when TellHere returned
	asked   []sio.Addressee
	wanted  bool
	settled chan struct{}

	mu      sync.Mutex // a leaf: no other lock is taken under it
	pending map[sio.InstanceID]sio.ServiceName
	came    []sio.InstanceAck
}

// Asked lists the instances that the message was handed to.
func (r *Replies) Asked() []sio.Addressee { return r.asked }

// Wait gives what came until all have answered or left, or ctx ended. It must be called once.
func (r *Replies) Wait(ctx context.Context) []sio.InstanceAck {
	select {
	case <-r.settled:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = nil // what comes now is too late
	return r.came
}

func (r *Replies) missing(came []sio.InstanceAck) int {
	if !r.wanted {
		return 0
	}
	return len(r.asked) - len(came)
}

func (r *Replies) resolved(who sio.Addressee, result *sio.Result) {
	if result.Outcome != sio.Answered {
		r.left(who)
		return
	}
	ack := sio.Ack{Args: bytes.Clone(result.Ack.Args)}
	for _, a := range result.Ack.Attachments {
		ack.Attachments = append(ack.Attachments, bytes.Clone(a))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settleLocked(who) {
		r.came = append(r.came, sio.InstanceAck{Addressee: who, Ack: ack})
	}
}

func (r *Replies) left(who sio.Addressee) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settleLocked(who)
}

func (r *Replies) settleLocked(who sio.Addressee) bool {
	if _, awaited := r.pending[who.Instance]; !awaited {
		return false
	}
	delete(r.pending, who.Instance)
	if len(r.pending) == 0 {
		close(r.settled)
	}
	return true
}
