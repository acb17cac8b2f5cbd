// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/sio"
)

// PacketType is the first character of a text packet.
type PacketType byte

// The packet types.
const (
	PacketOpen    PacketType = '0'
	PacketClose   PacketType = '1'
	PacketPing    PacketType = '2'
	PacketPong    PacketType = '3'
	PacketMessage PacketType = '4'
	PacketUpgrade PacketType = '5'
	PacketNoop    PacketType = '6'
)

// binaryMark begins a binary message that travels as text. It stands in place of the type.
const binaryMark = 'b'

// probe is the data of the ping and pong that try a WebSocket.
const probeData = "probe"

// Packet is one unit of Engine.IO.
type Packet struct {
	Type   PacketType
	Binary bool // only messages; Data is then any bytes, and else UTF-8
	Data   []byte
}

var (
	errEmptyPacket = sio.E(sio.CodeInvalid, "parse packet", "the packet is empty")
	errPacketType  = sio.E(sio.CodeInvalid, "parse packet", "there is no such packet type")
	errBase64      = sio.E(sio.CodeInvalid, "parse packet", "a binary message is not base64")
	errUTF8        = sio.E(sio.CodeInvalid, "parse packet", "text is not UTF-8")
)

// ParsePacket reads one packet in its text form. Text data is a part of text; binary data is fresh.
// What it takes is taken strictly: AppendPacket writes it back byte for byte, but for line ends in
// base64.
func ParsePacket(text []byte) (Packet, error) {
	if !utf8.Valid(text) {
		return Packet{}, errUTF8
	}
	return parsePacket(text)
}

// parsePacket is ParsePacket for valid UTF-8.
func parsePacket(text []byte) (Packet, error) {
	if len(text) == 0 {
		return Packet{}, errEmptyPacket
	}
	t, rest := text[0], text[1:]
	switch {
	case '0' <= t && t <= '6':
		return Packet{Type: PacketType(t), Data: rest}, nil
	case t != binaryMark:
		return Packet{}, errPacketType
	}
	return parseBase64(rest)
}

// parseBase64 reads a binary message that travels as text, without what marks it.
func parseBase64(text []byte) (Packet, error) {
	// The decoder steps over line ends: clients in Java fold long lines and end the last.
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(data, text)
	if err != nil {
		return Packet{}, errBase64
	}
	return Packet{Type: PacketMessage, Binary: true, Data: data[:n]}, nil
}

// AppendPacket appends the text form of a packet.
func AppendPacket(dst []byte, p Packet) []byte {
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, binaryMark), p.Data)
	}
	return append(append(dst, byte(p.Type)), p.Data...)
}
