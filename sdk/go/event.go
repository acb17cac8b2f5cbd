// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"encoding/json"
	"slices"
)

// Event is one event that a browser emitted. It is valid after the handler returned too, but an ack
// is not sent any more then.
type Event struct {
	// ID is unique in the cluster and the same when the event is handed out again, so that
	// duplicates can be told.
	ID uint64
	// Name is the event's name.
	Name string
	// Socket is the socket that emitted it.
	Socket *Socket
	// Redeliveries counts how often the event was handed out before.
	Redeliveries int
	// WantsAck says that the browser waits for an ack. It gets an empty one if the handler gives
	// none and returns nil.
	WantsAck bool

	args        []byte
	attachments [][]byte
	ack         *payload // nil until Ack
	acked       bool
	// why an answer that the handler gave cannot be sent; nil when a later one can
	ackErr error
}

// Args gives the arguments, each as raw JSON. An attachment stands in them as
// {"_placeholder":true,"num":N}. They must not be changed.
func (e *Event) Args() []json.RawMessage {
	args, _ := splitArray(e.args) // the broker has checked it
	return args
}

// Raw gives the arguments as one JSON array, as the browser wrote it. It must not be changed.
func (e *Event) Raw() json.RawMessage { return rawArray(e.args) }

// Attachments gives the binary parts in the order of their numbers. They must not be changed.
func (e *Event) Attachments() [][]byte { return e.attachments }

// Bind decodes the arguments into the targets, as encoding/json does, with attachments put where
// they belong: into []byte, also inside structs, slices and maps. Further arguments are ignored; a
// missing one is a BindError.
func (e *Event) Bind(targets ...any) error { return bind(e.args, e.attachments, targets) }

// Ack gives the answer for the browser's callback. It is sent when the handler returns nil, after
// everything that the handler emitted, and ignored if the browser waits for none. An answer that
// cannot be encoded is an error here, and fails the event if the handler neither returns an error
// nor gives another answer.
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
	// The caller may reuse its bytes as soon as Ack returned, but they are sent later.
	for i, a := range p.attachments {
		p.attachments[i] = slices.Clone(a)
	}
	e.ack, e.acked, e.ackErr = p, true, nil
	return nil
}

// Ack is the answer of one socket to an emit.
type Ack struct {
	// SocketID names the socket that answered.
	SocketID string

	args        []byte
	attachments [][]byte
}

// Args gives the answer's arguments, each as raw JSON; see Event.Args.
func (a *Ack) Args() []json.RawMessage {
	args, _ := splitArray(a.args) // the broker has checked it
	return args
}

// Raw gives the arguments as one JSON array, as the browser wrote it.
func (a *Ack) Raw() json.RawMessage { return rawArray(a.args) }

// Attachments gives the binary parts in the order of their numbers.
func (a *Ack) Attachments() [][]byte { return a.attachments }

// Bind decodes the answer's arguments; see Event.Bind.
func (a *Ack) Bind(targets ...any) error { return bind(a.args, a.attachments, targets) }

// Acks are the answers to an emit.
type Acks struct {
	// Acks holds one answer for each socket that gave one. The order means nothing.
	Acks []Ack
	// Sockets counts the sockets that the emit reached on the replica that took it.
	Sockets int
	// Missing counts the sockets that were asked and did not answer: in time, or since they left.
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
