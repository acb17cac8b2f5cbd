// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"net"
	"sync"
	"time"
)

// The outbound queue. Its rules:
//
//   - What is queued leaves in order, and as few writes as possible: whoever queues several messages flushes once.
//   - One goroutine at a time holds the writer's role (writing). It takes all that is queued, writes without a lock held, and looks
//     again. A Flush by others meanwhile has nothing to do.
//   - The role is first taken by the goroutine that flushes, for writes that do not block. When the socket takes no more, the role
//     passes to a goroutine that may block (stalled) and ends when nothing is left.
//   - The queue is bounded in bytes: what does not fit is refused with ErrFull, and the owner decides. Nobody else waits.
//   - After a close frame nothing is queued any more.
type outbound struct {
	mu        sync.Mutex // guards the fields below
	shared    []byte     // frames that belong to others; set only while everything else is empty, and leave first
	buffer    *buffer    // what was queued after shared; nil when there is nothing
	queued    int        // bytes queued and not written yet, with those that are being written
	writing   bool       // someone holds the writer's role
	stalled   bool       // the role is with a goroutine that may block
	closeSent bool       // a close frame is in the queue, or was written
	finishing bool       // the reader is done: close the writing side as soon as the queue is empty
	dead      bool       // the connection is closed: everything is dropped

	writer sync.WaitGroup // the goroutine that may block
}

// buffer is a pooled byte slice.
type buffer struct{ b []byte }

const (
	newBuffer = 1 << 10
	maxPooled = 64 << 10 // larger buffers are left to the collector
	// maxRounds bounds how long a flushing goroutine writes on for others before it passes the role on.
	maxRounds = 8
	// unstalled is how much may wait on a connection that has no direct writes and still counts as writable.
	unstalled = 16 << 10
)

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, newBuffer)} }}

func (b *buffer) release() {
	if b != nil && cap(b.b) <= maxPooled {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// batch is what one write takes from the queue.
type batch struct {
	data   []byte
	buffer *buffer // data's, or nil
	size   int
}

// Queue appends one message. It copies data.
func (c *Conn) Queue(data []byte, binary bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := c.roomLocked(len(data) + maxHeader)
	if err != nil {
		return err
	}
	n := len(b.b)
	b.b = AppendFrame(b.b, data, binary)
	c.queued += len(b.b) - n
	return nil
}

// QueuePrefixed appends one text message that begins with one more byte. It copies data.
func (c *Conn) QueuePrefixed(prefix byte, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := c.roomLocked(len(data) + 1 + maxHeader)
	if err != nil {
		return err
	}
	n := len(b.b)
	b.b = AppendPrefixedFrame(b.b, prefix, data)
	c.queued += len(b.b) - n
	return nil
}

// QueueFramed appends messages that AppendFrame has framed. The bytes must not change any more: where nothing else waits they are
// written as they are, without a copy.
func (c *Conn) QueueFramed(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared == nil && c.buffer == nil && len(frames) <= c.o.MaxOutbound-c.queued && !c.closeSent && !c.dead {
		c.shared = frames
		c.queued += len(frames)
		return nil
	}
	b, err := c.roomLocked(len(frames))
	if err != nil {
		return err
	}
	b.b = append(b.b, frames...)
	c.queued += len(frames)
	return nil
}

// roomLocked is the buffer to append at most n bytes to.
func (c *Conn) roomLocked(n int) (*buffer, error) {
	if c.closeSent || c.dead {
		return nil, ErrClosed
	}
	if n > c.o.MaxOutbound-c.queued {
		return nil, ErrFull
	}
	return c.bufferLocked(), nil
}

func (c *Conn) bufferLocked() *buffer {
	if c.buffer == nil {
		c.buffer = buffers.Get().(*buffer)
	}
	return c.buffer
}

// queueControl appends a control frame, or the answer to the handshake. Control frames are small and few, and pass the bound.
func (c *Conn) queueControl(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return ErrClosed
	}
	if c.closeSent {
		return nil
	}
	c.closeSent = p[0] == closeFrame
	b := c.bufferLocked()
	b.b = append(b.b, p...)
	c.queued += len(p)
	return nil
}

// Writable tells that what is queued now can leave at once: the peer keeps up.
func (c *Conn) Writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent || c.dead {
		return false
	}
	return !c.stalled || (c.raw == nil && c.queued <= unstalled)
}

// Flush writes what is queued as far as the socket takes it now, from the calling goroutine, and leaves the rest to one that may
// block. It does nothing when nothing is queued.
func (c *Conn) Flush() {
	c.mu.Lock()
	if c.writing || c.queued == 0 || c.dead {
		c.mu.Unlock()
		return
	}
	c.writing = true
	b := c.takeLocked()
	c.mu.Unlock()
	c.write(b)
}

// write has the writer's role and passes it on or gives it up.
func (c *Conn) write(b batch) {
	if c.raw != nil {
		for range maxRounds {
			n, err := c.writeNow(b.data)
			b.data = b.data[n:]
			if err != nil {
				c.broken(b)
				return
			}
			if len(b.data) > 0 {
				break
			}
			var more bool
			if b, more = c.next(b); !more {
				return
			}
		}
	}
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		c.broken(b)
		return
	}
	c.stalled = true
	// Ends when the queue is empty or the connection closed; Finish waits for it. Add is under the lock that Finish takes.
	c.writer.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.writer.Done()
		c.writeBlocking(b)
	}()
}

// writeBlocking has the writer's role until the queue is empty.
func (c *Conn) writeBlocking(b batch) {
	for more := true; more; b, more = c.next(b) {
		for len(b.data) > 0 {
			c.sock.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
			n, err := c.sock.Write(b.data)
			b.data = b.data[n:]
			// A timeout with progress is a slow peer, not a dead one.
			if ne, ok := err.(net.Error); err != nil && (n == 0 || !ok || !ne.Timeout()) {
				c.broken(b)
				return
			}
		}
	}
}

// takeLocked takes the next batch; there is one.
func (c *Conn) takeLocked() batch {
	if s := c.shared; s != nil {
		c.shared = nil
		return batch{data: s, size: len(s)}
	}
	b := c.buffer
	c.buffer = nil
	return batch{data: b.b, buffer: b, size: len(b.b)}
}

// next returns a written batch and takes another, or gives the role up.
func (c *Conn) next(written batch) (b batch, more bool) {
	written.buffer.release()
	c.mu.Lock()
	c.queued -= written.size
	if c.queued > 0 && !c.dead {
		b = c.takeLocked()
		c.mu.Unlock()
		return b, true
	}
	if c.stalled {
		// Direct writes check the deadline, too.
		c.sock.SetWriteDeadline(time.Time{})
	}
	c.writing, c.stalled = false, false
	halfClose := c.finishing && !c.dead
	c.mu.Unlock()
	if halfClose {
		c.closeWrite()
	}
	return batch{}, false
}

// broken gives the role up since the socket failed.
func (c *Conn) broken(b batch) {
	b.buffer.release()
	c.mu.Lock()
	// In one step: a Flush in between would find bytes counted and none there.
	c.writing, c.stalled, c.dead = false, false, true
	c.dropLocked()
	c.mu.Unlock()
	c.Abort()
}

// dropLocked forgets what is queued.
func (c *Conn) dropLocked() {
	c.buffer.release()
	c.shared, c.buffer, c.queued = nil, nil, 0
}
