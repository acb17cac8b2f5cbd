// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"sync/atomic"
)

// EventHandler handles an event. The context ends when the service stops without waiting any
// longer. When the handler returns nil the event is resolved, and acked if the browser waits for
// that; an error is logged, and the browser is told nothing.
type EventHandler func(ctx context.Context, e *Event) error

// ConnectHandler is asked whether a socket may connect. An error refuses it: one made by Refuse
// tells the browser why, any other is logged and the browser gets a general message.
type ConnectHandler func(ctx context.Context, s *Socket) error

// DisconnectHandler is told that a socket is gone. The reason is from the list that Socket.IO users
// know, for example "transport close", "ping timeout" or "client namespace disconnect".
type DisconnectHandler func(ctx context.Context, s *Socket, reason string)

// HandlerOption changes how the events of one handler are run.
type HandlerOption func(*handler)

// Concurrent lets the handler's events run at any time, also beside other events of the same socket
// and out of their order.
func Concurrent() HandlerOption { return func(h *handler) { h.concurrent = true } }

// ConnectOrder says when this service is asked about a connect that several services handle: those
// with a lower order first, those with the same at the same time. The first refusal ends the
// asking. It is for connect handlers; 0 is the default, and it cannot be negative.
func ConnectOrder(order int) HandlerOption { return func(h *handler) { h.order = order } }

// Advisory says that the service is told of connects and that nothing waits for it: it hears of a
// socket when the other services have accepted it, and neither an error of the handler nor the
// absence of the service holds or refuses a connect. It is for connect handlers.
func Advisory() HandlerOption { return func(h *handler) { h.advisory = true } }

// handler is what a service registered for one event name, or for the connects or disconnects of a
// namespace.
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
	// off is the declaration without the handler, which stays in use until all brokers have taken
	// that; 0 while it is wanted. It is guarded as Namespace.own is.
	off uint64
	// slow is above zero while the handler is known to block: its events then get goroutines of
	// their own at once.
	slow atomic.Int32
}

// slowFor is the number of quick runs in a row after which a handler that blocked counts as quick
// again.
const slowFor = 64

func newHandler(name string, options []HandlerOption) *handler {
	h := &handler{name: name}
	for _, option := range options {
		option(h)
	}
	return h
}

// None is the argument or answer of a typed handler that takes or gives none.
type None struct{}

// Registrar is a Service, which stands for its main namespace, or a Namespace.
type Registrar interface {
	On(event string, h EventHandler, options ...HandlerOption)
}

// On registers a typed handler: the event's first argument is decoded into In, and what the handler
// returns is the ack. None stands for no argument and for an empty ack.
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
