// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"sync/atomic"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Socket is one client in one namespace. Handlers may keep it and use it later, from any goroutine.
// An emit to a socket that is gone has no effect and returns no error.
type Socket struct {
	// fixed at birth
	id        string
	namespace *Namespace

	handshake atomic.Pointer[Handshake]
	// stream is the stream of the last introduction. Commands go there until it ends.
	stream atomic.Pointer[stream]

	data atomic.Pointer[socketData]
	// left holds the rooms that the socket was in when it disconnected.
	left      atomic.Pointer[[]string]
	recovered atomic.Bool

	// guarded by the scheduler's mu
	lane         lane
	gone         bool   // no longer in the namespace's table
	released     bool   // assigned to another instance
	served       bool   // a handler ran for it
	disconnected bool   // its disconnect handler ran
	reason       string // of a disconnect whose stream ended before it was handled
}

// noHandshake is the handshake of a socket that was never introduced.
var noHandshake = &Handshake{}

// ID returns the id of the socket. It is also the name of the room of this socket alone.
func (s *Socket) ID() string { return s.id }

// Namespace returns the namespace of the socket.
func (s *Socket) Namespace() *Namespace { return s.namespace }

// Handshake returns the request and the auth payload with which the browser connected.
func (s *Socket) Handshake() *Handshake {
	if h := s.handshake.Load(); h != nil {
		return h
	}
	return noHandshake
}

// Recovered reports whether the client resumed this socket after a loss of its connection, with its
// id, rooms and data.
func (s *Socket) Recovered() bool { return s.recovered.Load() }

// Connected reports whether the socket is connected, as far as this process knows.
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

// EmitWithAck sends an event to the socket and waits for its ack. The deadline of the context, or
// without one the broker's setting ack-timeout, bounds the wait. ErrAckTimeout reports that the
// socket did not acknowledge in time, or is gone.
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

// Volatile returns the target of the socket, for an event that is dropped when the browser cannot
// take it at once.
func (s *Socket) Volatile() Target { return s.self().Volatile() }

// Broadcast returns the target of all other sockets of the namespace.
func (s *Socket) Broadcast() Target {
	return Target{via: s, namespace: s.namespace.name}.Except(s.id)
}

// To returns the target of the other sockets in any of the rooms. Namespace.To includes this
// socket.
func (s *Socket) To(rooms ...string) Target { return s.Broadcast().To(rooms...) }

// Except returns the target of the other sockets in none of the rooms.
func (s *Socket) Except(rooms ...string) Target { return s.Broadcast().Except(rooms...) }

// Join adds the socket to rooms. Later emits of the same handler to these rooms reach it.
func (s *Socket) Join(rooms ...string) error { return s.self().Join(rooms...) }

// Leave removes the socket from rooms. It cannot leave its own room, which is named by its id.
func (s *Socket) Leave(rooms ...string) error { return s.self().Leave(rooms...) }

// Disconnect disconnects the socket. The browser does not reconnect by itself. closeSession closes
// the whole session, with the client's sockets of other namespaces.
func (s *Socket) Disconnect(closeSession bool) error { return s.self().Disconnect(closeSession) }

func (s *Socket) self() Target {
	return Target{via: s, namespace: s.namespace.name, rooms: []string{s.id}}
}

// execute implements executor. It uses the stream of the socket, so that commands and results keep
// their order.
func (s *Socket) execute(c *command) error { return s.namespace.service.executeOn(s.stream.Load(), c) }

func (s *Socket) query(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	return s.namespace.service.queryOn(ctx, s.stream.Load(), c)
}

func (s *Socket) observe(t *Target, event string, args []any) {
	s.namespace.service.observe(t, event, args)
}
