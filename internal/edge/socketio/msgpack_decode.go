// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/jsonscan"
	"github.com/spanwire/spanwire/internal/sio"
)

// ParseMsgpack reads one packet in MessagePack. The data belongs to the packet from now on: its
// attachments are parts of it.
func ParseMsgpack(data []byte, limits *Limits) (Packet, error) {
	m, err := members(data)
	if err != nil {
		return Packet{}, err
	}
	var p Packet
	if err = m.head(&p, data, limits); err != nil {
		return p, err
	}
	t := transcoder{data: data, limits: limits, depth: limits.Depth}
	switch p.Type {
	case Event:
		err = t.event(&p.Event, m.data)
	case Ack:
		err = t.ack(&p.Event, m.data)
	default:
		err = t.control(&p, m.data)
	}
	if err == nil {
		err = t.finish(&p)
	}
	return p, err
}

// positions are where the members of a packet's map stand; 0 for those that are missing, nil or
// undefined.
type positions struct{ kind, namespace, data, id int }

// members finds the members that matter. As in JavaScript the last of two equal keys counts.
func members(data []byte) (m positions, err error) {
	packet, i, err := readElement(data, 0)
	if err != nil || packet.kind != kindMap {
		return m, errs[VerdictMsgpack]
	}
	for range packet.size / 2 {
		key, begin, err := readElement(data, i)
		if err != nil {
			return m, err
		}
		if key.kind != kindText {
			return m, errs[VerdictMsgpack]
		}
		value := begin + key.size
		var member *int
		switch string(data[begin:value]) {
		case "type":
			member = &m.kind
		case "nsp":
			member = &m.namespace
		case "data":
			member = &m.data
		case "id":
			member = &m.id
		}
		if i, err = skip(data, value); err != nil {
			return m, err
		}
		if member == nil {
			continue
		}
		*member = value
		if e, _, _ := readElement(data, value); e.kind == kindNil || e.kind == kindUndefined {
			*member = 0
		}
	}
	if i != len(data) {
		return m, errs[VerdictMsgpack]
	}
	return m, nil
}

// head reads all but the data. Every member has been read once.
func (m *positions) head(p *Packet, data []byte, limits *Limits) error {
	n, ok := int64(0), false
	if m.kind > 0 {
		e, _, _ := readElement(data, m.kind)
		n, ok = e.integer()
	}
	if !ok || n < 0 || n > int64(ConnectError-Connect) {
		return errs[VerdictType]
	}
	p.Type = Connect + PacketType(n)
	p.Namespace = sio.MainNamespace
	if m.namespace > 0 {
		e, begin, _ := readElement(data, m.namespace)
		name := data[begin : begin+e.size]
		switch {
		case e.kind != kindText || !utf8.Valid(name):
			return errs[VerdictMsgpack]
		case len(name) == 0: // another name of the main one
		case name[0] != '/' || len(name) > limits.Namespace:
			return errs[VerdictNamespace]
		default:
			p.Namespace = sio.Namespace(name)
		}
	}
	if m.id > 0 {
		e, _, _ := readElement(data, m.id)
		if n, ok = e.integer(); !ok || n < 0 || n > int64(MaxAckID) || p.Type != Event && p.Type != Ack {
			return errs[VerdictAckID]
		}
		p.ID, p.HasID = sio.AckID(n), true
	}
	return nil
}

// transcoder writes the JSON of MessagePack elements.
type transcoder struct {
	data        []byte
	limits      *Limits
	out         []byte
	attachments [][]byte
	bytes       int  // of attachments
	depth       int  // levels that may still be opened
	marked      bool // data looks like a placeholder
}

// event reads an array that begins with the event's name.
func (t *transcoder) event(ev *sio.Event, at int) error {
	array, i, err := t.array(at)
	if err != nil {
		return err
	}
	if array.size == 0 {
		return errs[VerdictPayload]
	}
	name, content, err := readElement(t.data, i)
	if err != nil {
		return err
	}
	switch name.kind {
	case kindText:
		text := t.data[content : content+name.size]
		if !utf8.Valid(text) {
			return errs[VerdictMsgpack]
		}
		ev.Name = string(text)
		if sio.ReservedEvent(ev.Name) {
			return errs[VerdictReserved]
		}
		content += name.size
	case kindInt, kindUint, kindFloat:
		number := string(appendNumber(nil, name))
		if number == "null" {
			return errs[VerdictEventName]
		}
		ev.Name = number
	default:
		return errs[VerdictEventName]
	}
	if err = t.limits.eventName(ev); err != nil || array.size == 1 {
		return err
	}
	t.depth--
	t.out = make([]byte, 0, len(t.data)+len(t.data)/4)
	_, err = t.elements(content, array.size-1)
	ev.Args = t.out
	return err
}

// ack reads the arguments of an ack: an array, or nothing.
func (t *transcoder) ack(ev *sio.Event, at int) error {
	if at == 0 {
		return nil
	}
	array, i, err := t.array(at)
	if err != nil {
		return err
	}
	t.depth--
	_, err = t.elements(i, array.size)
	ev.Args = t.out
	return err
}

// array reads the head of the array that the packet's data must be.
func (t *transcoder) array(at int) (e element, content int, err error) {
	if at > 0 {
		e, content, err = readElement(t.data, at)
	}
	if err == nil && e.kind != kindArray {
		err = errs[VerdictPayload]
	}
	return e, content, err
}

// control reads the data of a connect (a map or nothing), a disconnect (nothing) or a connect error
// (a map or text).
func (t *transcoder) control(p *Packet, at int) error {
	if at == 0 && p.Type != ConnectError {
		return nil
	}
	if at == 0 || p.Type == Disconnect {
		return errs[VerdictPayload]
	}
	e, _, err := readElement(t.data, at)
	if err != nil {
		return err
	}
	if e.kind != kindMap && (e.kind != kindText || p.Type != ConnectError) {
		return errs[VerdictPayload]
	}
	_, err = t.value(at)
	p.Payload = t.out
	return err
}

// finish makes sure that what was written means what was read.
func (t *transcoder) finish(p *Packet) error {
	switch {
	case len(t.out) > t.limits.AttachmentBytes:
		return errs[VerdictPayloadBytes]
	case len(t.attachments) == 0:
		return nil
	case t.marked:
		// A handler would take an object of the browser for one of the attachments.
		return errs[VerdictPlaceholder]
	case p.Type == Event:
		p.Type = BinaryEvent
	case p.Type == Ack:
		p.Type = BinaryAck
	default:
		return errs[VerdictPayload]
	}
	p.Event.Attachments = t.attachments
	return nil
}

// value writes the element at i and gives the position behind it.
func (t *transcoder) value(i int) (end int, err error) {
	e, i, err := readElement(t.data, i)
	if err != nil {
		return jsonscan.Fail, err
	}
	if len(t.out) > t.limits.AttachmentBytes {
		return jsonscan.Fail, errs[VerdictPayloadBytes]
	}
	switch e.kind {
	case kindNil, kindUndefined:
		t.out = append(t.out, "null"...)
	case kindBool:
		t.out = strconv.AppendBool(t.out, e.bits == 1)
	case kindInt, kindUint, kindFloat:
		t.out = appendNumber(t.out, e)
	case kindDate:
		t.out = appendDate(t.out, int64(e.bits))
	case kindTimestamp:
		return i + e.size, t.timestamp(t.data[i : i+e.size])
	case kindText:
		return i + e.size, t.text(t.data[i : i+e.size])
	case kindBinary:
		return i + e.size, t.attach(t.data[i : i+e.size])
	case kindArray, kindMap:
		if t.depth == 0 {
			return jsonscan.Fail, errs[VerdictDepth]
		}
		t.depth--
		if e.kind == kindArray {
			return t.elements(i, e.size)
		}
		return t.object(i, e.size/2)
	}
	return i, nil
}

// elements writes n elements as an array that was opened.
func (t *transcoder) elements(i, n int) (end int, err error) {
	t.out = append(t.out, '[')
	for k := range n {
		if k > 0 {
			t.out = append(t.out, ',')
		}
		if i, err = t.value(i); err != nil {
			return jsonscan.Fail, err
		}
	}
	t.out = append(t.out, ']')
	t.depth++
	return i, nil
}

// object writes n members as an object that was opened.
func (t *transcoder) object(i, n int) (end int, err error) {
	t.out = append(t.out, '{')
	first, mark := true, false
	for range n {
		before := len(t.out)
		if !first {
			t.out = append(t.out, ',')
		}
		key, begin, err := readElement(t.data, i)
		if err != nil {
			return jsonscan.Fail, err
		}
		is := false
		if i, is, err = t.key(key, begin); err != nil {
			return jsonscan.Fail, err
		}
		t.out = append(t.out, ':')
		value, _, err := readElement(t.data, i)
		if err != nil {
			return jsonscan.Fail, err
		}
		if is {
			mark = value.kind == kindBool && value.bits == 1
		}
		if i, err = t.value(i); err != nil {
			return jsonscan.Fail, err
		}
		if value.kind == kindUndefined {
			t.out = t.out[:before]
			continue
		}
		first = false
	}
	t.out = append(t.out, '}')
	t.marked = t.marked || mark
	t.depth++
	return i, nil
}

// key writes a member's name, and tells whether it is that of placeholders.
func (t *transcoder) key(e element, begin int) (end int, is bool, err error) {
	switch e.kind {
	case kindText:
		end = begin + e.size
		return end, string(t.data[begin:end]) == "_placeholder", t.text(t.data[begin:end])
	case kindInt, kindUint:
		t.out = append(appendNumber(append(t.out, '"'), e), '"')
		return begin, false, nil
	}
	return jsonscan.Fail, false, errs[VerdictMsgpack]
}

func (t *transcoder) text(text []byte) error {
	if !utf8.Valid(text) {
		return errs[VerdictMsgpack]
	}
	t.out = append(t.out, '"')
	for {
		i := (&jsonscan.Scanner{Data: text}).Plain(0)
		t.out = append(t.out, text[:i]...)
		if i == len(text) {
			break
		}
		t.out = appendEscaped(t.out, string(text[i:i+1]))
		text = text[i+1:]
	}
	t.out = append(t.out, '"')
	return nil
}

// attach keeps an attachment and writes its placeholder.
func (t *transcoder) attach(data []byte) error {
	if len(t.attachments) >= t.limits.Attachments {
		return errs[VerdictTooManyAttachments]
	}
	if t.bytes += len(data); t.bytes > t.limits.AttachmentBytes {
		return errs[VerdictAttachmentBytes]
	}
	t.out = append(t.out, `{"_placeholder":true,"num":`...)
	t.out = append(strconv.AppendInt(t.out, int64(len(t.attachments)), 10), '}')
	t.attachments = append(t.attachments, data[:len(data):len(data)])
	return nil
}

// appendNumber writes floats as JavaScript does.
func appendNumber(dst []byte, e element) []byte {
	switch e.kind {
	case kindInt:
		return strconv.AppendInt(dst, int64(e.bits), 10)
	case kindUint:
		return strconv.AppendUint(dst, e.bits, 10)
	default:
	}
	f := math.Float64frombits(e.bits)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if a := math.Abs(f); a != 0 && a < 1e-6 || a >= 1e21 {
		dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
		if n := len(dst); dst[n-2] == '0' && dst[n-3] == '-' { // 1e-07
			dst = append(dst[:n-2], dst[n-1])
		}
		return dst
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// timestamp writes MessagePack's own kind of time: seconds in 4 bytes, nanoseconds and seconds in
// 8, or in 4 and 8.
func (t *transcoder) timestamp(data []byte) error {
	seconds, nanoseconds := int64(0), uint64(0)
	switch len(data) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(data))
	case 8:
		n := binary.BigEndian.Uint64(data)
		nanoseconds, seconds = n>>34, int64(n&(1<<34-1))
	default:
		nanoseconds, seconds = uint64(binary.BigEndian.Uint32(data)), int64(binary.BigEndian.Uint64(data[4:]))
	}
	if nanoseconds >= 1e9 {
		return errs[VerdictExtension]
	}
	if ms := seconds*1000 + int64(nanoseconds/1e6); seconds < maxDate && seconds > -maxDate {
		t.out = appendDate(t.out, ms)
	} else {
		t.out = append(t.out, "null"...)
	}
	return nil
}

// maxDate is what a Date of JavaScript holds on either side of 1970, in milliseconds.
const maxDate = 8_640_000_000_000_000

// appendDate writes what a Date is in JSON. Years of more or fewer than four digits get a sign and
// six.
func appendDate(dst []byte, ms int64) []byte {
	if ms < -maxDate || ms > maxDate {
		return append(dst, "null"...)
	}
	at := time.UnixMilli(ms).UTC()
	if year := at.Year(); year < 0 || year > 9999 {
		dst = fmt.Appendf(dst, `"%+07d`, year)
		return at.AppendFormat(dst, `-01-02T15:04:05.000Z"`)
	}
	return at.AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
}
