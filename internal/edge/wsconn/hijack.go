// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/internal/hijack"
)

// hijacker hands gorilla a tap instead of the real connection.
type hijacker struct {
	http.ResponseWriter
	c      *Conn
	answer *hijack.Answer // to a client that did not wait, on the connection that was taken over
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	sock, rw, err := hijack.Take(h.ResponseWriter)
	if errors.Is(err, hijack.ErrEarly) {
		h.answer = hijack.NewAnswer(sock, h.Header())
	}
	if err != nil {
		return nil, nil, err
	}
	c := h.c
	c.sock = sock
	if s, ok := sock.(syscall.Conn); ok && directWrites {
		// Without a raw connection the on-demand writer does it all.
		c.raw, _ = s.SyscallConn()
	}
	c.in = bufio.NewReaderSize((*tap)(c), c.o.ReadBuffer)
	return (*tap)(c), bufio.NewReadWriter(c.in, rw.Writer), nil
}

// tap is the net.Conn that gorilla sees.
type tap Conn

// Read implements net.Conn. It is called when all that was read before has been used up.
func (t *tap) Read(p []byte) (int, error) {
	c := (*Conn)(t)
	if c.pongDue {
		c.pongDue = false
		c.Flush()
	}
	if c.meter.overhead(c.o.MaxMessage) > c.o.maxOverhead() {
		return 0, errFragments
	}
	n, err := c.sock.Read(p)
	c.meter.wire += int64(n)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Write implements net.Conn: gorilla's own control frames and the answer to the handshake.
func (t *tap) Write(p []byte) (int, error) {
	n := len(p)
	if bytes.Equal(p, tooLargeFrame) {
		p = appendClose(nil, CodeTooLarge, t.o.TooLarge)
	}
	if err := (*Conn)(t).queueControl(p); err != nil {
		return 0, err
	}
	return n, nil
}

// tooLargeFrame is what gorilla writes for a message that is too large.
var tooLargeFrame = appendClose(nil, CodeTooLarge, "")

// Close implements net.Conn.
func (t *tap) Close() error {
	(*Conn)(t).Abort()
	return nil
}

// LocalAddr implements net.Conn.
func (t *tap) LocalAddr() net.Addr { return t.sock.LocalAddr() }

// RemoteAddr implements net.Conn.
func (t *tap) RemoteAddr() net.Addr { return t.sock.RemoteAddr() }

// SetDeadline implements net.Conn; deadlines are Conn's alone.
func (t *tap) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn; deadlines are Conn's alone.
func (t *tap) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn; deadlines are Conn's alone.
func (t *tap) SetWriteDeadline(time.Time) error { return nil }
