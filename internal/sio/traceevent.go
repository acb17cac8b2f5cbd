// SPDX-License-Identifier: Apache-2.0

package sio

// Trace events: what callers who follow a replica receive. Package trace carries them.

// TraceEventKind is the closed list of what may be followed. The numbers are the contract's.
type TraceEventKind uint8

const (
	// Connected means that a socket connected.
	Connected TraceEventKind = iota + 1
	// Disconnected means that a socket disconnected.
	Disconnected
	// Dispatched means that an event of a socket was handed to an instance.
	Dispatched
	// Resolved means that an instance resolved a dispatch.
	Resolved
	// Emitted means that an event was delivered to sockets.
	Emitted
	// Dropped means that a dispatch was dropped, or set aside.
	Dropped
	// Unhandled means that no service registered for an event of a socket.
	Unhandled
	// ConnectRefused means that a connect was not accepted: no service registered the namespace, or
	// a handler refused.
	ConnectRefused
)

// TraceEvent is one thing that happened, for those who follow. A receiver keeps none of
// it without a copy.
type TraceEvent struct {
	Kind      TraceEventKind
	Namespace Namespace
	Socket    SocketID // empty for an emit to many
	Rooms     []Room   // that an emit went to
	Service   ServiceName
	Instance  InstanceID
	Event     Event // or message, or an ack in its arguments
	Dispatch  DispatchID
	Detail    string

	// Reaches tells whether an emit to many reaches the socket. Nil for all else.
	Reaches func(SocketID) bool
	// In tells whether it concerns a socket that is in the room. Nil when that is not known here:
	// then the socket may be looked for.
	In func(Room) bool
}
