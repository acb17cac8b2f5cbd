// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// window counts what happens within a second.
type window struct {
	start time.Time
	count int
}

// take tells whether one more is within the limit.
func (w *window) take(now time.Time, limit int) bool {
	if now.Sub(w.start) >= time.Second {
		*w = window{start: now}
	}
	w.count++
	return w.count <= limit
}

// pinged answers a ping. The answers to all pings that came together leave together, before more is
// read. Too many pings, or those of a peer that takes no answers, are ignored.
func (c *Conn) pinged(payload string) error {
	c.meter.payload += int64(len(payload))
	if !c.pings.take(time.Now(), c.o.MaxPings) || !c.Writable() {
		return nil
	}
	frame := make([]byte, 0, 2+len(payload))
	frame = append(frame, pongFrame, byte(len(payload)))
	c.pongDue = true
	c.queueControl(append(frame, payload...))
	return nil
}

// ponged ignores a pong: this side sends no pings, heartbeats are the protocol's above.
func (c *Conn) ponged(payload string) error {
	c.meter.payload += int64(len(payload))
	return nil
}

// peerCloses answers a close frame with the same code. gorilla takes a body of one byte, half a
// code, for none.
func (c *Conn) peerCloses(code int, _ string) error {
	if code == websocket.CloseNoStatusReceived {
		if c.meter.odd(c.in.Buffered()) {
			return errCloseBody
		}
		code = CodeNone
	}
	c.queueControl(appendClose(nil, code, ""))
	return nil
}

// Close sends a close frame after what is queued and gives the peer CloseTimeout for its answer,
// after which Read fails. Messages that are queued later are dropped. The reader still has to call
// Finish.
func (c *Conn) Close(code int, text string) {
	if c.queueControl(appendClose(nil, code, text)) != nil {
		return
	}
	c.sock.SetReadDeadline(time.Now().Add(c.o.CloseTimeout))
	c.Flush()
}

// Abort ends the TCP connection now. What is queued is lost, Read fails.
func (c *Conn) Abort() {
	c.mu.Lock()
	c.dead = true
	c.dropLocked()
	c.mu.Unlock()
	if c.sock != nil {
		c.sock.Close()
	}
}

// Discard is Abort, and returns when what was queued is not held any more. It may be called by
// anyone but the reader.
func (c *Conn) Discard() {
	c.Abort()
	c.writer.Wait()
}

// Finish ends the connection and returns when nothing of it is left. It writes what is still
// queued, closes the writing side and throws away what the peer still sends, until it closes, too,
// or CloseTimeout has passed: closing at once would let the system discard the close frame with the
// unread rest. It belongs to the reader.
func (c *Conn) Finish() {
	c.mu.Lock()
	dead := c.dead
	c.finishing, c.closeSent = true, true
	idle := !c.writing && c.queued == 0
	c.mu.Unlock()
	if !dead {
		c.sock.SetReadDeadline(time.Now().Add(c.o.CloseTimeout))
		if idle {
			c.closeWrite()
		} else {
			c.Flush()
		}
		io.Copy(io.Discard, c.sock)
	}
	c.Abort()
	c.writer.Wait()
}

// closeWrite ends the writing side, so that the peer sees the end after all that was written.
func (c *Conn) closeWrite() {
	if h, ok := c.sock.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
		return
	}
	c.sock.Close()
}
