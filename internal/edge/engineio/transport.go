// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A session uses one transport at a time. It polls, or it is on a duplex transport: from its
// handshake, or from its upgrade on. Polling is part of the session, since its requests come and
// go. A duplex transport is one connection behind the interface below; WebSocket is the only one. A
// further one is a type that implements duplex, a name in Transport, and an entry in
// Server.duplexes.

// duplex is a transport that carries packets both ways on one connection. Its methods may be called
// from several goroutines at a time, but Read and Finish from one; none but Read and Finish blocks.
type duplex interface {
	// Transport names it.
	Transport() Transport

	// queue appends a message, which it copies, and queueShared the messages of many sessions,
	// which it does not copy. fits is false when more than MaxOutbound bytes would wait.
	queue(m Message) (fits bool)
	queueShared(m *Shared) (fits bool)
	// queuePolled appends a packet that waited for a poll when the session was upgraded.
	queuePolled(o *outgoing) (fits bool)
	// queuePacket appends a packet that is not a message: open, ping or pong.
	queuePacket(t PacketType, data []byte)
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
type accept func(w http.ResponseWriter, r *http.Request, f framing) (d duplex, ok bool)

// duplex is the session's transport; nil while it polls.
func (s *Session) duplex() duplex {
	if d := s.carrier.Load(); d != nil {
		return *d
	}
	return nil
}
