// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"encoding/binary"
	"math"

	"github.com/spanwire/spanwire/internal/jsonscan"
)

// A packet in MessagePack is one binary message: a map with the members "type" (0 to 4: there are
// no binary types), "nsp", "data" and "id". Binary parts stand in the data as they are. Inside the
// broker an event is JSON with placeholders whatever its browser speaks, so that handlers need not
// know. What MessagePack holds and JSON does not becomes what JavaScript writes for it as JSON:
//
//	MessagePack                        JSON
//	bin; ext 0 of 8, 16 or 32 bits     placeholder of an attachment: the latter is how the
//	                                   standard
//	                                   parser writes an ArrayBuffer
//	int, uint                          all digits
//	float                              the shortest number that reads back as the same double;
//	                                   null
//	                                   for NaN and the infinities
//	timestamp; fixext 8 of type 0      ISO 8601 text with milliseconds, in UTC; null outside of
//	                                   what
//	                                   a Date holds
//	fixext 1 of type 0 (undefined)     null; in a map the member is left out
//	map key that is an integer         its digits; other keys but text are refused
//	any other ext                      refused
//
// And back: placeholders become bin, numbers without fraction and exponent become the smallest
// integer when 64 bits hold them and a double otherwise, and a lone surrogate becomes U+FFFD, since
// text is UTF-8. Dates stay text.

// kind is what a MessagePack element is.
type kind uint8

const (
	kindNil kind = iota
	kindUndefined
	kindBool
	kindInt  // bits is an int64
	kindUint // bits is a uint64
	kindFloat
	kindText
	kindBinary
	kindArray
	kindMap
	kindDate      // bits is an int64, milliseconds
	kindTimestamp // the content tells
)

// element is one element without its content.
type element struct {
	kind kind
	bits uint64 // the value of a bool, number or date
	// of text, binary and timestamp: bytes; of an array: elements; of a map: elements and keys
	size int
}

// timestampType is the extension type that MessagePack itself defines.
const timestampType = -1

// readElement reads what stands at i and gives the position behind it: where its content begins, if
// it has any. The content of text, binary and timestamp is there as a whole.
func readElement(data []byte, i int) (e element, content int, err error) {
	if i >= len(data) {
		return e, jsonscan.Fail, errs[VerdictMsgpack]
	}
	c := data[i]
	i++
	switch {
	case c < 0x80:
		e = element{kind: kindUint, bits: uint64(c)}
	case c < 0x90:
		e = element{kind: kindMap, size: 2 * int(c&0x0f)}
	case c < 0xa0:
		e = element{kind: kindArray, size: int(c & 0x0f)}
	case c < 0xc0:
		e = element{kind: kindText, size: int(c & 0x1f)}
	case c >= 0xe0:
		e = element{kind: kindInt, bits: uint64(int8(c))}
	default:
		if e, i, err = readLong(data, i, c); err != nil {
			return e, jsonscan.Fail, err
		}
	}
	// An element of an array or a map is one byte at least, so that none announces more than can
	// come.
	if e.size > len(data)-i {
		return e, jsonscan.Fail, errs[VerdictMsgpack]
	}
	return e, i, nil
}

// layout says what follows a first byte: a number of width bytes, whose meaning the kind gives, or
// an extension whose size is fixed or stands in width bytes.
type layout struct {
	kind         kind
	width, fixed uint8
	extension    bool
	known        bool
}

// layouts are the layouts of the first bytes from 0xc0 to 0xdf. Source: the MessagePack
// specification, "Overview".
var layouts = [32]layout{
	0xc0 & 31: {kind: kindNil, known: true}, // 0xc1 is never used
	0xc2 & 31: {kind: kindBool, known: true}, 0xc3 & 31: {kind: kindBool, known: true},
	0xc4 & 31: {kind: kindBinary, width: 1, known: true}, 0xc5 & 31: {kind: kindBinary, width: 2, known: true},
	0xc6 & 31: {kind: kindBinary, width: 4, known: true},
	0xc7 & 31: {width: 1, extension: true, known: true}, 0xc8 & 31: {width: 2, extension: true, known: true},
	0xc9 & 31: {width: 4, extension: true, known: true},
	0xca & 31: {kind: kindFloat, width: 4, known: true}, 0xcb & 31: {kind: kindFloat, width: 8, known: true},
	0xcc & 31: {kind: kindUint, width: 1, known: true}, 0xcd & 31: {kind: kindUint, width: 2, known: true},
	0xce & 31: {kind: kindUint, width: 4, known: true}, 0xcf & 31: {kind: kindUint, width: 8, known: true},
	0xd0 & 31: {kind: kindInt, width: 1, known: true}, 0xd1 & 31: {kind: kindInt, width: 2, known: true},
	0xd2 & 31: {kind: kindInt, width: 4, known: true}, 0xd3 & 31: {kind: kindInt, width: 8, known: true},
	0xd4 & 31: {fixed: 1, extension: true, known: true}, 0xd5 & 31: {fixed: 2, extension: true, known: true},
	0xd6 & 31: {fixed: 4, extension: true, known: true}, 0xd7 & 31: {fixed: 8, extension: true, known: true},
	0xd8 & 31: {fixed: 16, extension: true, known: true},
	0xd9 & 31: {kind: kindText, width: 1, known: true}, 0xda & 31: {kind: kindText, width: 2, known: true},
	0xdb & 31: {kind: kindText, width: 4, known: true},
	0xdc & 31: {kind: kindArray, width: 2, known: true}, 0xdd & 31: {kind: kindArray, width: 4, known: true},
	0xde & 31: {kind: kindMap, width: 2, known: true}, 0xdf & 31: {kind: kindMap, width: 4, known: true},
}

// readLong reads an element that begins with one of 0xc0 to 0xdf, from behind that byte.
func readLong(data []byte, i int, c byte) (e element, content int, err error) {
	f := &layouts[c&31]
	if f.extension {
		return readExtension(data, i, int(f.width), int(f.fixed))
	}
	width := int(f.width)
	if !f.known || width > len(data)-i {
		return e, jsonscan.Fail, errs[VerdictMsgpack]
	}
	e.kind = f.kind
	n := bigEndian(data[i : i+width])
	switch e.kind {
	case kindBool:
		e.bits = uint64(c & 1)
	case kindText, kindBinary, kindArray:
		e.size = int(n)
	case kindMap:
		e.size = 2 * int(n)
	case kindInt:
		shift := 64 - 8*width
		e.bits = uint64(int64(n<<shift) >> shift)
	case kindFloat:
		if e.bits = n; width == 4 {
			e.bits = math.Float64bits(float64(math.Float32frombits(uint32(n))))
		}
	default:
		e.bits = n
	}
	return e, i + width, nil
}

// readExtension reads an extension whose size is either fixed, or stands in width bytes.
func readExtension(data []byte, i, width, fixed int) (e element, content int, err error) {
	if width+1 > len(data)-i {
		return e, jsonscan.Fail, errs[VerdictMsgpack]
	}
	e.size = fixed
	if fixed == 0 {
		e.size = int(bigEndian(data[i : i+width]))
	}
	i += width
	extension := int8(data[i])
	if i++; e.size > len(data)-i {
		return e, jsonscan.Fail, errs[VerdictMsgpack]
	}
	switch {
	case extension == timestampType && (fixed == 4 || fixed == 8 || width == 1 && e.size == 12):
		e.kind = kindTimestamp
	case extension == 0 && fixed == 0:
		e.kind = kindBinary
	case extension == 0 && fixed == 1 && data[i] == 0:
		return element{kind: kindUndefined}, i + fixed, nil
	case extension == 0 && fixed == 8:
		return element{kind: kindDate, bits: binary.BigEndian.Uint64(data[i:])}, i + fixed, nil
	default:
		return e, jsonscan.Fail, errs[VerdictExtension]
	}
	return e, i, nil
}

func bigEndian(data []byte) (n uint64) {
	for _, c := range data {
		n = n<<8 | uint64(c)
	}
	return n
}

// skip gives the position behind the element at i. It does not call itself, however deep the
// element is.
func skip(data []byte, i int) (end int, err error) {
	var e element
	for due := 1; due > 0; due-- {
		if e, i, err = readElement(data, i); err != nil {
			return jsonscan.Fail, err
		}
		switch e.kind {
		case kindArray, kindMap:
			due += e.size
		case kindText, kindBinary, kindTimestamp:
			i += e.size
		default:
		}
	}
	return i, nil
}

// integer tells whether the element is an integer of the packet's own, which JavaScript may also
// write as a float.
func (e element) integer() (n int64, ok bool) {
	switch e.kind {
	case kindInt:
		return int64(e.bits), true
	case kindUint:
		return int64(e.bits), e.bits <= math.MaxInt64
	case kindFloat:
		f := math.Float64frombits(e.bits)
		if n = int64(f); float64(n) == f && math.Abs(f) < 1<<63 {
			return n, true
		}
	default:
	}
	return 0, false
}
