// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"fmt"
	"sync"
	"time"
)

// outbox is a stream's bounded queue to the broker. Actions are written into chunks, each of which
// will be one frame. Results always fit, since the window bounds them; a command that does not fit
// waits for room. Whoever finds something to send and a free place in the frame window sends it;
// meanwhile others only append, so frames grow with load.
type outbox struct {
	// fixed at birth
	window   uint64 // frames that may be unanswered
	maxChunk int    // bytes of actions in one frame
	maxQueue int

	mu       sync.Mutex // guards what follows
	chunks   [][]byte   // oldest first; only the last one grows
	spare    []byte     // a chunk to be used again
	queued   int
	sending  bool
	closed   bool
	sent     uint64 // sequence of our last batch frame
	answered uint64 // highest of ours that the broker answered
	received uint64 // sequence of the broker's last batch frame
	// highest of the broker's that has been worked on, so far as to make it worth an answer
	worked    uint64
	confirmed uint64 // highest of the broker's that we answered
	overdue   uint64 // value of received at the last tick
	ackNow    bool   // answer without a batch
	drain     drainState
	retire    bool          // the drain says that the service retires
	frame     []byte        // neither batch nor answer; overtakes the chunks
	room      chan struct{} // closed when room was made; nil unless somebody waits
}

type drainState uint8

const (
	drainNone drainState = iota
	drainWanted
	drainSent
)

// flushAt is the number of queued bytes at which a runner sends although it has more to run.
const flushAt = 64 << 10

// tailLocked gives the index of the chunk that has room for an action of n bytes.
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

// result queues a result and tells whether it is time to send.
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

// command queues a command, and waits for room at most for the given time.
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

// control queues a frame that is not windowed. It tells whether it will be sent: what leaves
// declares nothing any more.
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

// takeLocked gives the next frame to send, and false when there is nothing to send or no place in
// the window. head is scratch.
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

// reuseLocked keeps a sent chunk for later.
func (o *outbox) reuseLocked(chunk []byte) {
	if cap(chunk) > cap(o.spare) && cap(chunk) <= 4*flushAt {
		o.spare = chunk[:0]
	}
}

// arrived notes a frame of the broker: its sequence, what it answers, and whether it brings work,
// whose first result will answer it.
func (o *outbox) arrived(sequence, answered uint64, work bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.received = max(o.received, sequence)
	if !work {
		o.worked = max(o.worked, sequence)
	}
	o.answered = min(max(o.answered, answered), o.sent)
}

// tick tells whether something is to be sent now, and whether something is still owed.
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
