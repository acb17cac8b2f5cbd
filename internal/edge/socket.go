// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// A socket's states:
//
//	pending   -> joining    the services accepted: the answer is queued, and then what was held
//	pending   -> gone       they refused, the session ended, or the server closes it
//	joining   -> connected  nothing is held any more
//	joining   -> gone       as from connected
//	connected -> gone       the browser left, a handler disconnected it, or the session ended
//
// While pending and joining, what is for the browser is held, so that it comes behind the answer to
// the connect and in order.
const (
	pending uint32 = iota
	joining
	connected
	gone
)

// Socket is one client in one namespace. It implements hub.Socket and dispatch.Socket.
type Socket struct {
	// fixed at birth
	client    *client
	id        sio.SocketID
	namespace sio.Namespace
	auth      []byte
	unasked   bool // joins the main namespace although the browser did not ask

	// state is written under mu and read by anyone.
	state atomic.Uint32

	// what handlers keep with the socket; nil when there never was any
	data atomic.Pointer[sio.Data]

	mu      sync.Mutex        // guards the fields below
	binding *dispatch.Binding // set once, before the next message is read
	// why it is gone, for the one that asks the services; nil unless it was gone before
	reason  *sio.Reason
	waiting *held                       // nil when nothing is held
	acks    map[sio.AckID]*hub.Delivery // acks that the browser owes; nil when there are none

	recovery *recoveryState // fixed at birth; nil when the socket cannot come back
}

func newSocket(c *client, p *socketio.Packet) *Socket {
	s := &Socket{client: c, namespace: p.Namespace, auth: p.Payload}
	s.issue()
	return s
}

// ID implements hub.Socket and dispatch.Socket.
func (s *Socket) ID() sio.SocketID { return s.id }

// Namespace implements dispatch.Socket.
func (s *Socket) Namespace() sio.Namespace { return s.namespace }

// Introduction implements dispatch.Socket.
func (s *Socket) Introduction() dispatch.Introduction {
	return dispatch.Introduction{Handshake: s.client.session.Handshake(), Auth: s.auth, Data: s.kept(), Recovered: s.recovered()}
}

// Flush implements dispatch.Socket.
func (s *Socket) Flush() { s.client.session.Flush() }

// joined tells whether the browser may send packets in the namespace.
func (s *Socket) joined() bool {
	state := s.state.Load()
	return state == joining || state == connected
}

// ask makes the socket reachable and asks the services. Handlers may emit to it from now on.
func (s *Socket) ask() {
	server := s.client.server
	server.metrics.Pending.Inc()
	s.noteNoHandlers()
	if !s.recovered() {
		server.hub.Add(s.namespace, s)
	}
	if s.state.Load() == gone { // and perhaps taken out before it was in
		server.hub.Remove(s.namespace, s.id)
		s.parting(1)
		return
	}
	binding := server.dispatcher.ConnectAfter(s.before(), s, s.decided)
	s.mu.Lock()
	s.binding = binding
	reason := s.reason
	s.mu.Unlock()
	if s.joined() { // and accept had no watcher of its rooms
		server.hub.Admit(s.namespace, s)
	}
	if reason != nil {
		binding.Disconnect(*reason, s.id.Room())
		s.parting(1)
	}
}

// decided carries out what the services decided.
func (s *Socket) decided(d dispatch.Decision) {
	m := s.client.server.metrics
	s.noteRefusal(&d)
	switch d.Kind {
	case dispatch.Accepted:
		s.accept()
	case dispatch.Refused:
		s.refuse(m.Refused, func(dst []byte) []byte {
			return s.client.protocol().appendConnectError(dst, s.namespace, d.Message, d.Data)
		})
	case dispatch.UnknownNamespace:
		if s.unasked {
			s.refuseSilently(m.UnknownNamespace)
			return
		}
		s.refuse(m.UnknownNamespace, func(dst []byte) []byte {
			return s.client.protocol().appendUnknownNamespace(dst, s.namespace)
		})
	case dispatch.NamespacesFull:
		s.refuse(m.NamespacesFull, func(dst []byte) []byte {
			return s.client.protocol().appendConnectError(dst, s.namespace, "Too many namespaces", nil)
		})
	case dispatch.Away:
		if s.unasked && !s.client.alone() {
			s.refuseSilently(m.Absent)
			return
		}
		if s.giveUp() {
			m.Absent.Inc()
			// Standard clients try again after the loss of the transport, and give up after a
			// connect error.
			s.client.session.CloseNoted(sio.ReasonForcedServerClose, noticeAway)
		}
	}
}

// accept answers the connect and then writes what was held meanwhile.
func (s *Socket) accept() {
	s.mu.Lock()
	if s.state.Load() != pending {
		s.mu.Unlock()
		return
	}
	s.admit()
	s.state.Store(joining)
	binding := s.binding
	s.mu.Unlock()
	if binding != nil { // else ask does it
		s.client.server.hub.Admit(s.namespace, s)
	}

	c := s.client
	c.server.metrics.Pending.Dec()
	c.server.metrics.Accepted.Inc()
	c.server.metrics.Connected.Inc()
	s.note(sio.Connected, "", nil)
	c.join()
	s.replay()
	text := borrow()
	*text = s.appendConnect(*text)
	c.queue(*text, nil, false)
	giveBack(text)
	end := s.release()
	c.session.Flush()
	s.end(end)
}

// refuse answers the connect, unless it was given up before.
func (s *Socket) refuse(outcome metrics.Counter, answer func(dst []byte) []byte) {
	if !s.giveUp() {
		return
	}
	outcome.Inc()
	text := borrow()
	*text = answer(*text)
	s.client.queue(*text, nil, false)
	giveBack(text)
	s.client.session.Flush()
}

// refuseSilently gives up a socket that the browser did not ask for. An error in the main namespace
// would reach its other namespaces too.
func (s *Socket) refuseSilently(outcome metrics.Counter) {
	if s.giveUp() {
		outcome.Inc()
	}
}

// giveUp ends a socket that was not admitted, and tells whether it was still pending.
func (s *Socket) giveUp() bool {
	s.mu.Lock()
	if s.state.Load() != pending {
		s.mu.Unlock()
		return false
	}
	s.state.Store(gone)
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()

	server := s.client.server
	server.metrics.Pending.Dec()
	s.depart(sio.ReasonForcedServerClose)
	s.client.remove(s, false, false)
	waiting.drop(s.id)
	s.parting(2) // the services have decided
	return true
}

// take carries out one packet of the browser. It blocks while the socket's services have too much
// to do.
func (s *Socket) take(p *socketio.Packet) {
	m := s.client.server.metrics
	switch p.Type {
	case socketio.Event, socketio.BinaryEvent:
		m.Events.Inc()
		if err := s.binding.Dispatch(life{s.client.session}, &p.Event, p.ID, p.HasID); err != nil {
			m.EventsFailed.Inc()
			s.client.server.log.Debug("event not dispatched", "socket", s.id, "namespace", s.namespace, "event", excerpt([]byte(p.Event.Name)), "err", err)
		}
	case socketio.Ack, socketio.BinaryAck:
		s.acked(p)
	case socketio.Disconnect:
		s.leave(sio.ReasonClientDisconnect)
	}
}

// settled gives a channel that is closed when the services have answered what they were given of
// the socket; nil when they have.
func (s *Socket) settled() <-chan struct{} {
	s.mu.Lock()
	binding := s.binding
	s.mu.Unlock()
	if binding == nil {
		return nil
	}
	return binding.Settled()
}

// Disconnect implements hub.Socket. While the connect is pending it waits for the decision, since a
// socket that is not connected cannot be disconnected.
func (s *Socket) Disconnect(closeSession bool) {
	how := endSocket
	if closeSession {
		how = endSession
	}
	s.mu.Lock()
	if state := s.state.Load(); state == pending || state == joining {
		s.waitingLocked().end = max(s.waitingLocked().end, how)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.end(how)
}

// end carries out a disconnect by the server.
func (s *Socket) end(how ending) {
	switch how {
	case endNothing:
	case endSocket:
		s.kick()
	case endSession:
		s.client.disconnectAll()
	}
}

// kick ends the socket by the server's word.
func (s *Socket) kick() { s.leave(sio.ReasonServerDisconnect) }

// leave is the only way from the other states to gone, but for a refusal.
func (s *Socket) leave(reason sio.Reason) {
	s.mu.Lock()
	was := s.state.Load()
	if was == gone {
		s.mu.Unlock()
		return
	}
	s.state.Store(gone)
	binding, waiting, acks := s.binding, s.waiting, s.acks
	if binding == nil {
		s.noteLocked(reason)
	}
	s.waiting, s.acks = nil, nil
	s.mu.Unlock()

	c, byServer := s.client, reason == sio.ReasonServerDisconnect
	rooms := s.depart(reason)
	c.remove(s, was != pending, byServer)
	if was == pending {
		c.server.metrics.Pending.Dec()
		c.server.metrics.Abandoned.Inc()
	} else {
		c.server.metrics.Connected.Dec()
		c.server.metrics.Disconnects.With(string(reason)).Inc()
		s.note(sio.Disconnected, string(reason), rooms)
		if byServer {
			s.tellDisconnect()
		}
	}
	waiting.drop(s.id)
	for _, d := range acks {
		d.Left(s.id)
	}
	s.parting(1)
	if binding != nil { // else the one that asks the services tells them
		binding.Disconnect(reason, rooms...)
		s.parting(1)
	}
}

// noteLocked leaves the reason to the one that asks the services. It is apart from leave so that
// only then it costs an allocation.
func (s *Socket) noteLocked(reason sio.Reason) { s.reason = &reason }

// tellDisconnect tells the browser that the server ended the socket.
func (s *Socket) tellDisconnect() {
	text := borrow()
	*text = s.client.protocol().appendDisconnect(*text, s.namespace)
	s.client.queue(*text, nil, false)
	giveBack(text)
	s.client.session.Flush()
}
