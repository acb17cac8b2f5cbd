// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"github.com/spanwire/spanwire/internal/jsonscan"
	"github.com/spanwire/spanwire/internal/sio"
)

// A Decoder is in one of two states. Idle: a text message is due, and a binary one is refused.
// Waiting: the text of a binary packet has come, as many binary messages are due as it announced,
// and a text message is refused. After an error it must not be used again.
//
// The first message decides what the session is written in: text means JSON, and binary means
// MessagePack. In MessagePack every message is binary and a whole packet, and the decoder is always
// idle.

// Decoder reads the packets of one session. The zero value with Limits set is ready.
type Decoder struct {
	Limits  *Limits  // never changed
	waiting *waiting // nil when idle

	// Protocol4 reads connects as clients of protocol 4 write them, see protocol4.go. It is never
	// changed once a message has come.
	Protocol4 bool
	format    format // set by the first message
}

// format is what the packets of a session are written in.
type format uint8

const (
	formatUnknown format = iota
	formatJSON
	formatMsgpack
)

// waiting is a binary packet whose attachments have not all come.
type waiting struct {
	packet Packet
	due    int // attachments
	room   int // bytes that they may still have
}

// Waiting tells whether attachments are due.
func (d *Decoder) Waiting() bool { return d.waiting != nil }

// Msgpack tells whether the session is written in MessagePack.
func (d *Decoder) Msgpack() bool { return d.format == formatMsgpack }

// Text takes one text message, valid UTF-8. The data belongs to the packet from now on and is
// altered in place. When complete is false, attachments are due; type, namespace and id of the
// packet are valid nevertheless.
func (d *Decoder) Text(data []byte) (p Packet, complete bool, err error) {
	if d.waiting != nil || d.format == formatMsgpack {
		return p, false, errs[VerdictTextExpectedBinary]
	}
	if d.format == formatUnknown {
		d.format = formatJSON
	}
	if len(data) == 0 {
		return p, false, errs[VerdictType]
	}
	p.Type = PacketType(data[0])
	rest := data[1:]
	due := 0
	if p.Type.binary() {
		if due, rest, err = d.attachments(rest); err != nil {
			return p, false, err
		}
	}
	var query []byte
	if p.Namespace, query, rest, err = d.namespace(rest); err != nil {
		return p, false, err
	}
	if p.ID, p.HasID, rest, err = ackID(rest); err != nil {
		return p, false, err
	}
	if err = d.payload(&p, rest, due); err != nil {
		return p, false, err
	}
	if d.Protocol4 && p.Type == Connect {
		p.Payload = queryObject(query)
	}
	if due == 0 {
		return p, true, nil
	}
	d.waiting = &waiting{packet: p, due: due, room: d.Limits.AttachmentBytes}
	return p, false, nil
}

// Restore undoes what Text altered in the message of a packet that it decoded, so that the message
// can be shown as it came. The packet's event must not be used any more.
func (p *Packet) Restore(message []byte) {
	// The arguments are a part of the message that begins where a comma was.
	comma := cap(message) - cap(p.Event.Args)
	if p.Type != Event && p.Type != BinaryEvent || len(p.Event.Args) < 2 || comma <= 0 || comma >= len(message) || &message[comma] != &p.Event.Args[0] {
		return
	}
	message[comma] = ','
}

// Binary takes one binary message, which belongs to the packet from now on. When complete is false,
// more attachments are due.
func (d *Decoder) Binary(data []byte) (p Packet, complete bool, err error) {
	if d.format == formatUnknown && !d.Protocol4 {
		d.format = formatMsgpack
	}
	if d.format == formatMsgpack {
		p, err = ParseMsgpack(data, d.Limits)
		return p, err == nil, err
	}
	w := d.waiting
	if w == nil {
		return p, false, errs[VerdictBinaryUnexpected]
	}
	if len(data) > w.room {
		return p, false, errs[VerdictAttachmentBytes]
	}
	w.room -= len(data)
	w.due--
	w.packet.Event.Attachments = append(w.packet.Event.Attachments, data)
	if w.due > 0 {
		return p, false, nil
	}
	d.waiting = nil
	return w.packet, true, nil
}

// attachments reads "<number>-".
func (d *Decoder) attachments(data []byte) (n int, rest []byte, err error) {
	i := 0
	for ; i < len(data) && isDigit(data[i]); i++ {
		if n = n*10 + int(data[i]-'0'); n > d.Limits.Attachments {
			return 0, nil, errs[VerdictTooManyAttachments]
		}
	}
	if n == 0 || i == len(data) || data[i] != '-' {
		return 0, nil, errs[VerdictAttachments]
	}
	return n, data[i+1:], nil
}

// namespace reads "/name," or nothing. In protocol 4 a query may follow the name.
func (d *Decoder) namespace(data []byte) (ns sio.Namespace, query, rest []byte, err error) {
	if len(data) == 0 || data[0] != '/' {
		return sio.MainNamespace, nil, data, nil
	}
	end, next, mark := len(data), len(data), -1
	for i, c := range data {
		if c == ',' {
			end, next = i, i+1
			break
		}
		if mark >= 0 {
			continue
		}
		if c == '?' && d.Protocol4 {
			mark = i
		} else if i >= d.Limits.Namespace {
			return "", nil, nil, errs[VerdictNamespace]
		}
	}
	if mark < 0 {
		return sio.Namespace(data[:end]), nil, data[next:], nil
	}
	return sio.Namespace(data[:mark]), data[mark+1 : end], data[next:], nil
}

// ackID reads digits or nothing.
func ackID(data []byte) (id sio.AckID, has bool, rest []byte, err error) {
	const maxDigits = 16 // of 2^53-1
	i := 0
	for ; i < len(data) && isDigit(data[i]); i++ {
		if i == maxDigits {
			return 0, false, nil, errs[VerdictAckID]
		}
		id = id*10 + sio.AckID(data[i]-'0')
	}
	if id > MaxAckID {
		return 0, false, nil, errs[VerdictAckID]
	}
	return id, i > 0, data[i:], nil
}

// payload reads the JSON as the packet's type asks for.
func (d *Decoder) payload(p *Packet, data []byte, due int) error {
	s := scanner{jsonscan.Scanner{Data: data, Depth: d.Limits.Depth, Placeholders: due > 0, Attachments: due}}
	switch p.Type {
	case Event, BinaryEvent:
		if err := s.event(&p.Event); err != nil {
			return err
		}
		return d.Limits.eventName(&p.Event)
	case Ack, BinaryAck:
		return s.ack(&p.Event)
	case Connect, Disconnect, ConnectError:
		if p.HasID {
			return errs[VerdictAckID]
		}
		return s.control(p)
	}
	return errs[VerdictType]
}

// eventName checks the length of the event's name.
func (l *Limits) eventName(ev *sio.Event) error {
	if len(ev.Name) > l.EventName {
		return errs[VerdictEventNameLength]
	}
	return nil
}

// control reads the payload of a connect (an object or nothing), a disconnect (nothing) or a
// connect error (an object or a string).
func (s *scanner) control(p *Packet) error {
	if len(s.Data) == 0 && p.Type != ConnectError {
		return nil
	}
	if len(s.Data) == 0 || p.Type == Disconnect {
		return errs[VerdictPayload]
	}
	begin := s.Space(0)
	if err := s.document(begin); err != nil {
		return err
	}
	if c := s.Data[begin]; c != '{' && (c != '"' || p.Type != ConnectError) {
		return errs[VerdictPayload]
	}
	p.Payload = s.Data[begin:]
	return nil
}

// ack reads the arguments of an ack: an array, or nothing.
func (s *scanner) ack(ev *sio.Event) error {
	if len(s.Data) == 0 {
		if s.Placeholders {
			return errs[VerdictPayload]
		}
		return nil
	}
	begin := s.Space(0)
	if s.At(begin) != '[' {
		if err := s.document(begin); err != nil {
			return err
		}
		return errs[VerdictPayload]
	}
	end, err := s.array(begin)
	if err != nil {
		return err
	}
	ev.Args = s.Data[begin:end]
	return s.end(end)
}

// event reads an array that begins with the event's name. The comma behind the name becomes the
// bracket of the arguments' own array, so that nothing is copied.
func (s *scanner) event(ev *sio.Event) error {
	begin := s.Space(0)
	if s.At(begin) != '[' {
		return s.notEvent(begin)
	}
	s.Depth-- // of the array; there is always room for one
	name := s.Space(begin + 1)
	if s.At(name) == ']' {
		return s.notEvent(begin)
	}
	end, err := s.name(name, ev)
	if err != nil {
		return err
	}
	comma := s.Space(end)
	switch s.At(comma) {
	case ']':
		return s.end(comma + 1)
	case ',':
	default:
		return errs[VerdictJSON]
	}
	end, err = s.elements(s.Space(comma + 1))
	if err != nil {
		return err
	}
	if err = s.end(end); err != nil {
		return err
	}
	s.Data[comma] = '['
	ev.Args = s.Data[comma:end]
	return nil
}

// notEvent tells the wrong kind of JSON from what is no JSON.
func (s *scanner) notEvent(begin int) error {
	if begin < len(s.Data) {
		if err := s.document(begin); err != nil {
			return err
		}
	}
	return errs[VerdictPayload]
}

// name reads the event's name: a string, or a number, which is delivered as its text.
func (s *scanner) name(i int, ev *sio.Event) (int, error) {
	var (
		end     int
		escaped bool
	)
	switch c := s.At(i); {
	case c == '"':
		if end, escaped = s.Text(i); end == jsonscan.Fail {
			return jsonscan.Fail, errs[VerdictJSON]
		}
		if escaped {
			ev.Name = jsonscan.Unquote(s.Data[i:end])
		} else {
			ev.Name = string(s.Data[i+1 : end-1])
		}
		if sio.ReservedEvent(ev.Name) {
			return jsonscan.Fail, errs[VerdictReserved]
		}
	case c == '-' || isDigit(c):
		if end = s.Number(i); end == jsonscan.Fail {
			return jsonscan.Fail, errs[VerdictJSON]
		}
		ev.Name = string(s.Data[i:end])
	default:
		if _, err := s.value(i); err != nil {
			return jsonscan.Fail, err
		}
		return jsonscan.Fail, errs[VerdictEventName]
	}
	return end, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
