// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"fmt"
	"regexp"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Namespace is a separate world of events. Its handlers are registered before Service.Run.
type Namespace struct {
	// fixed at birth
	name    string // or the pattern
	service *Service
	pattern *regexp.Regexp // nil for one namespace
	dynamic bool           // made for a name that a pattern matches; forgotten with its last socket

	// written before Run only
	events     map[string]*handler
	messages   map[string]*handler
	any        *handler
	connect    *handler
	disconnect *handler
	room       *handler

	// guarded by the scheduler's mu
	sockets map[string]*Socket
}

func newNamespace(svc *Service, name string) *Namespace {
	return &Namespace{
		name: name, service: svc, events: map[string]*handler{}, messages: map[string]*handler{}, sockets: map[string]*Socket{},
	}
}

// Name gives the namespace's name, with its slash.
func (n *Namespace) Name() string { return n.name }

// catchAll stands for every event that has no handler of its own.
const catchAll = "*"

// On registers a handler for an event. "*" stands for every event of the namespace that no service registered by name.
func (n *Namespace) On(event string, h EventHandler, options ...HandlerOption) {
	switch {
	case event == catchAll && n.any != nil:
		n.service.misuse(fmt.Errorf("spanwire: namespace %s has two handlers for any event", n.name))
		return
	case reservedEvent(event):
		n.service.misuse(fmt.Errorf("%w: %q in namespace %s; use OnConnect or OnDisconnect", ErrReserved, event, n.name))
		return
	case event == "":
		n.service.misuse(fmt.Errorf("spanwire: an event of namespace %s has no name; use \"*\" for all events", n.name))
		return
	case n.events[event] != nil:
		n.service.misuse(fmt.Errorf("spanwire: event %q of namespace %s has two handlers", event, n.name))
		return
	}
	entry := newHandler(event, options)
	entry.event = h
	if event == catchAll {
		n.any = entry
		return
	}
	n.events[event] = entry
}

// OnConnect registers a handler that is asked whether a socket may connect. What it emits to the socket reaches the browser
// after the connect was confirmed.
func (n *Namespace) OnConnect(h ConnectHandler, options ...HandlerOption) {
	if n.connect != nil {
		n.service.misuse(fmt.Errorf("spanwire: namespace %s has two connect handlers", n.name))
		return
	}
	n.connect = newHandler("connect", options)
	n.connect.connect = h
	if n.connect.order < 0 {
		n.service.misuse(fmt.Errorf("spanwire: the connect order %d of namespace %s is negative", n.connect.order, n.name))
	}
}

// OnDisconnect registers a handler that is told that a socket is gone.
func (n *Namespace) OnDisconnect(h DisconnectHandler) {
	if n.disconnect != nil {
		n.service.misuse(fmt.Errorf("spanwire: namespace %s has two disconnect handlers", n.name))
		return
	}
	n.disconnect = newHandler("disconnect", nil)
	n.disconnect.disconnect = h
}

// All chooses every socket of the namespace, or of all namespaces that the pattern matches.
func (n *Namespace) All() Target {
	return Target{via: n.service, namespace: n.name, pattern: n.pattern != nil}
}

// To chooses the sockets that are in any of the rooms. A socket's id is a room too.
func (n *Namespace) To(rooms ...string) Target { return n.All().To(rooms...) }

// Except chooses the sockets that are in none of the rooms.
func (n *Namespace) Except(rooms ...string) Target { return n.All().Except(rooms...) }

// Emit sends an event to every socket of the namespace.
func (n *Namespace) Emit(event string, args ...any) error { return n.All().Emit(event, args...) }

// Send sends the event "message" to every socket of the namespace.
func (n *Namespace) Send(args ...any) error { return n.All().Send(args...) }

// EmitWithAck sends an event to every socket of the namespace and gathers their acks; see Target.EmitWithAck.
func (n *Namespace) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	return n.All().EmitWithAck(ctx, event, args...)
}

// handlerOf gives the handler of an event, nil for none.
func (n *Namespace) handlerOf(event []byte) *handler {
	if h := n.events[string(event)]; h != nil {
		return h
	}
	return n.any
}

func (n *Namespace) registered() bool {
	return len(n.events)+len(n.messages) > 0 || n.any != nil || n.connect != nil || n.disconnect != nil || n.room != nil
}

// registration declares the namespace. The disconnects are always asked for: without them this package could never forget a socket.
func (n *Namespace) registration() *spanwirev1.Registration {
	r := &spanwirev1.Registration{
		Namespace:  n.name,
		Pattern:    n.pattern != nil,
		Events:     sortedKeys(n.events),
		CatchAll:   n.any != nil,
		Connect:    n.connect != nil,
		Disconnect: true,
		RoomEvents: n.room != nil,
		Messages:   sortedKeys(n.messages),
	}
	if n.connect != nil {
		r.ConnectOrder = uint32(n.connect.order)
	}
	return r
}
