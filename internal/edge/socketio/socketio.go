// SPDX-License-Identifier: Apache-2.0

// Package socketio reads and writes packets of Socket.IO protocol 5, and of protocol 4, without
// I/O. The edge gives a Decoder the messages of one session in their order and gets packets; it
// never learns how they travelled, and no payload is decoded: it is checked and carried as it was
// written.
//
// A packet on the wire is
//
//	<type>[<number of attachments>-][<namespace>,][<ack id>][<JSON>]
//
// as one text message, followed by the attachments as one binary message each. The namespace is
// left out when it is "/", and its comma may be left out at the end of the message. Or it is
// MessagePack, see msgpack.go.
package socketio

import (
	"github.com/spanwire/spanwire/internal/jsonscan"
	"github.com/spanwire/spanwire/internal/sio"
)

// PacketType is the first character of a packet.
type PacketType byte

// The packet types.
const (
	Connect      PacketType = '0'
	Disconnect   PacketType = '1'
	Event        PacketType = '2'
	Ack          PacketType = '3'
	ConnectError PacketType = '4'
	BinaryEvent  PacketType = '5'
	BinaryAck    PacketType = '6'
)

// String names the type in the words of the protocol's documents.
func (t PacketType) String() string {
	switch t {
	case Connect:
		return "connect"
	case Disconnect:
		return "disconnect"
	case Event:
		return "event"
	case Ack:
		return "ack"
	case ConnectError:
		return "connect_error"
	case BinaryEvent:
		return "binary_event"
	case BinaryAck:
		return "binary_ack"
	}
	return "unknown"
}

// binary tells whether attachments follow.
func (t PacketType) binary() bool { return t == BinaryEvent || t == BinaryAck }

// MaxAckID is the largest ack id: the largest integer that JavaScript holds exactly. A larger one
// would come back altered.
const MaxAckID sio.AckID = 1<<53 - 1

// Packet is one unit of Socket.IO.
type Packet struct {
	Type      PacketType
	HasID     bool
	Namespace sio.Namespace
	ID        sio.AckID // with HasID: asked for by an event, answered by an ack
	// Event is what an event carries. An ack uses it too, without a name.
	Event sio.Event
	// Payload is the JSON of a connect (an object, or nil) or of a connect error (an object or a
	// string).
	Payload []byte
}

// Ack is what an ack packet carries.
func (p *Packet) Ack() sio.Ack { return sio.Ack{Args: p.Event.Args, Attachments: p.Event.Attachments} }

// Limits bound what a browser may make the broker hold or do. They are shared by all decoders of a
// server.
type Limits struct {
	Attachments     int // in one packet
	AttachmentBytes int // in one packet, all attachments together
	Depth           int // of nested arrays and objects, the outermost being 1
	Namespace       int // bytes of a namespace's name
	EventName       int // bytes of an event's name
}

// DefaultLimits are those of the reference server, where it has them.
func DefaultLimits() Limits {
	return Limits{Attachments: 10, AttachmentBytes: 1_000_000, Depth: jsonscan.DefaultDepth, Namespace: 255, EventName: 1024}
}
