// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"errors"
	"math"

	"github.com/spanwire/spanwire/api/wire"
)

// Frames with dispatches are decoded by hand, for the reason given in package wire. All other
// frames are rare and use the generated code. The decoded fields point into the frame, which is
// neither changed nor reused.

var errBadFrame = errors.New("spanwire: protocol violation by the broker: malformed frame")

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
	released           [][]byte     // ids of sockets that are assigned to another instance
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
	rare         []byte   // a RoomEvent or a Message; the generated code decodes it
}

// batchFromFrame returns the batch of an AttachResponse. It returns false for any other frame.
func batchFromFrame(frame []byte) ([]byte, bool) {
	f, rest, err := wire.Next(frame)
	return f.Data, err == nil && f.Key == wire.FrameBatch<<3|wire.Length && len(rest) == 0
}

// read decodes a batch. It reuses the lists of the previous one.
func (b *inBatch) read(data []byte) error {
	b.sequence, b.answered = 0, 0
	clear(b.dispatches)
	b.dispatches, b.answers, b.released = b.dispatches[:0], b.answers[:0], b.released[:0]
	for len(data) > 0 {
		f, rest, err := wire.Next(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.Key {
		case wire.BatchSequence<<3 | wire.Varint:
			b.sequence = f.Number
		case wire.BatchAnswered<<3 | wire.Varint:
			b.answered = f.Number
		case wire.BatchItems<<3 | wire.Length:
			b.dispatches = append(b.dispatches, inDispatch{})
			if err := b.dispatches[len(b.dispatches)-1].read(f.Data); err != nil {
				return err
			}
		case wire.BatchAnswers<<3 | wire.Length:
			b.answers = append(b.answers, f.Data)
		case wire.BatchReleased<<3 | wire.Length:
			b.released = append(b.released, f.Data)
		}
	}
	return nil
}

func (d *inDispatch) read(data []byte) error {
	for len(data) > 0 {
		f, rest, err := wire.Next(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.Key {
		case wire.DispatchID<<3 | wire.Fixed64:
			d.id = f.Number
		case wire.DispatchSocketID<<3 | wire.Length:
			d.socketID = f.Data
		case wire.DispatchNamespace<<3 | wire.Length:
			d.namespace = f.Data
		case wire.DispatchEvent<<3 | wire.Length:
			d.kind = kindEvent
			err = d.readEvent(f.Data)
		case wire.DispatchConnect<<3 | wire.Length:
			d.kind = kindConnect
			err = d.readConnect(f.Data)
		case wire.DispatchDisconnected<<3 | wire.Length:
			d.kind = kindDisconnected
			err = d.readDisconnected(f.Data)
		case wire.DispatchRoomEvent<<3 | wire.Length:
			d.kind, d.rare = kindRoomEvent, f.Data
		case wire.DispatchMessage<<3 | wire.Length:
			d.kind, d.rare = kindMessage, f.Data
		case wire.DispatchWantsAck<<3 | wire.Varint:
			d.wantsAck = f.Number != 0
		case wire.DispatchRedeliveries<<3 | wire.Varint:
			d.redeliveries = uint32(min(f.Number, math.MaxUint32))
		case wire.DispatchIntroduction<<3 | wire.Length:
			d.introduction, d.introduced = f.Data, true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *inDispatch) readEvent(data []byte) error {
	for len(data) > 0 {
		f, rest, err := wire.Next(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.Key {
		case wire.EventName<<3 | wire.Length:
			d.name = f.Data
		case wire.EventArgs<<3 | wire.Length:
			d.args = f.Data
		case wire.EventAttachments<<3 | wire.Length:
			d.attachments = append(d.attachments, f.Data)
		}
	}
	return nil
}

func (d *inDispatch) readConnect(data []byte) error {
	for len(data) > 0 {
		f, rest, err := wire.Next(data)
		if err != nil {
			return err
		}
		data = rest
		if f.Key == wire.ConnectRecovered<<3|wire.Varint {
			d.recovered = f.Number != 0
		}
	}
	return nil
}

func (d *inDispatch) readDisconnected(data []byte) error {
	for len(data) > 0 {
		f, rest, err := wire.Next(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.Key {
		case wire.DisconnectedReason<<3 | wire.Length:
			d.name = f.Data
		case wire.DisconnectedRooms<<3 | wire.Length:
			d.rooms = append(d.rooms, string(f.Data))
		}
	}
	return nil
}
