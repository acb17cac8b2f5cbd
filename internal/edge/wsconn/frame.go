// SPDX-License-Identifier: Apache-2.0

package wsconn

import "encoding/binary"

// The first byte of each frame that is written: the final bit and the opcode. RFC 6455, section
// 5.2.
const (
	textFrame   = 0x81
	binaryFrame = 0x82
	closeFrame  = 0x88
	pongFrame   = 0x8A
)

const (
	maxControl  = 125 // bytes in a control frame
	maxHeader   = 10
	length16    = 126 // in the second byte: the length follows in 2 bytes
	length64    = 127 // in the second byte: the length follows in 8 bytes
	maxLength16 = 1<<16 - 1
)

// AppendFrame appends one message as one frame. Frames of a server are not masked.
func AppendFrame(dst, payload []byte, binary bool) []byte {
	return append(appendHeader(dst, opcode(binary), len(payload)), payload...)
}

// AppendPrefixedFrame is AppendFrame for a text message that begins with one more byte.
func AppendPrefixedFrame(dst []byte, prefix byte, payload []byte) []byte {
	dst = append(appendHeader(dst, textFrame, len(payload)+1), prefix)
	return append(dst, payload...)
}

func opcode(binary bool) byte {
	if binary {
		return binaryFrame
	}
	return textFrame
}

func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n <= maxControl:
		return append(dst, first, byte(n))
	case n <= maxLength16:
		return binary.BigEndian.AppendUint16(append(dst, first, length16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, length64), uint64(n))
	}
}

func appendClose(dst []byte, code int, text string) []byte {
	if code == CodeNone {
		return append(dst, closeFrame, 0)
	}
	text = text[:min(len(text), maxControl-2)]
	dst = append(dst, closeFrame, byte(2+len(text)))
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), text...)
}
