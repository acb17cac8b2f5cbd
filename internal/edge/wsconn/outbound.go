// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// The outbound queue. Its rules:
//
//   - What is queued leaves in order, and as few writes as possible: a caller that queues several
//     messages flushes once.
//   - One goroutine at a time holds the writer's role (writing). It takes a chunk of what is
//     queued, writes without a lock held, and looks again. A Flush by others meanwhile has nothing
//     to do.
//   - The role is first taken by the goroutine that flushes, for writes that do not block. When the
//     socket takes no more, the role passes to a goroutine that may block (stalled) and ends when
//     nothing is left.
//   - The queue is bounded in bytes: what does not fit is refused with ErrFull, and the owner
//     decides. Nobody else waits.
//   - While the role is with a goroutine that may block, what is queued counts in the budget.
//     Otherwise it is about to leave.
//   - After a close frame nothing is queued any more.
type outbound struct {
	mu          sync.Mutex     // guards the fields below
	shared      *budget.Shared // leaves before all chunks; nil most of the time
	first, last *chunk         // what was queued after shared; nil when there is nothing
	// bytes queued and not written yet, with those that are being written
	queued    int
	writing   bool // someone holds the writer's role
	stalled   bool // the role is with a goroutine that may block
	closeSent bool // a close frame is in the queue, or was written
	// the reader is done: close the writing side as soon as the queue is empty
	finishing bool
	dead      bool // the connection is closed: everything is dropped
	slow      bool // it was closed since the peer took nothing for WriteTimeout

	taken  atomic.Int64   // bytes that the system took
	writer sync.WaitGroup // the goroutine that may block
}

const (
	// maxRounds bounds how long a flushing goroutine writes on for others before it passes the role
	// on. A full chunk is part of a burst and counts less.
	maxRounds    = 8
	fullChunks   = 8
	countsAsFull = fullChunk / 2
	// unstalled is how much may wait on a connection that has no direct writes and still counts as
	// writable.
	unstalled = 16 << 10
)

// Queue appends one message. It copies data.
func (c *Conn) Queue(data []byte, binary bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, err := c.roomLocked(len(data) + maxHeader)
	if err != nil {
		return err
	}
	n := len(k.own)
	k.own = AppendFrame(k.own, data, binary)
	c.appendedLocked(len(k.own) - n)
	return nil
}

// QueuePrefixed appends one text message that begins with one more byte. It copies data.
func (c *Conn) QueuePrefixed(prefix byte, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, err := c.roomLocked(len(data) + 1 + maxHeader)
	if err != nil {
		return err
	}
	n := len(k.own)
	k.own = AppendPrefixedFrame(k.own, prefix, data)
	c.appendedLocked(len(k.own) - n)
	return nil
}

// QueueShared appends messages that AppendFrame has framed, for any number of connections. However
// long they wait, they are written as they are: only few bytes behind others are copied.
func (c *Conn) QueueShared(frames *budget.Shared) error {
	n := len(frames.Data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent || c.dead {
		return ErrClosed
	}
	if n > c.o.MaxOutbound-c.queued {
		return ErrFull
	}
	switch {
	case c.shared == nil && c.first == nil:
		c.shared = frames
	case n <= copied:
		k := c.chunkLocked(n)
		k.own = append(k.own, frames.Data...)
		c.appendedLocked(n)
		return nil
	default:
		c.referLocked(frames)
	}
	c.queued += n
	if c.stalled {
		frames.Hold(c.o.Budget)
	}
	return nil
}

// queueControl appends a control frame, or the answer to the handshake. Control frames are small
// and few, and pass the bound.
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
	k := c.chunkLocked(len(p))
	k.own = append(k.own, p...)
	c.appendedLocked(len(p))
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

// Flush writes what is queued as far as the socket takes it now, from the calling goroutine, and
// leaves the rest to one that may block. It does nothing when nothing is queued.
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
		for rounds := 0; rounds < maxRounds*fullChunks; rounds += b.weight() {
			n, err := c.writeNow(b.data)
			c.touch()
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
	c.holdLocked(b)
	// Ends when the queue is empty or the connection closed; Finish waits for it. Add is under the
	// lock that Finish takes.
	c.writer.Add(1)
	c.mu.Unlock()
	rest := b // b itself stays on the stack
	go func() {
		defer c.writer.Done()
		c.writeBlocking(rest)
	}()
}

// weight is how much a batch counts for maxRounds.
func (b batch) weight() int {
	if b.size >= countsAsFull {
		return 1
	}
	return fullChunks
}

// writeBlocking has the writer's role until the queue is empty.
func (c *Conn) writeBlocking(b batch) {
	const piece = fullChunk // so that progress shows
	w := c.watch()
	defer w.stop()
	for more := true; more; b, more = c.next(b) {
		for len(b.data) > 0 {
			n, err := c.sock.Write(b.data[:min(len(b.data), piece)])
			b.data = b.data[n:]
			c.taken.Add(int64(n))
			c.touch()
			if err != nil {
				c.broken(b)
				return
			}
		}
	}
}

// next returns a written batch and takes another, or gives the role up.
func (c *Conn) next(written batch) (b batch, more bool) {
	c.mu.Lock()
	c.queued -= written.size
	if c.stalled {
		written.release(c.o.Budget)
	}
	if c.queued > 0 && !c.dead {
		b = c.takeLocked()
		c.mu.Unlock()
		written.chunk.recycle()
		return b, true
	}
	c.writing, c.stalled = false, false
	halfClose := c.finishing && !c.dead
	c.mu.Unlock()
	written.chunk.recycle()
	if halfClose {
		c.closeWrite()
	}
	return batch{}, false
}

// broken gives the role up since the socket failed.
func (c *Conn) broken(b batch) {
	c.mu.Lock()
	if c.stalled {
		b.release(c.o.Budget)
	}
	// In one step: a Flush in between would find bytes counted and none there.
	c.dropLocked()
	c.writing, c.stalled, c.dead = false, false, true
	c.mu.Unlock()
	b.chunk.recycle()
	c.Abort()
}
