// SPDX-License-Identifier: Apache-2.0

// Package spanwire lets a Go program handle the events of Socket.IO clients. The browsers'
// connections live in the broker; a Service dials it, says which events it handles, and is given
// those events over one stream.
//
//	svc := spanwire.NewService("chat", spanwire.Options{})
//	svc.On("my event", func(ctx context.Context, e *spanwire.Event) error {
//		var data map[string]any
//		if err := e.Bind(&data); err != nil {
//			return err
//		}
//		return e.Socket.Emit("my response", data)
//	})
//	err := svc.RunUntilSignal(ctx)
//
// Events of one socket are handled one after another, in the order the browser sent them; events of
// different sockets at the same time. A handler may block, emit from anywhere and start goroutines.
// What it emits before it returns reaches the browser before its ack does.
//
// An event is handed out at least once: when the stream breaks before its result arrived, it comes
// again, with the same Event.ID and a higher Event.Redeliveries. Once makes a handler's events take
// effect once.
//
// Programs that handle nothing, such as scripts and web applications, emit through an Emitter.
package spanwire

const sdkName = "spanwire-go"

// protocolVersion is the revision of the conversation in spanwire/v1/handler.proto that this
// package speaks.
const protocolVersion = 1

// mainNamespace is the namespace that a browser is in when it names none.
const mainNamespace = "/"

// reservedEvent tells whether Socket.IO keeps the name for itself.
// Source: socket.io-parser 4.2, RESERVED_EVENTS.
func reservedEvent(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
