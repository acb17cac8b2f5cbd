// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"sync/atomic"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Socket is one client in one namespace. Handlers may keep it and use it later, from any goroutine;
// emits to a socket that is gone reach nobody, silently.
type Socket struct {
	// fixed at birth
	id        string
	namespace *Namespace

	handshake atomic.Pointer[Handshake]
	// stream is where the socket was introduced last; commands go there as long as it lives.
	stream atomic.Pointer[stream]

	data atomic.Pointer[socketData]
	// left holds the rooms that the socket was in when it disconnected.
	left      atomic.Pointer[[]string]
	recovered atomic.Bool

	// guarded by the scheduler's mu
	lane         lane
	gone         bool   // not in the namespace's table any more
	released     bool   // it went to another instance
	served       bool   // a handler ran for it
	disconnected bool   // the one for its disconnect did
	reason       string // of a disconnect that was told over a stream that is gone, and not handled
}

// noHandshake stands in for a socket that was never introduced.
var noHandshake = &Handshake{}

// ID gives the socket's id. It is also the name of the room that only this socket is in.
func (s *Socket) ID() string { return s.id }

// Namespace gives the namespace that the socket is in.
func (s *Socket) Namespace() *Namespace { return s.namespace }

// Handshake gives what the browser sent when it connected.
func (s *Socket) Handshake() *Handshake {
	if h := s.handshake.Load(); h != nil {
		return h
	}
	return noHandshake
}

// Recovered tells that the client resumed this socket after a loss of its connection: it has the
// id, rooms and data that it had.
func (s *Socket) Recovered() bool { return s.recovered.Load() }

// Connected tells whether the socket is there, as far as this process knows.
func (s *Socket) Connected() bool {
	p := s.namespace.service.scheduler
	p.mu.Lock()
	defer p.mu.Unlock()
	return !s.gone
}

// Emit sends an event to the socket. It does not wait for the browser; it waits only when the queue
// to the broker is full.
func (s *Socket) Emit(event string, args ...any) error { return s.self().Emit(event, args...) }

// Send sends the event "message" to the socket.
func (s *Socket) Send(args ...any) error { return s.self().Send(args...) }

// EmitWithAck sends an event to the socket and waits for its ack. The context's deadline, or
// without one the broker's setting ack-timeout, bounds the wait; ErrAckTimeout says that the socket
// did not answer or is gone.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) (*Ack, error) {
	return s.self().emitForOneAck(ctx, event, args)
}

func (t Target) emitForOneAck(ctx context.Context, event string, args []any) (*Ack, error) {
	acks, err := t.EmitWithAck(ctx, event, args...)
	if err != nil {
		return nil, err
	}
	if len(acks.Acks) == 0 {
		return nil, ErrAckTimeout
	}
	return &acks.Acks[0], nil
}

// Volatile chooses the socket, but only if it can take an event right now.
func (s *Socket) Volatile() Target { return s.self().Volatile() }

// Broadcast chooses every other socket of the namespace.
func (s *Socket) Broadcast() Target {
	return Target{via: s, namespace: s.namespace.name}.Except(s.id)
}

// To chooses the other sockets that are in any of the rooms. Namespace.To includes this socket.
func (s *Socket) To(rooms ...string) Target { return s.Broadcast().To(rooms...) }

// Except chooses the other sockets that are in none of the rooms.
func (s *Socket) Except(rooms ...string) Target { return s.Broadcast().Except(rooms...) }

// Join adds the socket to rooms. An emit after it, by the same handler, reaches the socket there.
func (s *Socket) Join(rooms ...string) error { return s.self().Join(rooms...) }

// Leave takes the socket out of rooms. Its own room, its id, cannot be left.
func (s *Socket) Leave(rooms ...string) error { return s.self().Leave(rooms...) }

// Disconnect ends the socket; the browser does not reconnect by itself. With closeSession the whole
// session is closed, and with it the client's sockets of other namespaces.
func (s *Socket) Disconnect(closeSession bool) error { return s.self().Disconnect(closeSession) }

func (s *Socket) self() Target {
	return Target{via: s, namespace: s.namespace.name, rooms: []string{s.id}}
}

// execute implements executor: on the stream that knows the socket, so that commands and results
// keep their order.
func (s *Socket) execute(c *command) error { return s.namespace.service.executeOn(s.stream.Load(), c) }

func (s *Socket) query(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	return s.namespace.service.queryOn(ctx, s.stream.Load(), c)
}

func (s *Socket) observe(t *Target, event string, args []any) {
	s.namespace.service.observe(t, event, args)
}
