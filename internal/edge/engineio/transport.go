// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A session uses one transport at a time. It polls, or it is on a duplex transport: from its
// handshake, or from its upgrade on. Polling is part of the session, since its requests come and
// go. A duplex transport is one connection behind the interface below; WebSocket is the only one. A
// further one is a type of this package that implements duplex, a name in Transport, an entry in
// duplexTransports, and its sign in isUpgrade.

// Transport is how bytes travel to a browser, in the word of the query key.
type Transport string

// Those that exist.
const (
	Polling   Transport = "polling"
	WebSocket Transport = "websocket"
)

// duplexTransports are the transports besides polling, each with what makes it of a request. A
// session can open on each, or upgrade to it.
var duplexTransports = []struct {
	name   Transport
	accept accept
}{
	{WebSocket, acceptWebSocket},
}

// transportNames are the values of the query key.
func transportNames() []string {
	names := []string{string(Polling)}
	for _, d := range duplexTransports {
		names = append(names, string(d.name))
	}
	return names
}

// known tells whether there is such a transport, offered or not.
func (t Transport) known() bool { return t == Polling || t.accept() != nil }

// accept is nil for what is no duplex transport.
func (t Transport) accept() accept {
	for _, d := range duplexTransports {
		if d.name == t {
			return d.accept
		}
	}
	return nil
}

// isUpgrade tells a request for a duplex transport: a WebSocket handshake.
func isUpgrade(r *http.Request) bool {
	return hasToken(r.Header.Values("Connection"), "upgrade") && hasToken(r.Header.Values("Upgrade"), "websocket")
}

func hasToken(lines []string, token string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
		return false
	})
}

// duplex is a transport that carries packets both ways on one connection. Its methods may be called
// from several goroutines at a time, but Read and Finish from one; none but Read and Finish blocks.
type duplex interface {
	// Transport names it.
	Transport() Transport

	// queue appends a message, which it copies, and queueShared the messages of many sessions,
	// which it does not copy. fits is false when more than MaxOutbound bytes would wait.
	queue(m Message) (fits bool)
	queueShared(m *Shared) (fits bool)
	// queuePacket appends a packet that is not a message, such as open, ping or pong. Where nobody
	// asks whether it fits, a full queue shows with the next message.
	queuePacket(t PacketType, data []byte) (fits bool)
	// Flush writes what is queued if the browser takes it now.
	Flush()
	// Writable reports whether a message queued now would leave now.
	Writable() bool
	// Backlog is how many bytes wait since the browser takes no more, and a count that changes when
	// it takes some. Outstanding includes what the system holds for it.
	Backlog() (bytes int, delivered int64)
	Outstanding() (bytes int, delivered int64)

	// Read returns the next packet of the browser, in the browser's own memory until the next call.
	Read() (data []byte, binary bool, err error)
	// end explains an error of Read.
	end(err error) streamEnd
	// Idle is how long nothing was read or written.
	Idle() time.Duration

	// close sends what is queued and then the close of the transport, with the explanation if there
	// is one. Abort drops what is queued. Discard also frees its memory at once.
	close(reason sio.Reason, why *explanation)
	Abort()
	Discard()
	// Finish releases the connection. The reader calls it once, as its last.
	Finish()
}

// streamEnd explains why reading from a duplex transport ended.
type streamEnd struct {
	reason    sio.Reason
	slow      bool // the browser took nothing within WriteTimeout
	proper    bool // a side said why it ended
	violation bool // the browser, or a proxy, violated the transport's protocol, or sent too much
	cause     string
	text      string // the log's sentence of a violation; empty without one
}

// accept makes the transport of a request for one. When ok is false it has answered the request.
type accept func(s *Server, w http.ResponseWriter, r *http.Request, f framing) (d duplex, ok bool)

// duplex is the session's transport; nil while it polls.
func (s *Session) duplex() duplex {
	if d := s.carrier.Load(); d != nil {
		return *d
	}
	return nil
}
