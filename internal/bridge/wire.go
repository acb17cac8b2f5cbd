// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// Dispatches are written and results are read by hand: what the generated code allocates for each costs several times more than
// the copying itself. All else goes through the generated code. Field numbers are those of spanwire.v1; a test compares this file with
// the generated code. All are below 16, so that a tag is one byte.

const (
	frameRegister      = 1 // AttachRequest
	frameBatch         = 2 // AttachRequest and AttachResponse
	frameAck           = 3
	frameDrain         = 4
	frameRegistrations = 5

	batchSequence = 1 // DispatchBatch and ActionBatch
	batchAnswered = 2
	batchItems    = 3 // dispatches or actions
	batchAnswers  = 4 // DispatchBatch
	batchReleased = 5

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

	connectRecovered = 1 // Connect

	roomEventChange = 1 // RoomEvent
	roomEventRoom   = 2

	messageEvent      = 1 // Message
	messageService    = 2
	messageInstanceID = 3

	disconnectedReason = 1 // Disconnected
	disconnectedRooms  = 2

	actionResult  = 1 // Action
	actionCommand = 2

	resultDispatchID = 1 // Result
	resultAck        = 2
	resultRefusal    = 3
	resultFailure    = 4

	ackArgs        = 1 // Ack
	ackAttachments = 2
)

const (
	tagSize = 1
	idSize  = tagSize + 8
)

func bytesSize(n int) int { return tagSize + protowire.SizeBytes(n) }

// optionalSize is the size of a bytes field that is left out when empty.
func optionalSize(n int) int {
	if n == 0 {
		return 0
	}
	return bytesSize(n)
}

func appendHead(b []byte, num protowire.Number, size int) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.BytesType)), uint64(size))
}

func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.VarintType)), v)
}

func appendOptional[T ~string | ~[]byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendHead(b, num, len(v)), v...)
}

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
		l.kind = bytesSize(l.event) + optionalSize(len(d.Sender.Service)) + optionalSize(len(d.Sender.Instance))
	case dispatch.Connect:
		if d.Socket.Introduction().Recovered {
			l.kind = tagSize + 1
		}
	case dispatch.Disconnected:
		l.kind = optionalSize(len(d.Reason))
		for _, r := range d.Rooms {
			l.kind += bytesSize(len(r))
		}
	case dispatch.RoomEvent:
		l.kind = tagSize + 1 + optionalSize(len(d.RoomEvent.Room))
	}
	l.dispatch = idSize + optionalSize(len(d.Socket.ID())) + optionalSize(len(l.namespace)) + bytesSize(l.kind)
	if d.WantsAck {
		l.dispatch += tagSize + 1
	}
	if d.Redeliveries > 0 {
		l.dispatch += tagSize + protowire.SizeVarint(uint64(d.Redeliveries))
	}
	if introduction != nil {
		l.dispatch += bytesSize(len(introduction))
	}
	l.whole = bytesSize(l.dispatch)
	return l
}

func eventSize(e *sio.Event) int {
	size := optionalSize(len(e.Name)) + optionalSize(len(e.Args))
	for _, a := range e.Attachments {
		size += bytesSize(len(a))
	}
	return size
}

func appendEvent(b []byte, e *sio.Event) []byte {
	b = appendOptional(b, eventName, e.Name)
	b = appendOptional(b, eventArgs, e.Args)
	for _, a := range e.Attachments {
		b = append(appendHead(b, eventAttachments, len(a)), a...)
	}
	return b
}

// appendDispatch writes a dispatch as one item of a batch.
func appendDispatch(b []byte, d *dispatch.Dispatch, l *dispatchLayout, introduction []byte) []byte {
	b = appendHead(b, batchItems, l.dispatch)
	b = protowire.AppendFixed64(append(b, dispatchID<<3|byte(protowire.Fixed64Type)), uint64(d.ID))
	b = appendOptional(b, dispatchSocketID, d.Socket.ID())
	b = appendOptional(b, dispatchNamespace, l.namespace)
	switch d.Kind {
	case dispatch.Event:
		b = appendEvent(appendHead(b, dispatchEvent, l.kind), d.Event)
	case dispatch.Message:
		b = appendHead(b, dispatchMessage, l.kind)
		b = appendEvent(appendHead(b, messageEvent, l.event), d.Event)
		b = appendOptional(b, messageService, d.Sender.Service)
		b = appendOptional(b, messageInstanceID, d.Sender.Instance)
	case dispatch.Connect:
		b = appendHead(b, dispatchConnect, l.kind)
		if l.kind > 0 {
			b = appendNumber(b, connectRecovered, 1)
		}
	case dispatch.Disconnected:
		b = appendHead(b, dispatchDisconnected, l.kind)
		b = appendOptional(b, disconnectedReason, d.Reason)
		for _, r := range d.Rooms {
			b = append(appendHead(b, disconnectedRooms, len(r)), r...)
		}
	case dispatch.RoomEvent:
		b = appendHead(b, dispatchRoomEvent, l.kind)
		b = appendNumber(b, roomEventChange, uint64(d.RoomEvent.Change)) // the numbers are the contract's
		b = appendOptional(b, roomEventRoom, d.RoomEvent.Room)
	}
	if d.WantsAck {
		b = appendNumber(b, dispatchWantsAck, 1)
	}
	if d.Redeliveries > 0 {
		b = appendNumber(b, dispatchRedeliveries, uint64(d.Redeliveries))
	}
	if introduction != nil {
		b = append(appendHead(b, dispatchIntroduction, len(introduction)), introduction...)
	}
	return b
}

// appendBatchHead writes what stands before the items of a batch frame.
func appendBatchHead(b []byte, sequence, answered uint64, items int) []byte {
	size := tagSize + protowire.SizeVarint(sequence) + items
	if answered > 0 {
		size += tagSize + protowire.SizeVarint(answered)
	}
	b = appendHead(b, frameBatch, size)
	b = appendNumber(b, batchSequence, sequence)
	if answered > 0 {
		b = appendNumber(b, batchAnswered, answered)
	}
	return b
}

// appendFrameAck writes a whole frame.
func appendFrameAck(b []byte, answered uint64) []byte {
	b = appendHead(b, frameAck, tagSize+protowire.SizeVarint(answered))
	return appendNumber(b, 1, answered)
}

// introduction writes what an instance is told of a socket. Credentials are left out unless it asked for them. Browsers write what they
// like into headers, and protobuf takes only UTF-8, so anything else is replaced.
func introduction(i dispatch.Introduction, credentials bool) []byte {
	m := handshakeOf(i.Handshake, i.Auth, credentials)
	data, err := proto.Marshal(&spanwirev1.Introduction{Handshake: m, Data: i.Data.Value, DataVersion: i.Data.Version})
	if err != nil { // impossible, since all text is UTF-8; an empty introduction still introduces
		return []byte{}
	}
	return data
}

func handshakeOf(h *sio.Handshake, auth []byte, credentials bool) *spanwirev1.Handshake {
	m := &spanwirev1.Handshake{Auth: auth}
	if h != nil {
		m.Url, m.Address, m.Method, m.Host = text(h.URL), text(h.Address), text(h.Method), text(h.Host)
		m.Secure, m.CrossDomain, m.IssuedMs = h.Secure, h.CrossDomain, h.IssuedMs
		m.Transport, m.EngineProtocol = h.Transport, uint32(h.EngineProtocol)
		for _, x := range h.Headers {
			if !credentials && x.Secret() {
				continue
			}
			m.Headers = append(m.Headers, &spanwirev1.Header{Name: text(x.Name), Value: text(x.Value)})
		}
	}
	return m
}

func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

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

// next cuts the first field off a message.
func next(b []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, protowire.ParseError(n)
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
		return f, nil, protowire.ParseError(n)
	}
	return f, b[n:], nil
}

// each calls visit with the fields of a message.
func each(b []byte, visit func(f field) error) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// readResult reads a Result. Its bytes are those of the frame.
func readResult(b []byte) (id sio.DispatchID, r sio.Result, err error) {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return 0, r, err
		}
		b = rest
		switch f.key {
		case resultDispatchID<<3 | fixed64:
			id = sio.DispatchID(f.number)
		case resultAck<<3 | length:
			r.Outcome = sio.Answered
			r.Ack, err = readAck(f.data)
		case resultRefusal<<3 | length:
			var m spanwirev1.Refusal
			err = proto.Unmarshal(f.data, &m)
			r = sio.Result{Outcome: sio.Refused, Message: m.GetMessage(), Data: m.GetData()}
		case resultFailure<<3 | length:
			var m spanwirev1.Failure
			err = proto.Unmarshal(f.data, &m)
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
		f, rest, err := next(b)
		if err != nil {
			return a, err
		}
		b = rest
		switch f.key {
		case ackArgs<<3 | length:
			a.Args = f.data
		case ackAttachments<<3 | length:
			a.Attachments = append(a.Attachments, f.data)
		}
	}
	return a, nil
}
