// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"fmt"
	"regexp"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Namespace registers handlers for one namespace, or for all namespaces that a pattern matches, and
// emits to its sockets. Handlers may be added and removed while Service.Run runs; see
// Service.Registered.
type Namespace struct {
	// fixed at birth
	name    string // or the pattern
	service *Service
	pattern *regexp.Regexp // nil for one namespace

	// own holds the handlers that are registered here. It is written under the service's mu, and
	// while Run runs under the scheduler's mu too.
	own handlers

	// guarded by the scheduler's mu
	live    handlers // own, completed by the handlers of matching patterns
	dynamic bool     // created for a name that a pattern matches; removed with its last socket
	sockets map[string]*Socket
}

func newNamespace(svc *Service, name string) *Namespace {
	return &Namespace{name: name, service: svc, own: newHandlers(), sockets: map[string]*Socket{}}
}

// Name returns the name of the namespace with its leading slash.
func (n *Namespace) Name() string { return n.name }

// catchAll is the name of the handler of all events without a handler of their own.
const catchAll = "*"

// On registers a handler for an event. "*" handles every event of the namespace that no service
// registered by name.
func (n *Namespace) On(event string, h EventHandler, options ...HandlerOption) {
	entry := newHandler(event, options)
	if entry.event = h; entry.once != nil {
		entry.event = entry.once.wrap(h)
	}
	n.service.change(n, func(n *Namespace) error {
		switch {
		case reservedEvent(event):
			return fmt.Errorf("%w: %q in namespace %s (use OnConnect or OnDisconnect)", ErrReserved, event, n.name)
		case event == catchAll:
			return put(&n.own.any, entry, n, "handlers for any event")
		case inUse(n.own.events[event]):
			return fmt.Errorf("spanwire: event %q of namespace %s already has a handler", event, n.name)
		}
		n.own.events[event] = entry
		return nil
	})
}

// OnConnect registers the handler that accepts or refuses sockets. What it emits to the socket
// reaches the browser after the connect was confirmed.
func (n *Namespace) OnConnect(h ConnectHandler, options ...HandlerOption) {
	entry := newHandler("connect", options)
	entry.connect = h
	n.service.change(n, func(n *Namespace) error {
		if entry.order < 0 {
			return fmt.Errorf("spanwire: the connect order %d of namespace %s is negative", entry.order, n.name)
		}
		return put(&n.own.connect, entry, n, "connect handler")
	})
}

// OnDisconnect registers the handler of disconnects.
func (n *Namespace) OnDisconnect(h DisconnectHandler) {
	entry := newHandler("disconnect", nil)
	entry.disconnect = h
	n.service.change(n, func(n *Namespace) error { return put(&n.own.disconnect, entry, n, "disconnect handler") })
}

// put registers a handler of which a namespace has at most one.
func put(place **handler, entry *handler, n *Namespace, what string) error {
	if inUse(*place) {
		return fmt.Errorf("spanwire: namespace %s already has a %s", n.name, what)
	}
	*place = entry
	return nil
}

// All returns the target of all sockets of the namespace, or of all namespaces that the pattern
// matches.
func (n *Namespace) All() Target {
	return Target{via: n.service, namespace: n.name, pattern: n.pattern != nil}
}

// To returns the target of the sockets in any of the rooms. The id of a socket is a room too.
func (n *Namespace) To(rooms ...string) Target { return n.All().To(rooms...) }

// Except returns the target of the sockets in none of the rooms.
func (n *Namespace) Except(rooms ...string) Target { return n.All().Except(rooms...) }

// Emit sends an event to every socket of the namespace.
func (n *Namespace) Emit(event string, args ...any) error { return n.All().Emit(event, args...) }

// Send sends the event "message" to every socket of the namespace.
func (n *Namespace) Send(args ...any) error { return n.All().Send(args...) }

// EmitWithAck sends an event to every socket of the namespace and collects their acks; see
// Target.EmitWithAck.
func (n *Namespace) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	return n.All().EmitWithAck(ctx, event, args...)
}

// eventHandler returns the handler of an event, nil for none. The scheduler's mu is held.
func (n *Namespace) eventHandler(event []byte) *handler {
	if h := n.live.events[string(event)]; h != nil {
		return h
	}
	return n.live.any
}

// registration returns the declaration of the namespace, nil without handlers. It always asks for
// disconnects: without them this package could never forget a socket.
func (n *Namespace) registration() *spanwirev1.Registration {
	r := &spanwirev1.Registration{
		Namespace:  n.name,
		Pattern:    n.pattern != nil,
		Events:     namesInUse(n.own.events),
		CatchAll:   inUse(n.own.any),
		Connect:    inUse(n.own.connect),
		Disconnect: true,
		RoomEvents: inUse(n.own.room),
		Messages:   namesInUse(n.own.messages),
	}
	if len(r.Events)+len(r.Messages) == 0 && !r.CatchAll && !r.Connect && !r.RoomEvents && !inUse(n.own.disconnect) {
		return nil
	}
	if r.Connect {
		r.ConnectOrder, r.ConnectAdvisory = uint32(n.own.connect.order), n.own.connect.advisory
	}
	for _, name := range r.GetEvents() {
		if n.own.events[name].concurrent {
			r.ConcurrentEvents = append(r.ConcurrentEvents, name)
		}
	}
	if r.GetCatchAll() && n.own.any.concurrent {
		r.ConcurrentEvents = append(r.ConcurrentEvents, "*")
	}
	return r
}
