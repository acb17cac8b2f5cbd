// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/spanwire/spanwire/internal/jsonscan"
	"github.com/spanwire/spanwire/internal/sio"
)

// AppendMsgpackConnect is AppendConnect in MessagePack.
func AppendMsgpackConnect(dst []byte, ns sio.Namespace, id sio.SocketID, pid sio.PrivateID) []byte {
	dst = appendMsgpackHead(dst, Connect, 3, ns)
	dst = appendMsgpackText(dst, "data")
	if pid == "" {
		dst = append(dst, fixMap|1)
		return appendMsgpackText(appendMsgpackText(dst, "sid"), string(id))
	}
	dst = append(dst, fixMap|2)
	dst = appendMsgpackText(appendMsgpackText(dst, "sid"), string(id))
	return appendMsgpackText(appendMsgpackText(dst, "pid"), string(pid))
}

// AppendMsgpackConnectError is AppendConnectError in MessagePack.
func AppendMsgpackConnectError(dst []byte, ns sio.Namespace, message string, data []byte) []byte {
	dst = appendMsgpackHead(dst, ConnectError, 3, ns)
	dst = appendMsgpackText(dst, "data")
	p := borrowPacker(data, nil)
	defer p.giveBack()
	if len(data) == 0 || p.measure() != nil {
		dst = append(dst, fixMap|1)
		return appendMsgpackText(appendMsgpackText(dst, "message"), message)
	}
	dst = append(dst, fixMap|2)
	dst = appendMsgpackText(appendMsgpackText(dst, "message"), message)
	return p.append(appendMsgpackText(dst, "data"))
}

// AppendMsgpackDisconnect is AppendDisconnect in MessagePack.
func AppendMsgpackDisconnect(dst []byte, ns sio.Namespace) []byte {
	return appendMsgpackHead(dst, Disconnect, 2, ns)
}

// AppendMsgpackEvent appends an event that asks for no ack, with its attachments.
func AppendMsgpackEvent(dst []byte, ns sio.Namespace, ev *sio.Event) []byte {
	dst = appendMsgpackHead(dst, Event, 3, ns)
	return appendMsgpackEvent(dst, ev)
}

// AppendMsgpackEventWithAck is AppendMsgpackEvent for an event that asks for an ack with the id.
func AppendMsgpackEventWithAck(dst []byte, ns sio.Namespace, id sio.AckID, ev *sio.Event) []byte {
	dst = appendMsgpackHead(dst, Event, 4, ns)
	dst = appendMsgpackUint(appendMsgpackText(dst, "id"), uint64(id))
	return appendMsgpackEvent(dst, ev)
}

// AppendMsgpackAck appends an ack with its attachments.
func AppendMsgpackAck(dst []byte, ns sio.Namespace, id sio.AckID, ack *sio.Ack) []byte {
	dst = appendMsgpackHead(dst, Ack, 4, ns)
	dst = appendMsgpackUint(appendMsgpackText(dst, "id"), uint64(id))
	dst = appendMsgpackText(dst, "data")
	p := borrowPacker(ack.Args, ack.Attachments)
	defer p.giveBack()
	if p.measureArray() != nil {
		return append(dst, fixArray)
	}
	return p.append(dst)
}

func appendMsgpackEvent(dst []byte, ev *sio.Event) []byte {
	dst = appendMsgpackText(dst, "data")
	p := borrowPacker(ev.Args, ev.Attachments)
	defer p.giveBack()
	if p.measureArray() != nil || p.Shapes[0] == 0 {
		return appendMsgpackText(append(dst, fixArray|1), ev.Name)
	}
	dst = appendMsgpackSize(dst, fixArray, 0xdc, p.Shapes[0]+1)
	return p.appendElements(appendMsgpackText(dst, ev.Name))
}

// appendMsgpackHead appends the map of n members, and the two that every packet has.
func appendMsgpackHead(dst []byte, t PacketType, n byte, ns sio.Namespace) []byte {
	dst = append(dst, fixMap|n)
	dst = append(appendMsgpackText(dst, "type"), byte(t-Connect))
	if ns == "" {
		ns = sio.MainNamespace
	}
	return appendMsgpackText(appendMsgpackText(dst, "nsp"), string(ns))
}

// packer writes the MessagePack of checked JSON. It goes through the JSON twice: MessagePack tells
// sizes beforehand.
type packer struct {
	jsonscan.Scanner
	parts [][]byte
	out   []byte
	next  int // of the shapes
}

// packers keeps packers for the room that they have for shapes.
var packers = sync.Pool{New: func() any { return new(packer) }}

// borrowPacker gives a packer of JSON that was checked where it came in, and of its attachments.
func borrowPacker(data []byte, parts [][]byte) *packer {
	const deepest = 1 << 14 // more than the settings allow
	p := packers.Get().(*packer)
	p.Scanner = jsonscan.Scanner{
		Data: data, Depth: deepest, Placeholders: len(parts) > 0, Attachments: len(parts), Measured: true, Shapes: p.Shapes[:0],
	}
	p.parts, p.next = parts, 0
	return p
}

func (p *packer) giveBack() {
	const largest = 1 << 12 // shapes; more would be held for rare payloads
	p.Data, p.parts, p.out = nil, nil, nil
	if cap(p.Shapes) <= largest {
		packers.Put(p)
	}
}

// measure takes the shapes of all containers, once.
func (p *packer) measure() error { return p.Document(0) }

// measureArray is measure for arguments. What is no array, or missing, is an error.
func (p *packer) measureArray() error {
	if p.At(p.Space(0)) != '[' {
		return errs[VerdictPayload]
	}
	return p.measure()
}

// append appends the whole value.
func (p *packer) append(dst []byte) []byte {
	p.out = dst
	p.pack(p.Space(0))
	return p.out
}

// appendElements appends what the outermost array holds, which is not empty.
func (p *packer) appendElements(dst []byte) []byte {
	p.out, p.next = dst, 1
	p.elementsOf(p.Space(0), p.Shapes[0])
	return p.out
}

// pack writes the value at i and gives the position behind it.
func (p *packer) pack(i int) int {
	switch p.Data[i] {
	case '"':
		end, escaped := p.Text(i)
		p.str(i, end, escaped)
		return end
	case '{':
		return p.container(i, fixMap, 0xde)
	case '[':
		return p.container(i, fixArray, 0xdc)
	case 't':
		p.out = append(p.out, 0xc3)
		return i + len("true")
	case 'f':
		p.out = append(p.out, 0xc2)
		return i + len("false")
	case 'n':
		p.out = append(p.out, 0xc0)
		return i + len("null")
	}
	end := p.Number(i)
	p.out = appendMsgpackNumber(p.out, p.Data[i:end])
	return end
}

func (p *packer) container(i int, fix, long byte) int {
	n := p.Shapes[p.next]
	p.next++
	switch {
	case n < 0:
		p.out = appendMsgpackBinary(p.out, p.parts[jsonscan.ShapeOf(n)])
		return p.behind(i)
	case fix == fixMap:
		p.out = appendMsgpackSize(p.out, fix, long, n)
		return p.membersOf(i, n)
	}
	p.out = appendMsgpackSize(p.out, fix, long, n)
	return p.elementsOf(i, n)
}

// behind skips a placeholder.
func (p *packer) behind(i int) int {
	s := jsonscan.Scanner{Data: p.Data, Depth: p.Depth}
	end, _ := s.Value(i) // it has been read before
	return end
}

func (p *packer) elementsOf(i, n int) int {
	i = p.Space(i + 1)
	for range n {
		i = p.Space(p.pack(i))
		if p.Data[i] == ',' {
			i = p.Space(i + 1)
		}
	}
	return i + 1
}

func (p *packer) membersOf(i, n int) int {
	i = p.Space(i + 1)
	for range n {
		colon := p.Space(p.pack(i))
		i = p.Space(p.pack(p.Space(colon + 1)))
		if p.Data[i] == ',' {
			i = p.Space(i + 1)
		}
	}
	return i + 1
}

// str writes the JSON string from i to end.
func (p *packer) str(i, end int, escaped bool) {
	if !escaped {
		text := p.Data[i+1 : end-1]
		p.out = append(appendMsgpackTextHead(p.out, len(text)), text...)
		return
	}
	p.out = appendMsgpackText(p.out, jsonscan.Unquote(p.Data[i:end]))
}

// The first bytes of small containers and texts.
const (
	fixMap   = 0x80
	fixArray = 0x90
	fixText  = 0xa0
)

// appendMsgpackSize begins an array or a map of n elements or members.
func appendMsgpackSize(dst []byte, fix, long byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, long), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, long+1), uint32(n))
}

// appendMsgpackText replaces what is no UTF-8.
func appendMsgpackText(dst []byte, text string) []byte {
	text = strings.ToValidUTF8(text, "\ufffd")
	return append(appendMsgpackTextHead(dst, len(text)), text...)
}

func appendMsgpackTextHead(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, fixText|byte(n))
	case n <= math.MaxUint8:
		return append(dst, 0xd9, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
}

func appendMsgpackBinary(dst, data []byte) []byte {
	switch n := len(data); {
	case n <= math.MaxUint8:
		dst = append(dst, 0xc4, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0xc5), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
	}
	return append(dst, data...)
}

// appendMsgpackNumber appends a JSON number: as an integer when it is written as one and has room
// in 64 bits, and else as a double.
func appendMsgpackNumber(dst, number []byte) []byte {
	digits, negative := bytes.CutPrefix(number, []byte{'-'})
	n, whole := uint64(0), true
	for _, c := range digits {
		d := uint64(c - '0')
		if !isDigit(c) || n > (math.MaxUint64-d)/10 {
			whole = false
			break
		}
		n = n*10 + d
	}
	switch {
	case whole && !negative:
		return appendMsgpackUint(dst, n)
	case whole && n > 0 && n <= 1<<63:
		return appendMsgpackNegative(dst, -int64(n))
	}
	// beyond its range it is infinite, as in JavaScript
	f, _ := strconv.ParseFloat(string(number), 64)
	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f))
}

func appendMsgpackUint(dst []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
}

func appendMsgpackNegative(dst []byte, n int64) []byte {
	switch {
	case n >= -0x20:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(n))
}
