// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/sio"
)

// DecisionKind is the outcome of a connect.
type DecisionKind uint8

const (
	// Accepted means that every service that was asked accepted.
	Accepted DecisionKind = iota + 1
	// Refused means that a service refused the socket, or could not say.
	Refused
	// UnknownNamespace means that no service ever registered the namespace, while others are known.
	UnknownNamespace
	// NamespacesFull means that there are too many namespaces by pattern to let another one come
	// into being.
	NamespacesFull
	// Away means that the namespace's services stayed away for longer than Options.ConnectHold. The
	// client is to try again.
	Away
)

// Decision is the outcome of a connect, with its facts.
type Decision struct {
	Kind    DecisionKind
	Message string          // Refused
	Data    []byte          // Refused: one JSON value, or nil
	Service sio.ServiceName // Refused: by whom
}

const (
	refusedMessage = "Connection rejected by server" // when the service gave none
	// The service failed. Its own error text is not sent.
	failedMessage = "Connection failed"
)

// Binding is what the dispatcher knows of one socket, from its connect to its disconnect.
type Binding struct {
	d      *Dispatcher
	socket Socket
	// of the same id before, which the services may not have heard the end of; nil for most
	after *Binding

	ns atomic.Pointer[namespace] // nil until the namespace is known; stored under mu

	mu      sync.Mutex // guards what follows; no other lock is taken under it
	decided func(Decision)
	later   [][]*service // to be asked when those that were asked have accepted
	pending int          // services that have not answered the connect
	closed  bool
	used    bool
	first   lane // spares an allocation: most sockets have to do with one service
	more    []*lane
}

// ConnectAfter asks every service that registered connect for the socket's namespace, in groups of
// ascending order, until one refuses. decided is called once, at the latest when the services have
// been away for Options.ConnectHold, unless Binding.Disconnect comes first. It may be called before
// ConnectAfter returns, and is never called under a lock.
//
// old is the binding of a socket that comes back under its old id, and nil for a new one. The
// services finish with the old one, whose Disconnect was called, before they hear of the new one.
func (d *Dispatcher) ConnectAfter(old *Binding, s Socket, decided func(Decision)) *Binding {
	for old != nil && old.finished() {
		old = old.after
	}
	b := &Binding{d: d, socket: s, after: old, decided: decided}
	d.admit(b)
	return b
}

// Dispatch gives the event to the services that registered for it, each in the order of the calls.
// The event's bytes are the dispatcher's from then on; the Event itself may be reused. It blocks
// while the socket's queue for a service is full, until ctx ends (CodeDeadline) or the socket
// disconnects (CodeClosed). An event that no service registered for is counted, not an error.
func (b *Binding) Dispatch(ctx context.Context, ev *sio.Event, ack sio.AckID, wantsAck bool) error {
	routes := b.routes().find(ev.Name)
	if len(routes) == 0 {
		b.d.reportUnhandled(b.socket.Namespace(), ev.Name)
		b.noteUnhandled(ev)
		return nil
	}
	var first *atomic.Bool
	if wantsAck && len(routes) > 1 {
		first = new(atomic.Bool)
	}
	for _, r := range routes {
		l := b.lane(r.service)
		if l == nil {
			return errGone()
		}
		if err := l.offer(ctx, r, ev, ack, wantsAck, first); err != nil {
			return err
		}
	}
	return nil
}

// Disconnect says that the socket is gone. Events that are queued are still handed out. Each
// service that accepted the socket or was given events of it is notified after those, if it asked
// for disconnects: the reason, and the rooms that the socket was in. Calls after the first do
// nothing.
func (b *Binding) Disconnect(reason sio.Reason, rooms ...sio.Room) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	lanes := b.closeLocked()
	b.decided = nil
	b.mu.Unlock()
	b.d.release(b)
	gone := &departure{reason, rooms}
	for _, l := range lanes {
		l.leave(gone)
	}
	b.d.namespaces.leave(b.ns.Load())
}

// enter lets the socket into its namespace, or says why not. Of a namespace that is not known yet
// it says nothing.
func (b *Binding) enter() (refusal DecisionKind) {
	if p := b.ns.Load(); p != nil {
		if p.routes.Load() == nowhere && !b.d.routes.Load().empty() {
			return UnknownNamespace // by now
		}
		return 0
	}
	p, refusal := b.d.namespaces.enter(b.socket.Namespace())
	if p == nil {
		return refusal
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.ns.Store(p)
	}
	b.mu.Unlock()
	if closed {
		b.d.namespaces.leave(p)
	}
	return 0
}

// routes are those of the socket's namespace; nil until it is known.
func (b *Binding) routes() *routes {
	if p := b.ns.Load(); p != nil {
		return p.routes.Load()
	}
	return nil
}

func (b *Binding) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// lane gives the socket's lane to the service; nil when the socket is gone.
func (b *Binding) lane(s *service) *lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	return b.laneLocked(s)
}

func (b *Binding) laneLocked(s *service) *lane {
	if l := b.known(s); l != nil {
		return l
	}
	l := &b.first
	if b.used {
		l = new(lane)
		b.more = append(b.more, l)
	}
	b.used = true
	l.binding, l.service = b, s
	for old := b.after; old != nil && l.after == nil; old = old.after {
		l.after = old.known(s)
	}
	return l
}

// known gives the lane to the service, or nil. For a closed binding it needs no lock: there will be
// no more lanes.
func (b *Binding) known(s *service) *lane {
	if b.used && b.first.service == s {
		return &b.first
	}
	for _, l := range b.more {
		if l.service == s {
			return l
		}
	}
	return nil
}

// finished tells whether the services have nothing more to do for the socket of a closed binding.
func (b *Binding) finished() bool {
	if b.used && !b.first.isFinished() {
		return false
	}
	return !slices.ContainsFunc(b.more, func(l *lane) bool { return !l.isFinished() })
}

func (b *Binding) closeLocked() []*lane {
	b.closed = true
	return b.lanesLocked()
}

func (b *Binding) lanesLocked() (lanes []*lane) {
	if b.used {
		lanes = append(lanes, &b.first)
	}
	return append(lanes, b.more...)
}

// ask puts the connect to the services that want to be asked.
func (b *Binding) ask(r *routes) {
	b.mu.Lock()
	b.later = r.connect
	b.mu.Unlock()
	b.askNext()
}

// askNext puts the connect to the services whose turn it is. When all have accepted, the socket is.
func (b *Binding) askNext() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	var group []*service
	if len(b.later) > 0 {
		group, b.later = b.later[0], b.later[1:]
	}
	b.pending = len(group)
	lanes := make([]*lane, 0, 1)
	for _, s := range group {
		lanes = append(lanes, b.laneLocked(s))
	}
	b.mu.Unlock()
	if len(lanes) == 0 {
		b.advise() // first, so that nothing of the socket comes before its connect
		b.decide(Decision{Kind: Accepted})
	}
	askAll(lanes, false)
}

// advise tells the connect to the services whose answer nobody waits for.
func (b *Binding) advise() {
	r := b.routes()
	if r == nil || len(r.advised) == 0 {
		return
	}
	var lanes []*lane
	b.mu.Lock()
	if !b.closed {
		for _, s := range r.advised {
			lanes = append(lanes, b.laneLocked(s))
		}
	}
	b.mu.Unlock()
	askAll(lanes, true)
}

func askAll(lanes []*lane, advise bool) {
	for _, l := range lanes {
		l.service.mu.Lock()
		if !l.gone { // a service before it may have refused by now
			l.askLocked(advise)
		}
		l.service.unlockAndFlush()
	}
}

// answered takes the service's answer to the connect.
func (b *Binding) answered(s *service, r *sio.Result) {
	switch r.Outcome {
	case sio.Handled, sio.Answered:
		b.mu.Lock()
		b.pending--
		all := b.pending == 0
		b.mu.Unlock()
		if all {
			b.askNext()
		}
	case sio.Refused:
		message := r.Message
		if message == "" {
			message = refusedMessage
		}
		b.decide(Decision{Kind: Refused, Message: message, Data: r.Data, Service: s.name})
	default:
		b.decide(Decision{Kind: Refused, Message: failedMessage, Service: s.name})
	}
}

// decide reports once the outcome of the connect. Unless it was accepted, the socket is gone with
// it.
func (b *Binding) decide(decision Decision) {
	b.mu.Lock()
	decided := b.decided
	b.decided = nil
	var lanes []*lane
	if decided != nil && decision.Kind != Accepted {
		lanes = b.closeLocked()
	}
	b.mu.Unlock()
	if decided == nil {
		return
	}
	reason, m := sio.ReasonServerDisconnect, b.d.metrics
	switch decision.Kind {
	case Accepted:
		m.Accepted.Inc()
	case Refused:
		m.ConnectRefused.Inc()
	case UnknownNamespace:
		m.UnknownNamespace.Inc()
	case NamespacesFull:
		m.NamespacesFull.Inc()
		b.d.reportFull(b.socket.Namespace())
	case Away:
		m.Absent.Inc()
		reason = sio.ReasonForcedServerClose
	}
	for _, l := range lanes {
		l.leave(&departure{reason: reason})
	}
	if decision.Kind != Accepted {
		b.d.namespaces.leave(b.ns.Load())
	}
	decided(decision)
}
