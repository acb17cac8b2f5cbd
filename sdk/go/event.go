// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"encoding/json"
	"slices"
)

// Event is an event that a browser emitted. It remains valid after the handler returned, but its
// ack is not sent from then on.
type Event struct {
	// ID identifies the event in the cluster. It is the same when the event is dispatched again, so
	// that a handler can recognize duplicates.
	ID uint64
	// Name is the event's name.
	Name string
	// Socket is the socket that emitted it.
	Socket *Socket
	// Redeliveries counts the earlier dispatches of the event.
	Redeliveries int
	// WantsAck reports whether the browser waits for an ack. The browser gets an empty ack when the
	// handler returns nil and gave none.
	WantsAck bool

	args        []byte
	attachments [][]byte
	ack         *payload // nil until Ack
	acked       bool
	// the error of the last call of Ack; nil when it succeeded
	ackErr error
}

// Args returns the arguments, each as raw JSON. An attachment is represented as
// {"_placeholder":true,"num":N}. The caller must not change them.
func (e *Event) Args() []json.RawMessage {
	args, _ := splitArray(e.args) // the broker has checked it
	return args
}

// Raw returns the arguments as one JSON array, as the browser wrote it. The caller must not change
// it.
func (e *Event) Raw() json.RawMessage { return rawArray(e.args) }

// Attachments returns the binary parts in the order of their numbers. The caller must not change
// them.
func (e *Event) Attachments() [][]byte { return e.attachments }

// Bind decodes the arguments into the targets as encoding/json does, and puts attachments into
// targets of type []byte, also in structs, slices and maps. It ignores further arguments. A missing
// argument is a BindError.
func (e *Event) Bind(targets ...any) error { return bind(e.args, e.attachments, targets) }

// Ack sets the ack for the browser's callback. The ack is sent when the handler returns nil, after
// everything that the handler emitted. It is ignored when the browser waits for none.
//
// Ack returns an error for arguments that cannot be encoded. The event then fails, unless the
// handler returns an error or calls Ack again.
func (e *Event) Ack(args ...any) error {
	if e.acked {
		return ErrAcked
	}
	if !e.WantsAck {
		e.acked = true
		return nil
	}
	p := newPayload()
	if err := p.encode(args); err != nil {
		p.release()
		e.ackErr = err
		return err
	}
	// The caller may reuse its bytes when Ack has returned. They are sent later.
	for i, a := range p.attachments {
		p.attachments[i] = slices.Clone(a)
	}
	e.ack, e.acked, e.ackErr = p, true, nil
	return nil
}

// Ack is the ack of one socket to an emit.
type Ack struct {
	// SocketID is the socket that acknowledged.
	SocketID string

	args        []byte
	attachments [][]byte
}

// Args returns the arguments of the ack, each as raw JSON; see Event.Args.
func (a *Ack) Args() []json.RawMessage {
	args, _ := splitArray(a.args) // the broker has checked it
	return args
}

// Raw returns the arguments as one JSON array, as the browser wrote it.
func (a *Ack) Raw() json.RawMessage { return rawArray(a.args) }

// Attachments returns the binary parts in the order of their numbers.
func (a *Ack) Attachments() [][]byte { return a.attachments }

// Bind decodes the arguments of the ack; see Event.Bind.
func (a *Ack) Bind(targets ...any) error { return bind(a.args, a.attachments, targets) }

// Acks holds the acks to an emit.
type Acks struct {
	// Acks holds one ack for each socket that sent one, in no particular order.
	Acks []Ack
	// Sockets counts the sockets that the emit reached on the replica which accepted it.
	Sockets int
	// Missing counts the sockets that did not acknowledge in time, or left.
	Missing int
	// Dropped counts, of Sockets, those for which the event was dropped; see Count.
	Dropped int
}

func rawArray(args []byte) json.RawMessage {
	if len(args) == 0 {
		return json.RawMessage("[]")
	}
	return args
}
