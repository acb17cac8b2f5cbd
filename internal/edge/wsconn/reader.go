// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"errors"
	"io"
	"net"

	"github.com/gorilla/websocket"
)

// meter counts the bytes that come from the socket, and those of them that were payload. The
// difference is headers and control frames: it bounds the fragments, which gorilla does not count.
type meter struct {
	wire    int64 // read from the socket
	payload int64
	began   int64 // the difference when the current message began
	reading bool  // a message is being read

	// deflated tells that messages may be compressed: then the payload does not tell what it took
	// on the wire, and the overhead is what came beyond the most that the payload may be.
	deflated bool
	start    int64 // wire when the current message began
}

func (m *meter) begin() { m.began, m.start, m.reading = m.wire-m.payload, m.wire, true }

// overhead is about what the current message has had in headers and control frames, without what
// was read ahead.
func (m *meter) overhead(maxMessage int64) int64 {
	switch {
	case !m.reading:
		return 0
	case m.deflated:
		return m.wire - m.start - maxMessage
	}
	return m.wire - m.payload - m.began
}

// odd tells that the frame just read had one byte of payload that was not counted: all headers of a
// client are even in length.
func (m *meter) odd(ahead int) bool { return !m.deflated && (m.wire-m.payload-int64(ahead))%2 != 0 }

// maxOverhead is the room for MaxFragments headers with two bytes of length. What is read ahead
// comes on top.
func (o *Options) maxOverhead() int64 {
	const header = 2 + 2 + 4
	return int64(o.MaxFragments*header + o.ReadBuffer)
}

// Read waits for the next message. The slice is fresh, of about the message's size, and the
// caller's. Text is valid UTF-8. After an error there is nothing more to read, the peer has got the
// reason where a rule says so, and Finish is due. The error is a *CloseError when the peer closed
// properly, io.EOF when it just went, ErrTooLarge or ErrProtocol when it violated the protocol,
// ErrSlow when it took nothing for too long, ErrClosed when this side closed, or else what the
// system said.
func (c *Conn) Read() (data []byte, binary bool, err error) {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, false, c.readFailed(err)
	}
	binary = kind == websocket.BinaryMessage
	c.meter.begin()
	data, err = c.readAll(r, !binary)
	c.meter.reading = false
	if err != nil {
		return nil, false, c.readFailed(err)
	}
	return data, binary, nil
}

// readFailed tells the peer what it did wrong, if it does not know yet.
func (c *Conn) readFailed(err error) error {
	c.mu.Lock()
	closeSent, dead, slow := c.closeSent, c.dead, c.slow
	c.mu.Unlock()
	if slow {
		return ErrSlow
	}
	if dead {
		return ErrClosed
	}
	cause, code := readError(err, closeSent)
	if code != CodeNone {
		text := ""
		if code == CodeTooLarge {
			text = c.o.TooLarge
		}
		c.queueControl(appendClose(nil, code, text))
	}
	c.Flush()
	if closeSent && isTimeout(err) {
		return ErrClosed
	}
	return cause
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// isIO tells an error of the socket from one of gorilla.
func isIO(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed)
}
