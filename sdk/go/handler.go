// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"sync/atomic"
)

// EventHandler handles an event. The context ends when the service stops without waiting any
// longer. When the handler returns nil, the event is resolved, and acknowledged if the browser
// waits for an ack. An error is logged; the browser gets no ack.
type EventHandler func(ctx context.Context, e *Event) error

// ConnectHandler decides whether a socket may connect. Nil accepts it. An error made by Refuse
// refuses it with a message for the browser; any other error is logged, and the browser gets a
// general message.
type ConnectHandler func(ctx context.Context, s *Socket) error

// DisconnectHandler handles the disconnect of a socket. The reason is one of the Socket.IO reasons,
// for example "transport close", "ping timeout" or "client namespace disconnect".
type DisconnectHandler func(ctx context.Context, s *Socket, reason string)

// HandlerOption changes how the events of one handler run.
type HandlerOption func(*handler)

// Concurrent lets the events of the handler run at the same time as other events of their socket,
// and out of order. Use it for slow handlers whose events are independent.
func Concurrent() HandlerOption { return func(h *handler) { h.concurrent = true } }

// ConnectOrder sets the position of this service among the services that handle the connects of a
// namespace. The broker asks services of lower order first, and those of equal order at the same
// time; the first refusal ends it. The default is 0; a negative order is an error. It is for
// connect handlers.
func ConnectOrder(order int) HandlerOption { return func(h *handler) { h.order = order } }

// Advisory makes the connect handler an observer. The service is notified of a socket when the
// other services have accepted it. Neither an error of the handler nor the absence of the service
// delays or refuses a connect.
func Advisory() HandlerOption { return func(h *handler) { h.advisory = true } }

// handler is what a service registered for one event or message name, or for the connects,
// disconnects or room changes of a namespace.
type handler struct {
	name       string
	concurrent bool
	event      EventHandler
	connect    ConnectHandler
	disconnect DisconnectHandler
	room       RoomHandler
	message    MessageHandler
	order      int  // of a connect handler among services
	advisory   bool // of a connect handler: nothing waits for it
	once       *Deduplicator
	// off is the number of the declaration that removed the handler; 0 while it is registered. The
	// handler stays in use until all brokers have accepted that declaration. It is guarded as
	// Namespace.own is.
	off uint64
	// slow is above zero while the handler is known to block. Each of its events then gets a
	// goroutine of its own.
	slow atomic.Int32
}

// slowFor is the number of consecutive quick runs after which a handler that blocked counts as
// quick.
const slowFor = 64

func newHandler(name string, options []HandlerOption) *handler {
	h := &handler{name: name}
	for _, option := range options {
		option(h)
	}
	return h
}

// None is the type of the argument or the result of a typed handler without one.
type None struct{}

// Registrar is a Namespace, or a Service, which represents its main namespace.
type Registrar interface {
	On(event string, h EventHandler, options ...HandlerOption)
}

// On registers a typed handler. It decodes the first argument of the event into In, and
// acknowledges with the Out that the handler returns. None means no argument, and an empty ack.
func On[In, Out any](r Registrar, event string, h func(ctx context.Context, e *Event, in In) (Out, error), options ...HandlerOption) {
	r.On(event, func(ctx context.Context, e *Event) error {
		var in In
		if _, none := any(in).(None); !none {
			if err := e.Bind(&in); err != nil {
				return err
			}
		}
		out, err := h(ctx, e, in)
		if err != nil {
			return err
		}
		if _, none := any(out).(None); none {
			return nil
		}
		return e.Ack(out)
	}, options...)
}
