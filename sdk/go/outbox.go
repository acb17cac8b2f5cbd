// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"fmt"
	"sync"
	"time"
)

// outbox is the bounded queue of a stream to the broker. Actions are written into chunks; each
// chunk becomes one frame. Results always fit, since the window bounds them. A command that does
// not fit waits for space. The goroutine that finds something to send and a free place in the frame
// window sends it. Others append meanwhile, so frames grow with load.
type outbox struct {
	// fixed at birth
	window   uint64 // frames that may be unanswered
	maxChunk int    // bytes of actions in one frame
	maxQueue int

	mu       sync.Mutex // guards what follows
	chunks   [][]byte   // oldest first; only the last one grows
	spare    []byte     // a chunk for reuse
	queued   int
	sending  bool
	closed   bool
	sent     uint64 // sequence number of the last batch frame sent
	answered uint64 // highest sequence number that the broker answered
	received uint64 // sequence number of the last batch frame received
	// highest sequence number received whose work is done, or far enough to be answered
	worked    uint64
	confirmed uint64 // highest sequence number received that is answered
	overdue   uint64 // value of received at the last tick
	ackNow    bool   // answer without a batch
	drain     drainState
	retire    bool          // the drain retires the service
	frame     []byte        // neither batch nor answer; overtakes the chunks
	room      chan struct{} // closed when space was freed; nil while no command waits
}

type drainState uint8

const (
	drainNone drainState = iota
	drainWanted
	drainSent
)

// flushAt is the number of queued bytes at which a runner sends although it has more to run.
const flushAt = 64 << 10

// tailLocked returns the index of the chunk that has space for an action of n bytes.
func (o *outbox) tailLocked(n int) int {
	last := len(o.chunks) - 1
	if last < 0 || len(o.chunks[last])+n > o.maxChunk {
		o.chunks = append(o.chunks, o.spare[:0])
		o.spare = nil
		last++
	}
	o.queued += n
	return last
}

// result queues a result and reports whether it is time to send.
func (o *outbox) result(id uint64, out *outcome, size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.worked = o.received
	i := o.tailLocked(size)
	o.chunks[i] = appendResult(o.chunks[i], id, out)
	return o.queued >= flushAt
}

// command queues a command. It waits for space, at most for the given time.
func (o *outbox) command(c *command, patience time.Duration) error {
	l := c.layout()
	if l.whole > o.maxChunk {
		return fmt.Errorf("%w: %d bytes of at most %d (the broker's setting max-frame)", ErrTooLarge, l.whole, o.maxChunk)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queued > 0 && o.queued+l.whole > o.maxQueue {
		if err := o.waitLocked(l.whole, patience); err != nil {
			return err
		}
	}
	if o.closed {
		return ErrBrokerUnavailable
	}
	i := o.tailLocked(l.whole)
	o.chunks[i] = c.append(o.chunks[i], &l)
	return nil
}

// control queues a frame outside the window. It reports whether the frame will be sent: a stream
// that drains declares nothing.
func (o *outbox) control(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.drain != drainNone {
		return false
	}
	o.frame = frame
	return true
}

func (o *outbox) waitLocked(n int, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !o.closed && o.queued > 0 && o.queued+n > o.maxQueue {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		late := false
		select {
		case <-room:
		case <-timer.C:
			late = true
		}
		o.mu.Lock()
		if late {
			return ErrQueueFull
		}
	}
	return nil
}

// takeLocked returns the next frame to send. It returns false when nothing is queued or the window
// is full. head is scratch space.
func (o *outbox) takeLocked(head []byte) (f outFrame, ok bool) {
	switch {
	case o.closed:
		return f, false
	case o.frame != nil:
		f.body, o.frame = o.frame, nil
		return f, true
	case len(o.chunks) > 0 && o.sent-o.answered < o.window:
		f.body = o.chunks[0]
		copy(o.chunks, o.chunks[1:])
		o.chunks[len(o.chunks)-1] = nil
		o.chunks = o.chunks[:len(o.chunks)-1]
		o.queued -= len(f.body)
		o.sent++
		o.confirmed, o.ackNow = o.worked, false
		f.head = appendBatchHead(head[:0], o.sent, o.confirmed, len(f.body))
		if o.room != nil {
			close(o.room)
			o.room = nil
		}
		return f, true
	case o.ackNow:
		o.confirmed, o.ackNow = o.worked, false
		f.head = appendFrameAck(head[:0], o.confirmed)
		return f, true
	case len(o.chunks) == 0 && o.drain == drainWanted:
		o.drain = drainSent
		f.head = appendDrain(head[:0], o.retire)
		return f, true
	}
	return f, false
}

// reuseLocked keeps a sent chunk for reuse.
func (o *outbox) reuseLocked(chunk []byte) {
	if cap(chunk) > cap(o.spare) && cap(chunk) <= 4*flushAt {
		o.spare = chunk[:0]
	}
}

// arrived notes a received frame: its sequence number, the number that it answers, and whether it
// brings dispatches, whose first result will answer it.
func (o *outbox) arrived(sequence, answered uint64, work bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.received = max(o.received, sequence)
	if !work {
		o.worked = max(o.worked, sequence)
	}
	o.answered = min(max(o.answered, answered), o.sent)
}

// tick reports whether something can be sent now, and whether an answer is still due.
func (o *outbox) tick() (send, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.sending {
		return false, !o.closed
	}
	owed := o.received > o.confirmed
	if owed && o.overdue == o.received {
		o.worked, o.ackNow = o.received, true
	}
	o.overdue = o.received
	sendable := len(o.chunks) > 0 && o.sent-o.answered < o.window
	return sendable || o.ackNow, owed
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.chunks, o.spare, o.queued = nil, nil, 0
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}
