// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"sync"
	"time"

	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/sio"
)

// frameWindow is how many batch frames either side may leave unanswered. With two, one is on its
// way while the other is worked on.
const frameWindow = 2

const (
	// batchOverhead is more than what a frame needs beside its items.
	batchOverhead = 64
	// chunkBytes is where a batch is cut, so that the instance can begin to work on a part of it. A
	// larger item has a frame of its own.
	chunkBytes = 256 << 10
	// aheadBytes is how much may be on its way, not known to have arrived, for a send that does not
	// wait: gRPC lets a stream begin to send while less than 64 KiB of it are not written to the
	// connection.
	aheadBytes = 48 << 10
	// frameOverhead is what gRPC adds to a frame.
	frameOverhead = 5
	// maxNotices bounds the frames outside the window: an instance that reads nothing loses
	// notices, which are for logs.
	maxNotices = 64
)

// chunk is what will be one batch frame.
type chunk struct {
	data    []byte
	answers int // bytes of answers in it
}

// outbox is what waits for an instance. Its rules:
//
//   - Items are written into chunks, each of which will be one frame, so that frames grow with load
//     while the frame window is full.
//   - A goroutine that finds something to send and a free place in the window sends it; meanwhile
//     others only append.
//   - Nobody who has other things to do sends when gRPC might make it wait: that is left to a
//     goroutine for the time being.
//   - It is bounded: dispatches by the instance's window, answers by maxAnswers, notices by
//     maxNotices.
type outbox struct {
	maxItem    int // bytes of one item
	maxAnswers int // bytes of answers

	mu       sync.Mutex    // guards what follows
	notices  [][]byte      // whole frames outside the window; they go first
	chunks   []chunk       // oldest first; only the last one grows
	answers  int           // bytes of answers in them
	freed    chan struct{} // closed when there are fewer; nil while nobody waits for that
	tooLarge []sio.DispatchID
	spares   [][]byte // chunks to be used again
	head     [32]byte // of the frame being sent; the sender's
	idle     chan struct{}

	sending bool
	sentAt  time.Time // when the last send began
	batchAt time.Time // when the last batch frame was sent
	closed  bool

	sent     uint64 // sequence of our last batch frame
	answered uint64 // highest of ours that the instance answered
	received uint64 // sequence of the instance's last batch frame
	replied  uint64 // highest of the instance's that we answered

	total uint64              // bytes sent
	known uint64              // of these, bytes that have arrived for sure
	ends  [frameWindow]uint64 // total after each unanswered batch frame
}

// outcome of taking the next frame.
type nextFrame uint8

const (
	nothing  nextFrame = iota
	ready              // there is a frame to send
	mustWait           // there is one, and gRPC may make its sender wait
)

// roomLocked gives the chunk that takes n more bytes.
func (o *outbox) roomLocked(n int) *chunk {
	last := len(o.chunks) - 1
	if last < 0 || len(o.chunks[last].data)+n > min(chunkBytes, o.maxItem) {
		o.chunks = append(o.chunks, chunk{data: o.spareLocked()})
		last++
	}
	return &o.chunks[last]
}

// answer queues an answer, and tells whether it fits.
func (o *outbox) answer(data []byte) (fits bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answers+wire.BytesSize(len(data)) > o.maxAnswers {
		return false
	}
	o.answerLocked(data)
	return true
}

// answerIfRoom queues an answer whose sender can wait: it leaves half of the room to others. freed
// is closed when it is time to try again.
func (o *outbox) answerIfRoom(data []byte) (queued bool, freed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.answers == 0 || o.answers+wire.BytesSize(len(data)) <= o.maxAnswers/2 {
		o.answerLocked(data)
		return true, nil
	}
	if o.freed == nil {
		o.freed = make(chan struct{})
	}
	return false, o.freed
}

func (o *outbox) answerLocked(data []byte) {
	if o.closed {
		return
	}
	size := wire.BytesSize(len(data))
	c := o.roomLocked(size)
	c.data = append(wire.AppendHead(c.data, wire.BatchAnswers, len(data)), data...)
	c.answers += size
	o.answers += size
}

// noticeLocked queues a frame outside the window.
func (o *outbox) noticeLocked(frame []byte) {
	if !o.closed && len(o.notices) < maxNotices {
		o.notices = append(o.notices, frame)
	}
}

func (o *outbox) fullLocked() bool { return o.sent-o.answered >= frameWindow }

// takeLocked gives the next frame to send. Without patience it gives none that may wait.
func (o *outbox) takeLocked(patient bool) (f outFrame, next nextFrame) {
	batch := len(o.chunks) > 0 && !o.fullLocked()
	// the instance may send nothing more before it has a reply
	owed := o.received-o.replied >= frameWindow
	switch {
	case o.closed || len(o.notices) == 0 && !batch && !owed:
		return f, nothing
	case !patient && o.total-o.known >= aheadBytes:
		return f, mustWait
	case len(o.notices) > 0:
		f.body = o.notices[0]
		o.notices = o.notices[1:]
	case batch:
		f.body = o.shiftLocked()
		o.sent++
		o.replied = o.received
		f.head = appendBatchHead(o.head[:0], o.sent, o.replied, len(f.body))
		f.reusable = true
	default:
		o.replied = o.received
		f.head = appendFrameAck(o.head[:0], o.replied)
	}
	o.sentAt = time.Now()
	o.total += uint64(len(f.head) + len(f.body) + frameOverhead)
	if batch && f.reusable {
		o.batchAt = o.sentAt
		o.ends[o.sent%frameWindow] = o.total
	}
	return f, ready
}

func (o *outbox) shiftLocked() []byte {
	c := o.chunks[0]
	copy(o.chunks, o.chunks[1:])
	o.chunks[len(o.chunks)-1] = chunk{}
	o.chunks = o.chunks[:len(o.chunks)-1]
	o.answers -= c.answers
	if o.freed != nil && c.answers > 0 {
		close(o.freed)
		o.freed = nil
	}
	return c.data
}

// maxSpares is one chunk that is sent and one that grows meanwhile. They hold at most chunkBytes;
// larger ones are left to the collector.
const maxSpares = 2

// reuseLocked keeps a sent chunk for later.
func (o *outbox) reuseLocked(data []byte) {
	if len(o.spares) < maxSpares && cap(data) <= chunkBytes {
		o.spares = append(o.spares, data[:0])
	}
}

func (o *outbox) spareLocked() (data []byte) {
	if last := len(o.spares) - 1; last >= 0 {
		data, o.spares = o.spares[last], o.spares[:last]
	}
	return data
}

// answersTo notes which of our frames have been answered.
func (o *outbox) answersTo(answered uint64) (ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.answersToLocked(answered)
}

func (o *outbox) answersToLocked(answered uint64) (ok bool) {
	if answered > o.sent {
		return false
	}
	if answered > o.answered {
		o.answered = answered
		o.known = o.ends[answered%frameWindow]
	}
	return true
}

// arrived notes a batch frame of the instance and what it answers. ok is false when it is out of
// sequence or beyond the frame window.
func (o *outbox) arrived(sequence, answered uint64) (ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if sequence != o.received+1 || sequence-o.replied > frameWindow {
		return false
	}
	o.received = sequence
	return o.answersToLocked(answered)
}

// stalled tells whether the instance has taken or answered nothing for as long as the timeout, and
// if not, when to look again; zero means that there is nothing to look for.
func (o *outbox) stalled(timeout time.Duration) (stalled bool, again time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false, 0
	}
	now := time.Now()
	check := func(waits bool, since time.Time) {
		if !waits || stalled {
			return
		}
		left := timeout - now.Sub(since)
		if left <= 0 {
			stalled = true
		} else if again == 0 || left < again {
			again = left
		}
	}
	check(o.sending, o.sentAt)
	check(o.fullLocked(), o.batchAt)
	return stalled, again
}

// whenIdle gives a channel that is closed once nothing is left to send.
func (o *outbox) whenIdle() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.idle == nil {
		o.idle = make(chan struct{})
		if !o.sending {
			o.idleLocked()
		}
	}
	return o.idle
}

// idleLocked is called when a sender has stopped.
func (o *outbox) idleLocked() {
	if o.idle == nil || !o.closed && len(o.chunks)+len(o.notices) > 0 {
		return
	}
	select {
	case <-o.idle:
	default:
		close(o.idle)
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.notices, o.chunks, o.spares, o.tooLarge = nil, nil, nil, nil
	o.idleLocked()
}
