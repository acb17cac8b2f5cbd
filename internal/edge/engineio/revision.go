// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
)

// codec is how one revision of the protocol writes packets, and who pings in it. A session has the
// codec of its opening request for life.
type codec interface {
	// revision is the number in the query key EIO.
	revision() int
	// clientPings tells that the browser pings and this side answers, rather than the other way
	// round.
	clientPings() bool
	// takesBinary tells whether split takes binary bodies.
	takesBinary() bool
	// split reads the body of a POST: all packets of it, or none. No packet keeps more of body
	// alive than itself, unless it is the only one.
	split(body []byte, binary bool, maxPackets int) ([]Packet, error)
	// answer writes the body of the answer to a GET, and names its media type.
	answer(packets []Packet) (body []byte, contentType string)
	// parse reads one WebSocket message. Its text is valid UTF-8.
	parse(data []byte, binary bool) (Packet, error)
	// withBase64 is this codec for polling that carries text alone.
	withBase64() codec
	// framing is how messages travel on a WebSocket, for a browser that does or does not ask for
	// base64 there.
	framing(base64 bool) framing
}

// codecFromQuery is the codec that an opening request asks for, or nil where that revision is not
// spoken here. No number at all stands for revision 3, whose first clients sent none.
func (s *Server) codecFromQuery(query url.Values) codec {
	switch revision := single(query, "EIO"); {
	case revision == "4":
		return revision4{}
	case s.o.AllowEIO3 && (revision == "3" || !query.Has("EIO")):
		return revision3{base64: asksBase64(query)}
	}
	return nil
}

// speaks tells that a request names the session's revision. One that names none is taken, since
// nothing in it differs.
func (s *Session) speaks(query url.Values) bool {
	return !query.Has("EIO") || single(query, "EIO") == strconv.Itoa(s.codec.revision())
}

// asksBase64 tells that the browser cannot take binary data as such on the transport of this
// request.
func asksBase64(query url.Values) bool { return single(query, "b64") != "" }

const textPlain = "text/plain; charset=UTF-8"

// revision4 is the present revision.
type revision4 struct{}

func (revision4) revision() int        { return 4 }
func (revision4) clientPings() bool    { return false }
func (revision4) takesBinary() bool    { return false }
func (revision4) withBase64() codec    { return revision4{} }
func (revision4) framing(bool) framing { return framedPlain }

func (revision4) split(body []byte, _ bool, maxPackets int) ([]Packet, error) {
	return SplitPayload(body, maxPackets)
}

func (revision4) answer(packets []Packet) (body []byte, contentType string) {
	return AppendPayload(make([]byte, 0, answerSize(packets)), packets), textPlain
}

func (revision4) parse(data []byte, binary bool) (Packet, error) {
	if binary {
		return Packet{Type: PacketMessage, Binary: true, Data: data}, nil
	}
	return parsePacket(data)
}

// answerSize is about the size of a body.
func answerSize(packets []Packet) int {
	const header = 8
	size := 0
	for _, p := range packets {
		size += len(p.Data)*4/3 + header
	}
	return size
}

// framing is how messages stand in WebSocket frames. Text is the same in all: the type and the
// text.
type framing uint8

const (
	// framedPlain is a binary message as a binary frame and nothing else: revision 4.
	framedPlain framing = iota
	// framedTyped has the type as a number before the bytes: revision 3.
	framedTyped
	// framedBase64 is a binary message as text: revision 3 for browsers that ask for it.
	framedBase64

	framings = iota
)

// queue queues one message, compressed where that is wanted. It copies the data.
func (f framing) queue(ws *wsconn.Conn, m Message, deflate bool) error {
	if deflate {
		return ws.QueueDeflated(f.deflatable(m))
	}
	switch {
	case !m.Binary:
		return ws.QueuePrefixed(byte(PacketMessage), m.Data)
	case f == framedTyped:
		return ws.Queue(slices.Concat(typedMessage, m.Data), true)
	case f == framedBase64:
		return ws.Queue(appendBase64Message(nil, m.Data), false)
	}
	return ws.Queue(m.Data, true)
}

// deflatable is what a message consists of before it is compressed.
func (f framing) deflatable(m Message) (prefix string, data []byte, binary bool) {
	switch {
	case !m.Binary:
		return messagePrefix, m.Data, false
	case f == framedTyped:
		return string(typedMessage), m.Data, true
	case f == framedBase64:
		return "", appendBase64Message(nil, m.Data), false
	}
	return "", m.Data, true
}

const messagePrefix = string(PacketMessage)

// append appends one message as a frame, compressed where that is wanted.
func (f framing) append(dst []byte, m Message, deflate bool) []byte {
	if deflate {
		prefix, data, binary := f.deflatable(m)
		return wsconn.AppendDeflatedFrame(dst, prefix, data, binary)
	}
	switch {
	case !m.Binary:
		return wsconn.AppendPrefixedFrame(dst, byte(PacketMessage), m.Data)
	case f == framedTyped:
		return wsconn.AppendFrame(dst, slices.Concat(typedMessage, m.Data), true)
	case f == framedBase64:
		return wsconn.AppendFrame(dst, appendBase64Message(nil, m.Data), false)
	}
	return wsconn.AppendFrame(dst, m.Data, true)
}
