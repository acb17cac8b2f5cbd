// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The frames of dispatches are read by hand: what the generated code allocates for each event costs several times more than
// the reading itself. Everything else, the rare frames, goes through the generated code. What is read here points into
// the frame, which nobody changes or reuses.

var errBadFrame = errors.New("spanwire: the broker sent a frame that cannot be read")

// Field numbers of spanwire.v1; a test compares this file with the generated code.
const (
	responseBatch = 2 // AttachResponse

	batchSequence   = 1 // DispatchBatch
	batchAnswered   = 2
	batchDispatches = 3
	batchAnswers    = 4
	batchReleased   = 5

	dispatchID           = 1 // Dispatch
	dispatchSocketID     = 2
	dispatchNamespace    = 3
	dispatchEvent        = 4
	dispatchConnect      = 5
	dispatchDisconnected = 6
	dispatchWantsAck     = 7
	dispatchRedeliveries = 8
	dispatchIntroduction = 9
	dispatchRoomEvent    = 10
	dispatchMessage      = 11

	eventName        = 1 // Event
	eventArgs        = 2
	eventAttachments = 3

	disconnectedReason = 1 // Disconnected
	disconnectedRooms  = 2

	connectRecovered = 1 // Connect
)

type dispatchKind uint8

const (
	kindUnknown dispatchKind = iota
	kindEvent
	kindConnect
	kindDisconnected
	kindRoomEvent
	kindMessage
)

// inBatch is a DispatchBatch.
type inBatch struct {
	sequence, answered uint64
	dispatches         []inDispatch // reused by the reader
	answers            [][]byte     // each an Answer
	released           [][]byte     // ids of sockets that go to another instance
}

// inDispatch is a Dispatch.
type inDispatch struct {
	id           uint64
	kind         dispatchKind
	wantsAck     bool
	redeliveries uint32
	socketID     []byte
	namespace    []byte
	name         []byte // of the event, or the reason of the disconnect
	args         []byte
	attachments  [][]byte
	introduction []byte
	introduced   bool
	recovered    bool
	rooms        []string // that a disconnected socket was in
	rare         []byte   // a RoomEvent or a Message, which the generated code reads
}

// The wire types that are met; the lowest bits of a field's key.
const (
	varint  = uint64(protowire.VarintType)
	fixed64 = uint64(protowire.Fixed64Type)
	length  = uint64(protowire.BytesType)
)

// field is one field of a message: a number for varint and fixed64, bytes otherwise. A known number with another wire type is another
// key, and so as good as unknown.
type field struct {
	key    uint64 // number << 3 | wire type
	number uint64
	data   []byte
}

// nextField cuts the first field off a message.
func nextField(b []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, errBadFrame
	}
	b = b[n:]
	f.key = uint64(num)<<3 | uint64(typ)
	switch typ {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.data, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return f, nil, errBadFrame
	}
	return f, b[n:], nil
}

// batchOf gives the batch of an AttachResponse, and false when the frame is something else.
func batchOf(frame []byte) ([]byte, bool) {
	f, rest, err := nextField(frame)
	return f.data, err == nil && f.key == responseBatch<<3|length && len(rest) == 0
}

// read parses a batch. Its lists are reused.
func (b *inBatch) read(data []byte) error {
	b.sequence, b.answered = 0, 0
	clear(b.dispatches)
	b.dispatches, b.answers, b.released = b.dispatches[:0], b.answers[:0], b.released[:0]
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.key {
		case batchSequence<<3 | varint:
			b.sequence = f.number
		case batchAnswered<<3 | varint:
			b.answered = f.number
		case batchDispatches<<3 | length:
			b.dispatches = append(b.dispatches, inDispatch{})
			if err := b.dispatches[len(b.dispatches)-1].read(f.data); err != nil {
				return err
			}
		case batchAnswers<<3 | length:
			b.answers = append(b.answers, f.data)
		case batchReleased<<3 | length:
			b.released = append(b.released, f.data)
		}
	}
	return nil
}

func (d *inDispatch) read(data []byte) error {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.key {
		case dispatchID<<3 | fixed64:
			d.id = f.number
		case dispatchSocketID<<3 | length:
			d.socketID = f.data
		case dispatchNamespace<<3 | length:
			d.namespace = f.data
		case dispatchEvent<<3 | length:
			d.kind = kindEvent
			err = d.readEvent(f.data)
		case dispatchConnect<<3 | length:
			d.kind = kindConnect
			err = d.readConnect(f.data)
		case dispatchDisconnected<<3 | length:
			d.kind = kindDisconnected
			err = d.readDisconnected(f.data)
		case dispatchRoomEvent<<3 | length:
			d.kind, d.rare = kindRoomEvent, f.data
		case dispatchMessage<<3 | length:
			d.kind, d.rare = kindMessage, f.data
		case dispatchWantsAck<<3 | varint:
			d.wantsAck = f.number != 0
		case dispatchRedeliveries<<3 | varint:
			d.redeliveries = uint32(min(f.number, math.MaxUint32))
		case dispatchIntroduction<<3 | length:
			d.introduction, d.introduced = f.data, true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *inDispatch) readEvent(data []byte) error {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.key {
		case eventName<<3 | length:
			d.name = f.data
		case eventArgs<<3 | length:
			d.args = f.data
		case eventAttachments<<3 | length:
			d.attachments = append(d.attachments, f.data)
		}
	}
	return nil
}

func (d *inDispatch) readConnect(data []byte) error {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		if f.key == connectRecovered<<3|varint {
			d.recovered = f.number != 0
		}
	}
	return nil
}

func (d *inDispatch) readDisconnected(data []byte) error {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.key {
		case disconnectedReason<<3 | length:
			d.name = f.data
		case disconnectedRooms<<3 | length:
			d.rooms = append(d.rooms, string(f.data))
		}
	}
	return nil
}
