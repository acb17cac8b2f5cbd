// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/sio"
)

// Revision 3, the one of Socket.IO 1 and 2. It differs from revision 4 in three things:
//
//   - The browser pings, this side answers.
//
//   - A binary message has a type, too: the byte 4 before the data, or `b4` before its base64.
//
//   - In a polling body each packet follows its length. There are two forms, and a body is in one
//     of them. Text is `<length in decimal>:<packet>`; the length counts UTF-16 code units, as
//     JavaScript does. Binary is `<kind> <digits> 0xFF <packet>`: kind 0 for text and 1 for binary,
//     and the length in bytes, one byte 0 to 9 for each digit.
//
// Browsers that can take bytes get and send the binary form where a payload holds a binary message.
// All others say b64=1, and binary messages travel as base64 in the text form.
type revision3 struct{ base64 bool }

const octetStream = "application/octet-stream"

// typedMessage begins a binary message. The type is a number here, no digit.
var typedMessage = []byte{byte(PacketMessage) - '0'}

// base64Message begins a binary message that travels as text.
var base64Message = []byte{binaryMark, byte(PacketMessage)}

// The first byte of each packet in the binary form, and the one after its length.
const (
	kindText   = 0
	kindBinary = 1
	lengthEnd  = 0xFF
)

var (
	errLength      = sio.E(sio.CodeInvalid, "split payload", "a packet has not the length that is given before it")
	errKind        = sio.E(sio.CodeInvalid, "split payload", "a packet is neither text nor binary")
	errMessageType = sio.E(sio.CodeInvalid, "parse packet", "a binary packet is not a message")
)

func (revision3) revision() int     { return 3 }
func (revision3) clientPings() bool { return true }
func (revision3) takesBinary() bool { return true }

func (revision3) withBase64() codec { return revision3{base64: true} }

func (revision3) framing(base64 bool) framing {
	if base64 {
		return framedBase64
	}
	return framedTyped
}

func (revision3) split(body []byte, binary bool, maxPackets int) ([]Packet, error) {
	if binary {
		return splitParts(body, maxPackets, cutBinary)
	}
	if !utf8.Valid(body) {
		return nil, errUTF8
	}
	return splitParts(body, maxPackets, cutText)
}

func (r revision3) answer(packets []Packet) (body []byte, contentType string) {
	body = make([]byte, 0, answerSize(packets))
	if !r.base64 && slices.ContainsFunc(packets, func(p Packet) bool { return p.Binary }) {
		return appendBinaryForm(body, packets), octetStream
	}
	return appendTextForm(body, packets), textPlain
}

func (revision3) parse(data []byte, binary bool) (Packet, error) {
	if binary {
		return parseTyped(data)
	}
	return parseText3(data)
}

// parseTyped reads a binary packet.
func parseTyped(data []byte) (Packet, error) {
	rest, ok := bytes.CutPrefix(data, typedMessage)
	if !ok {
		return Packet{}, errMessageType
	}
	return Packet{Type: PacketMessage, Binary: true, Data: rest}, nil
}

// parseText3 reads a text packet, which is UTF-8.
func parseText3(text []byte) (Packet, error) {
	if len(text) == 0 || text[0] != binaryMark {
		return parsePacket(text)
	}
	rest, ok := bytes.CutPrefix(text, base64Message)
	if !ok {
		return Packet{}, errMessageType
	}
	return parseBase64(rest)
}

// parsePlain reads a text packet that stands among binary ones: there base64 has no place.
func parsePlain(text []byte) (Packet, error) {
	if len(text) > 0 && text[0] == binaryMark {
		return Packet{}, errPacketType
	}
	return ParsePacket(text)
}

func appendText3(dst []byte, p Packet) []byte {
	if p.Binary {
		return appendBase64Message(dst, p.Data)
	}
	return AppendPacket(dst, p)
}

func appendBase64Message(dst, data []byte) []byte {
	return base64.StdEncoding.AppendEncode(append(dst, base64Message...), data)
}

// part is one packet of a body, with how it reads.
type part struct {
	data  []byte
	parse func(data []byte) (Packet, error)
}

// splitParts counts before it keeps anything.
func splitParts(body []byte, maxPackets int, cut func(body []byte) (part, []byte, error)) ([]Packet, error) {
	n := 0
	for rest := body; len(rest) > 0 || n == 0; n++ {
		if n == maxPackets {
			return nil, errTooManyPackets
		}
		var err error
		if _, rest, err = cut(rest); err != nil {
			return nil, err
		}
	}
	packets := make([]Packet, 0, n)
	for range n {
		next, rest, err := cut(body)
		if err != nil {
			return nil, err
		}
		if body = rest; n > 1 {
			next.data = slices.Clone(next.data)
		}
		p, err := next.parse(next.data)
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// cutText cuts the first packet off a body in the text form, which is UTF-8.
func cutText(body []byte) (first part, rest []byte, err error) {
	units, rest, err := cutLength(body, '0', ':')
	if err != nil {
		return part{}, nil, err
	}
	n := 0
	for units > 0 && n < len(rest) {
		_, size := utf8.DecodeRune(rest[n:])
		n += size
		units -= utf16Units(size)
	}
	if units != 0 {
		return part{}, nil, errLength
	}
	return part{rest[:n], parseText3}, rest[n:], nil
}

// cutBinary cuts the first packet off a body in the binary form.
func cutBinary(body []byte) (first part, rest []byte, err error) {
	switch {
	case len(body) == 0:
		return part{}, nil, errEmptyPacket
	case body[0] == kindText:
		first.parse = parsePlain
	case body[0] == kindBinary:
		first.parse = parseTyped
	default:
		return part{}, nil, errKind
	}
	n, rest, err := cutLength(body[1:], 0, lengthEnd)
	if err != nil || n > len(rest) {
		return part{}, nil, errLength
	}
	first.data = rest[:n]
	return first, rest[n:], nil
}

// cutLength reads a length and what ends it. It takes each length in one way only, and none of 0:
// no packet is empty.
func cutLength(body []byte, zero, end byte) (length int, rest []byte, err error) {
	const mostDigits = 9
	for i, b := range body[:min(len(body), mostDigits+1)] {
		digit := b - zero
		switch {
		case b == end && length > 0:
			return length, body[i+1:], nil
		case digit > 9 || digit == 0 && length == 0 || i == mostDigits:
			return 0, nil, errLength
		}
		length = 10*length + int(digit)
	}
	return 0, nil, errLength
}

// utf16Units is how many code units of UTF-16 a character has that takes so many bytes in UTF-8.
func utf16Units(size int) int {
	if size == utf8.UTFMax {
		return 2
	}
	return 1
}

func appendTextForm(dst []byte, packets []Packet) []byte {
	for _, p := range packets {
		length := 1
		if p.Binary {
			length = len(base64Message) + base64.StdEncoding.EncodedLen(len(p.Data))
		} else {
			for rest := p.Data; len(rest) > 0; {
				_, size := utf8.DecodeRune(rest)
				rest = rest[size:]
				length += utf16Units(size)
			}
		}
		dst = append(strconv.AppendInt(dst, int64(length), 10), ':')
		dst = appendText3(dst, p)
	}
	return dst
}

func appendBinaryForm(dst []byte, packets []Packet) []byte {
	for _, p := range packets {
		kind, begin := byte(kindText), byte(p.Type)
		if p.Binary {
			kind, begin = kindBinary, typedMessage[0]
		}
		dst = append(dst, kind)
		digits := len(dst)
		dst = strconv.AppendInt(dst, int64(1+len(p.Data)), 10)
		for i := range dst[digits:] {
			dst[digits+i] -= '0'
		}
		dst = append(append(dst, lengthEnd, begin), p.Data...)
	}
	return dst
}
