// SPDX-License-Identifier: Apache-2.0

package bridge

import "sync"

// frameWindow is how many batch frames either side may leave unanswered. With two, one is on its way while the other is worked on.
const frameWindow = 2

// batchOverhead is more than what a frame needs beside its items.
const batchOverhead = 64

// outbox is what waits for an instance. Its rules:
//
//   - Items are written into chunks, each of which will be one frame, so that frames grow with load while the frame window is full.
//   - Whoever finds something to send and a free place in the window sends it; meanwhile others only append.
//   - It is bounded by the instance's window of dispatches, and by the commands that it may leave unanswered.
type outbox struct {
	maxChunk int

	mu       sync.Mutex // guards what follows
	frames   [][]byte   // whole frames outside the window; they go first
	chunks   [][]byte   // oldest first; only the last one grows
	spare    []byte     // a chunk to be used again
	head     [32]byte   // of the frame being sent; the sender's
	sending  bool
	closed   bool
	sent     uint64 // sequence of our last batch frame
	answered uint64 // highest of ours that the instance answered
	received uint64 // sequence of the instance's last batch frame
	told     uint64 // highest of the instance's that we answered
	flying   int    // bytes of our unanswered frames
	flew     [frameWindow]int
}

// tailLocked gives the chunk that has room for n more bytes.
func (o *outbox) tailLocked(n int) *[]byte {
	last := len(o.chunks) - 1
	if last < 0 || len(o.chunks[last])+n > o.maxChunk {
		o.chunks = append(o.chunks, o.spare[:0])
		o.spare = nil
		last++
	}
	return &o.chunks[last]
}

// takeLocked gives the next frame, and false when nothing may be sent.
func (o *outbox) takeLocked() (f outFrame, ok bool) {
	switch {
	case o.closed:
		return f, false
	case len(o.frames) > 0:
		f.body = o.frames[0]
		o.frames = o.frames[1:]
		return f, true
	case len(o.chunks) > 0 && o.sent-o.answered < frameWindow:
		f.body = o.chunks[0]
		copy(o.chunks, o.chunks[1:])
		o.chunks[len(o.chunks)-1] = nil
		o.chunks = o.chunks[:len(o.chunks)-1]
		o.sent++
		o.flew[o.sent%frameWindow] = len(f.body)
		o.flying += len(f.body)
		o.told = o.received
		f.head = appendBatchHead(o.head[:0], o.sent, o.told, len(f.body))
		return f, true
	case o.received-o.told >= frameWindow: // the instance may send nothing more before it is told
		o.told = o.received
		f.head = appendFrameAck(o.head[:0], o.told)
		return f, true
	}
	return f, false
}

// full tells that the instance holds the window full.
func (o *outbox) full() (sent uint64, full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent, !o.closed && o.sent-o.answered >= frameWindow
}

// reuseLocked keeps a sent chunk for later.
func (o *outbox) reuseLocked(chunk []byte) {
	const most = 256 << 10 // larger ones are left to the collector
	if cap(chunk) > cap(o.spare) && cap(chunk) <= most {
		o.spare = chunk[:0]
	}
}

// arrived notes a batch frame of the instance, when sequence is not zero, and what it answers. ok is false when that makes no sense.
func (o *outbox) arrived(sequence, answered uint64) (ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if sequence != 0 {
		if sequence != o.received+1 {
			return false
		}
		o.received = sequence
	}
	if answered > o.sent {
		return false
	}
	for o.answered < answered {
		o.answered++
		o.flying -= o.flew[o.answered%frameWindow]
	}
	return true
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.frames, o.chunks, o.spare = nil, nil, nil
}
