// SPDX-License-Identifier: Apache-2.0

// Package spanwire lets a Go program handle the events of Socket.IO clients. The broker holds the
// connections of the browsers. A Service connects to the broker, registers the events that it
// handles, and gets them over one stream.
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
// The events of one socket are handled one after another, in the order in which the browser sent
// them. Events of different sockets are handled concurrently. A handler may block, emit at any time
// and start goroutines. What it emits before it returns reaches the browser before the ack does.
//
// An event is dispatched at least once. When a stream breaks before the result of an event arrived,
// the event is dispatched again, with the same Event.ID and a higher Event.Redeliveries. Once makes
// the events of a handler take effect once.
//
// Programs that handle no events, such as scripts and web applications, emit through an Emitter.
package spanwire

const sdkName = "spanwire-go"

// protocolVersion is the revision of the protocol in spanwire/v1/handler.proto that this package
// implements.
const protocolVersion = 1

// mainNamespace is the namespace of clients that name none.
const mainNamespace = "/"

// reservedEvent reports whether Socket.IO reserves the name.
// Source: socket.io-parser 4.2, RESERVED_EVENTS.
func reservedEvent(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
