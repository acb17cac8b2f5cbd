// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"sync"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// chunk is a part of an outbound queue: bytes of the connection's own, and behind them bytes that
// are shared. Either may be missing.
type chunk struct {
	own    []byte
	shared *budget.Shared
	next   *chunk
}

const (
	newChunk = 1 << 10
	// fullChunk is the size up to which a chunk grows. A larger message has a chunk for itself.
	fullChunk = 64 << 10
	// maxPooled is above fullChunk, since appending makes room for more. Larger ones are left to
	// the collector.
	maxPooled = 96 << 10
	// copied is the size up to which shared bytes are copied when others wait before them: a
	// reference would cost about as much.
	copied = 4 << 10
	// chunkCost is what a chunk counts in the budget besides its bytes.
	chunkCost = 64
)

var chunks = sync.Pool{New: func() any { return &chunk{own: make([]byte, 0, newChunk)} }}

// recycle gives a chunk that nobody uses any more to the pool.
func (k *chunk) recycle() {
	if k == nil || k.own == nil || cap(k.own) > maxPooled {
		return
	}
	k.own, k.shared, k.next = k.own[:0], nil, nil
	chunks.Put(k)
}

// roomLocked is the chunk to append at most n bytes to.
func (c *Conn) roomLocked(n int) (*chunk, error) {
	if c.closeSent || c.dead {
		return nil, ErrClosed
	}
	if n > c.o.MaxOutbound-c.queued {
		return nil, ErrFull
	}
	return c.chunkLocked(n), nil
}

func (c *Conn) chunkLocked(n int) *chunk {
	k := c.last
	switch {
	case k != nil && k.shared == nil && len(k.own)+n <= fullChunk:
		return k
	case n > fullChunk:
		k = &chunk{own: make([]byte, 0, n)}
	default:
		k = chunks.Get().(*chunk)
	}
	c.linkLocked(k)
	return k
}

// referLocked appends shared bytes without a copy.
func (c *Conn) referLocked(frames *budget.Shared) {
	if k := c.last; k != nil && k.shared == nil {
		k.shared = frames
		return
	}
	c.linkLocked(&chunk{shared: frames})
}

func (c *Conn) linkLocked(k *chunk) {
	if c.last == nil {
		c.first = k
	} else {
		c.last.next = k
	}
	c.last = k
	if c.stalled {
		c.o.Budget.Add(chunkCost)
	}
}

// appendedLocked counts bytes that were appended to a chunk.
func (c *Conn) appendedLocked(n int) {
	c.queued += n
	if c.stalled {
		c.o.Budget.Add(n)
	}
}

// batch is what one write takes from the queue.
type batch struct {
	data   []byte         // what is not written yet
	size   int            // of all
	chunk  *chunk         // data's, or nil
	shared *budget.Shared // data's, or nil
}

// takeLocked takes the next batch; there is one.
func (c *Conn) takeLocked() batch {
	if s := c.shared; s != nil {
		c.shared = nil
		return batch{data: s.Data, size: len(s.Data), shared: s}
	}
	k := c.first
	if c.first = k.next; c.first == nil {
		c.last = nil
	}
	k.next = nil
	s := k.shared
	k.shared = nil
	if k.own == nil {
		return batch{data: s.Data, size: len(s.Data), chunk: k, shared: s}
	}
	c.shared = s
	return batch{data: k.own, size: len(k.own), chunk: k}
}

// hold counts the batch in the budget.
func (b batch) hold(in *budget.Budget) {
	if b.chunk != nil {
		in.Add(len(b.chunk.own) + chunkCost)
	}
	if b.shared != nil {
		b.shared.Hold(in)
	}
}

// release takes back what hold counted.
func (b batch) release(in *budget.Budget) {
	if b.chunk != nil {
		in.Sub(len(b.chunk.own) + chunkCost)
	}
	if b.shared != nil {
		b.shared.Release(in)
	}
}

// holdLocked counts all that is queued and the batch that is being written.
func (c *Conn) holdLocked(b batch) {
	b.hold(c.o.Budget)
	if c.shared != nil {
		c.shared.Hold(c.o.Budget)
	}
	for k := c.first; k != nil; k = k.next {
		batch{chunk: k, shared: k.shared}.hold(c.o.Budget)
	}
}

// dropLocked forgets what is queued.
func (c *Conn) dropLocked() {
	if c.stalled && c.shared != nil {
		c.shared.Release(c.o.Budget)
	}
	for k := c.first; k != nil; {
		next := k.next
		if c.stalled {
			batch{chunk: k, shared: k.shared}.release(c.o.Budget)
		}
		k.recycle()
		k = next
	}
	c.shared, c.first, c.last, c.queued = nil, nil, nil, 0
}
