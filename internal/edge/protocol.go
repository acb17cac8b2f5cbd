// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"strconv"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// A session speaks one of three protocols, which handlers do not hear of:
//
//	protocol 5 as JSON      when the first message is text
//	protocol 5 as msgpack   when the first message is binary: each packet is one binary message,
//	                        with its attachments in it
//	protocol 4              on revision 3 of Engine.IO, which says so in the handshake: JSON, and
//	                        connected to the main namespace unasked
//
// It is known before there is a socket and does not change. This side never speaks first but in
// protocol 4.
//
// The functions below are switches and no interface, since what goes through an interface escapes,
// and acks and events would be allocated.
type protocol uint8

const (
	protocolJSON protocol = iota
	protocolMsgpack
	protocol4
)

// The kinds of a delivery's encodings, which are *engineio.Shared. Protocol 4 has the events of
// protocol 5. What is marked carries its offset, for sockets that may come back.
const (
	encodingJSON = iota
	encodingJSONMarked
	encodingMsgpack
	encodingMsgpackMarked
)

// engineProtocol4 is the revision of Engine.IO under protocol 4 of Socket.IO.
const engineProtocol4 = 3

// protocol is what the browser speaks.
func (c *client) protocol() protocol {
	switch {
	case c.decoder.Protocol4:
		return protocol4
	case c.decoder.Msgpack():
		return protocolMsgpack
	}
	return protocolJSON
}

// connectUnasked joins a browser of protocol 4 to the main namespace, which it takes for granted.
// It is called before the first message.
func (c *client) connectUnasked() {
	s := newSocket(c, &socketio.Packet{Type: socketio.Connect, Namespace: sio.MainNamespace})
	s.unasked = true
	c.mu.Lock()
	c.sockets = append(c.sockets, s)
	c.mu.Unlock()
	s.ask()
}

// alone tells whether the socket is the only one of its session.
func (c *client) alone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sockets) <= 1
}

// appendConnect appends the answer to a connect. The private id is empty for a socket that cannot
// come back.
func (p protocol) appendConnect(dst []byte, ns sio.Namespace, id sio.SocketID, pid sio.PrivateID) []byte {
	switch p {
	case protocolMsgpack:
		return socketio.AppendMsgpackConnect(dst, ns, id, pid)
	case protocol4:
		return socketio.AppendConnect4(dst, ns)
	}
	return socketio.AppendConnect(dst, ns, id, pid)
}

func (p protocol) appendConnectError(dst []byte, ns sio.Namespace, message string, data []byte) []byte {
	switch p {
	case protocolMsgpack:
		return socketio.AppendMsgpackConnectError(dst, ns, message, data)
	case protocol4:
		return socketio.AppendConnectError4(dst, ns, message, data)
	}
	return socketio.AppendConnectError(dst, ns, message, data)
}

// appendUnknownNamespace is the one refusal that protocol 4 words as protocol 5 does.
func (p protocol) appendUnknownNamespace(dst []byte, ns sio.Namespace) []byte {
	const message = "Invalid namespace"
	if p == protocolMsgpack {
		return socketio.AppendMsgpackConnectError(dst, ns, message, nil)
	}
	return socketio.AppendConnectError(dst, ns, message, nil)
}

func (p protocol) appendDisconnect(dst []byte, ns sio.Namespace) []byte {
	if p == protocolMsgpack {
		return socketio.AppendMsgpackDisconnect(dst, ns)
	}
	return socketio.AppendDisconnect(dst, ns)
}

func (p protocol) appendDelivery(dst []byte, d *hub.Delivery, ev *sio.Event) []byte {
	switch {
	case p == protocolMsgpack && d.WantsAck:
		return socketio.AppendMsgpackEventWithAck(dst, d.Namespace, d.AckID, ev)
	case p == protocolMsgpack:
		return socketio.AppendMsgpackEvent(dst, d.Namespace, ev)
	case d.WantsAck:
		return socketio.AppendEventWithAck(dst, d.Namespace, d.AckID, ev)
	}
	return socketio.AppendEvent(dst, d.Namespace, ev)
}

func (p protocol) appendAck(dst []byte, ns sio.Namespace, id sio.AckID, ack *sio.Ack) []byte {
	if p == protocolMsgpack {
		return socketio.AppendMsgpackAck(dst, ns, id, ack)
	}
	return socketio.AppendAck(dst, ns, id, ack)
}

// shared gives the delivery as it is encoded once for all browsers of the protocol.
func (p protocol) shared(d *hub.Delivery, marked bool) *engineio.Shared {
	kind := encodingJSON
	if p == protocolMsgpack {
		kind = encodingMsgpack
	}
	if marked {
		kind++
		return d.Encoded(kind, func() any { return p.share(d, d.Marked()) }).(*engineio.Shared)
	}
	return d.Encoded(kind, func() any { return p.share(d, d.Event) }).(*engineio.Shared)
}

// share encodes a delivery for all its receivers.
func (p protocol) share(d *hub.Delivery, ev *sio.Event) *engineio.Shared {
	const head = 64 // all that is neither name nor payload
	size := head + len(d.Namespace) + len(ev.Name) + len(ev.Args)
	if p == protocolMsgpack {
		size += ev.Size()
	}
	return engineio.NewShared(p.unit(p.appendDelivery(make([]byte, 0, size), d, ev), ev.Attachments, d.NoCompress)...)
}

// unit is a packet as messages, which stay together.
func (p protocol) unit(packet []byte, attachments [][]byte, noCompress bool) []engineio.Message {
	if p == protocolMsgpack {
		return []engineio.Message{{Data: packet, Binary: true, NoCompress: noCompress}}
	}
	messages := make([]engineio.Message, 1, 1+len(attachments))
	messages[0] = engineio.Message{Data: packet, NoCompress: noCompress}
	for _, a := range attachments {
		messages = append(messages, engineio.Message{Data: a, Binary: true, NoCompress: noCompress})
	}
	return messages
}

// excerpt shows a packet in the log. One in msgpack may be a connect, which holds credentials.
func (c *client) excerpt(data []byte) string {
	if c.protocol() == protocolMsgpack && len(data) > 0 {
		return strconv.Itoa(len(data)) + " bytes of msgpack"
	}
	return excerpt(data)
}
