// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"sync"

	"github.com/spanwire/spanwire/internal/sio"
)

// Kinds is how many encodings a Delivery keeps: kinds count from 0 to Kinds-1.
const Kinds = 4

// Delivery is one event on its way to local sockets. All receivers share it, and none may change
// it. A socket may keep it for as long as it likes.
type Delivery struct {
	Namespace sio.Namespace
	Event     *sio.Event
	sio.EmitFlags
	WantsAck  bool
	AckID     sio.AckID // with WantsAck: one id for all receivers, unique on this replica
	Receivers int       // how many sockets share it; a lone receiver need not keep its encoding
	// Offset is sent to browsers that may be recovered, in the event that Marked gives; empty when
	// there is nothing to tell.
	Offset string
	// Unflushed asks a socket to queue the event only: the hub flushes later.
	Unflushed bool

	tally      *sio.Tally  // nil when nobody asks
	collection *Collection // with WantsAck
	once       [Kinds]sync.Once
	encoded    [Kinds]any
	markedOnce sync.Once
	marked     sio.Event
}

// Marked gives the event with the offset as one more argument. Without an offset it is the event
// itself.
func (d *Delivery) Marked() *sio.Event {
	if d.Offset == "" {
		return d.Event
	}
	d.markedOnce.Do(func() {
		d.marked = *d.Event
		d.marked.Args = WithOffset(d.Event.Args, d.Offset)
	})
	return &d.marked
}

// Encoded gives the encoding of the kind: the first socket that writes it encodes, the rest reuse.
// Kinds are the edge's own.
func (d *Delivery) Encoded(kind int, encode func() any) any {
	d.once[kind].Do(func() { d.encoded[kind] = encode() })
	return d.encoded[kind]
}

// Dropped says that the event was dropped for a socket, while it was delivered. Left must follow
// where an ack is wanted.
func (d *Delivery) Dropped() {
	if d.tally != nil {
		d.tally.Drop()
	}
}

// Acked says that the socket's client answered. A second answer, one after Left, and one that came
// too late do nothing.
func (d *Delivery) Acked(id sio.SocketID, ack sio.Ack) {
	if d.collection != nil {
		d.collection.acked(id, ack)
	}
}

// Left says that no answer of the socket will come: it left, or the delivery was dropped for it.
func (d *Delivery) Left(id sio.SocketID) {
	if d.collection != nil {
		d.collection.left(id)
	}
}
