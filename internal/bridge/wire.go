// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// Dispatches are written and results are read by hand, for the reason given in package wire; a test
// compares what is written with what the generated code reads.

// dispatchLayout holds the lengths of a dispatch's nested messages.
type dispatchLayout struct {
	namespace sio.Namespace
	event     int // within a message
	kind      int
	dispatch  int
	whole     int // as it stands in the batch
}

// layout measures a dispatch, with the introduction as it will be written.
func layout(d *dispatch.Dispatch, introduction []byte) (l dispatchLayout) {
	if l.namespace = d.Socket.Namespace(); l.namespace == sio.MainNamespace {
		l.namespace = ""
	}
	switch d.Kind {
	case dispatch.Event:
		l.kind = eventSize(d.Event)
	case dispatch.Message:
		l.event = eventSize(d.Event)
		l.kind = wire.BytesSize(l.event) + wire.OptionalSize(len(d.Sender.Service)) + wire.OptionalSize(len(d.Sender.Instance))
	case dispatch.Connect:
		if d.Socket.Introduction().Recovered {
			l.kind = wire.TagSize + 1
		}
	case dispatch.Disconnected:
		l.kind = wire.OptionalSize(len(d.Reason))
		for _, r := range d.Rooms {
			l.kind += wire.BytesSize(len(r))
		}
	case dispatch.RoomEvent:
		l.kind = wire.TagSize + 1 + wire.OptionalSize(len(d.RoomEvent.Room))
	}
	l.dispatch = wire.IDSize + wire.OptionalSize(len(d.Socket.ID())) + wire.OptionalSize(len(l.namespace)) + wire.BytesSize(l.kind)
	if d.WantsAck {
		l.dispatch += wire.TagSize + 1
	}
	if d.Redeliveries > 0 {
		l.dispatch += wire.TagSize + protowire.SizeVarint(uint64(d.Redeliveries))
	}
	if introduction != nil {
		l.dispatch += wire.BytesSize(len(introduction))
	}
	l.whole = wire.BytesSize(l.dispatch)
	return l
}

func eventSize(e *sio.Event) int {
	size := wire.OptionalSize(len(e.Name)) + wire.OptionalSize(len(e.Args))
	for _, a := range e.Attachments {
		size += wire.BytesSize(len(a))
	}
	return size
}

func appendEvent(b []byte, e *sio.Event) []byte {
	b = wire.AppendOptional(b, wire.EventName, e.Name)
	b = wire.AppendOptional(b, wire.EventArgs, e.Args)
	for _, a := range e.Attachments {
		b = append(wire.AppendHead(b, wire.EventAttachments, len(a)), a...)
	}
	return b
}

// appendDispatch writes a dispatch as one item of a batch.
func appendDispatch(b []byte, d *dispatch.Dispatch, l *dispatchLayout, introduction []byte) []byte {
	b = wire.AppendHead(b, wire.BatchItems, l.dispatch)
	b = protowire.AppendFixed64(append(b, wire.DispatchID<<3|byte(protowire.Fixed64Type)), uint64(d.ID))
	b = wire.AppendOptional(b, wire.DispatchSocketID, d.Socket.ID())
	b = wire.AppendOptional(b, wire.DispatchNamespace, l.namespace)
	switch d.Kind {
	case dispatch.Event:
		b = appendEvent(wire.AppendHead(b, wire.DispatchEvent, l.kind), d.Event)
	case dispatch.Message:
		b = wire.AppendHead(b, wire.DispatchMessage, l.kind)
		b = appendEvent(wire.AppendHead(b, wire.MessageEvent, l.event), d.Event)
		b = wire.AppendOptional(b, wire.MessageService, d.Sender.Service)
		b = wire.AppendOptional(b, wire.MessageInstanceID, d.Sender.Instance)
	case dispatch.Connect:
		b = wire.AppendHead(b, wire.DispatchConnect, l.kind)
		if l.kind > 0 {
			b = wire.AppendNumber(b, wire.ConnectRecovered, 1)
		}
	case dispatch.Disconnected:
		b = wire.AppendHead(b, wire.DispatchDisconnected, l.kind)
		b = wire.AppendOptional(b, wire.DisconnectedReason, d.Reason)
		for _, r := range d.Rooms {
			b = append(wire.AppendHead(b, wire.DisconnectedRooms, len(r)), r...)
		}
	case dispatch.RoomEvent:
		b = wire.AppendHead(b, wire.DispatchRoomEvent, l.kind)
		// the numbers are the contract's
		b = wire.AppendNumber(b, wire.RoomEventChange, uint64(d.RoomEvent.Change))
		b = wire.AppendOptional(b, wire.RoomEventRoom, d.RoomEvent.Room)
	}
	if d.WantsAck {
		b = wire.AppendNumber(b, wire.DispatchWantsAck, 1)
	}
	if d.Redeliveries > 0 {
		b = wire.AppendNumber(b, wire.DispatchRedeliveries, uint64(d.Redeliveries))
	}
	if introduction != nil {
		b = append(wire.AppendHead(b, wire.DispatchIntroduction, len(introduction)), introduction...)
	}
	return b
}

// appendBatchHead writes what stands before the items of a batch frame.
func appendBatchHead(b []byte, sequence, answered uint64, items int) []byte {
	size := wire.TagSize + protowire.SizeVarint(sequence) + items
	if answered > 0 {
		size += wire.TagSize + protowire.SizeVarint(answered)
	}
	b = wire.AppendHead(b, wire.FrameBatch, size)
	b = wire.AppendNumber(b, wire.BatchSequence, sequence)
	if answered > 0 {
		b = wire.AppendNumber(b, wire.BatchAnswered, answered)
	}
	return b
}

// appendFrameAck writes a whole frame.
func appendFrameAck(b []byte, answered uint64) []byte {
	b = wire.AppendHead(b, wire.FrameAck, wire.TagSize+protowire.SizeVarint(answered))
	return wire.AppendNumber(b, wire.FrameAckAnswered, answered)
}

// introduction describes a socket to an instance. Credentials are left out unless it
// asked for them. Browsers write what they like into headers, and protobuf takes only UTF-8, so
// anything else is replaced.
func introduction(i dispatch.Introduction, credentials bool) []byte {
	data, err := proto.Marshal(contract.IntroductionToProto(i.Handshake, i.Auth, i.Data, contract.Credentials(credentials)))
	if err != nil { // impossible, since all text is UTF-8; an empty introduction still introduces
		return []byte{}
	}
	return data
}

// readResult reads a Result. Its bytes are those of the frame.
func readResult(b []byte) (id sio.DispatchID, r sio.Result, err error) {
	for len(b) > 0 {
		f, rest, err := wire.Next(b)
		if err != nil {
			return 0, r, err
		}
		b = rest
		switch f.Key {
		case wire.ResultDispatchID<<3 | wire.Fixed64:
			id = sio.DispatchID(f.Number)
		case wire.ResultAck<<3 | wire.Length:
			r.Outcome = sio.Answered
			r.Ack, err = readAck(f.Data)
		case wire.ResultRefusal<<3 | wire.Length:
			var m spanwirev1.Refusal
			err = proto.Unmarshal(f.Data, &m)
			r = sio.Result{Outcome: sio.Refused, Message: m.GetMessage(), Data: m.GetData()}
		case wire.ResultFailure<<3 | wire.Length:
			var m spanwirev1.Failure
			err = proto.Unmarshal(f.Data, &m)
			r = sio.Result{Outcome: sio.Failed, Message: m.GetMessage()}
		}
		if err != nil {
			return 0, r, err
		}
	}
	return id, r, nil
}

func readAck(b []byte) (a sio.Ack, err error) {
	for len(b) > 0 {
		f, rest, err := wire.Next(b)
		if err != nil {
			return a, err
		}
		b = rest
		switch f.Key {
		case wire.AckArgs<<3 | wire.Length:
			a.Args = f.Data
		case wire.AckAttachments<<3 | wire.Length:
			a.Attachments = append(a.Attachments, f.Data)
		}
	}
	return a, nil
}
