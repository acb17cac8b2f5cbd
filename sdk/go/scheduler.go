// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// How events get a goroutine. The rules:
//
//  1. The events of a socket are in its lane and run one after another. A lane with events that no
//     goroutine runs is ready.
//  2. The goroutine that reads the frames of a stream runs the ready lanes itself unless another
//     runner is busy. With quick handlers, the usual case, no event changes its goroutine, and the
//     results of a batch leave in one frame.
//  3. While handlers run, a tick comes every millisecond. A runner that is in the same handler as
//     at the previous tick is stuck: it no longer counts as busy, and another one starts for the
//     ready lanes. A reader that has run handlers since the previous tick loses the reader's role
//     to a new goroutine.
//  4. A handler that got stuck is marked as slow. Each of its events gets a goroutine of its own,
//     until it was quick often enough.
//  5. Lanes that stay ready for several ticks start further runners, up to one for each processor.
//
// The window bounds the number of goroutines: each runs at least one open dispatch, or reads.

const (
	tickEvery    = time.Millisecond
	backlogTicks = 4
)

// task is one dispatch on its way through the scheduler.
type task struct {
	Event
	kind      dispatchKind
	change    RoomChange // of a room event
	refused   bool       // a connect that the handler did not accept
	dropped   bool       // its stream ended, and it did not run
	orphaned  bool       // a disconnect of this process, with nothing to resolve
	handler   *handler   // nil for none
	namespace *Namespace
	stream    *stream
	reason    string  // of a disconnect; the room of a room event
	sender    *sender // of a message
	next      *task
	lane      *lane
}

// lane is a queue of tasks that run one after another.
type lane struct {
	first, last *task
	next        *lane // in the ready list
	claimed     bool  // in the ready list or being run
	socket      *Socket
}

func (l *lane) push(t *task) {
	t.lane = l
	if l.last == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
}

func (l *lane) pop() *task {
	t := l.first
	if l.first = t.next; l.first == nil {
		l.last = nil
	}
	t.next = nil
	return t
}

// runner is a goroutine that reads a stream, runs lanes, or both in turn. Its fields are guarded by
// the scheduler's mu.
type runner struct {
	reads   *stream // the stream that it reads; nil for none
	away    int     // ticks since its last read
	current *task
	turns   uint64 // tasks taken so far
	seen    uint64 // turns at the last tick
	stuck   bool
	batch   inBatch // of the stream it reads; used by itself only
}

type scheduler struct {
	// fixed at birth
	service *Service
	// the context of handlers; it ends when the service stops waiting for them
	ctx   context.Context
	limit int            // of busy runners
	wait  sync.WaitGroup // for every goroutine of streams and handlers

	// busy counts the runners that are neither stuck nor finished. It is written under mu.
	busy atomic.Int32

	mu          sync.Mutex // guards what follows, and the sockets of the namespaces
	first, last *lane      // the ready list
	runners     []*runner
	streams     []*stream             // attached; copied when changed
	children    map[string]*Namespace // created for names that patterns match
	messages    recent                // that were received
	lost        map[string]*lostReplica
	notified    notifiedSockets
	open        int // tasks accepted and not finished
	idle        chan struct{}
	backlog     int // ticks for which lanes have been ready
	timer       *time.Timer
	ticking     bool
	closed      bool
}

func newScheduler(ctx context.Context, service *Service) *scheduler {
	return &scheduler{service: service, ctx: ctx, limit: max(runtime.GOMAXPROCS(0), 2)}
}

// read is the goroutine that reads a stream. It ends with the stream, or when it lost the reader's
// role.
func (p *scheduler) read(s *stream, r *runner) {
	defer p.wait.Done()
	for {
		data, err := s.receive()
		if err != nil {
			s.end(err)
			return
		}
		if err := s.take(data, r); err != nil {
			s.end(err)
			return
		}
		if p.enter(r) {
			p.run(r)
		}
		if !p.keeps(r, s) {
			return
		}
	}
}

// enter makes the reader a runner if a lane is ready and no runner is busy.
func (p *scheduler) enter(r *runner) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil || p.busy.Load() > 0 {
		return false
	}
	p.addLocked(r)
	return true
}

func (p *scheduler) addLocked(r *runner) {
	r.stuck, r.away, r.seen = false, 0, r.turns
	p.runners = append(p.runners, r)
	p.busy.Add(1)
	p.armLocked()
}

func (p *scheduler) keeps(r *runner, s *stream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.reads == s
}

// run runs the ready lanes until none is left, then flushes the streams.
func (p *scheduler) run(r *runner) {
	p.mu.Lock()
	for {
		if r.stuck { // the handler that got stuck has returned
			r.stuck = false
			p.busy.Add(1)
		}
		t := p.nextLocked(r)
		if t == nil {
			break
		}
		p.mu.Unlock()
		t.work(p.ctx)
		p.mu.Lock()
		p.doneLocked(t)
		r.current = nil
	}
	// The runner is no longer busy, but it is still watched, since a send can wait for the broker.
	// A goroutine that queues something from here on sends it itself.
	p.busy.Add(-1)
	r.stuck = true
	streams := p.streams
	p.mu.Unlock()
	for _, s := range streams {
		s.flush()
	}
	p.mu.Lock()
	for i, other := range p.runners {
		if other == r {
			p.runners = append(p.runners[:i], p.runners[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
}

// nextLocked returns the next task that r runs itself.
func (p *scheduler) nextLocked(r *runner) *task {
	for p.first != nil && int(p.busy.Load()) <= p.limit {
		l := p.first
		if p.first = l.next; p.first == nil {
			p.last = nil
		}
		l.next = nil
		t := l.pop()
		if t.stale() {
			p.dropLocked(t)
			continue
		}
		t.beginLocked()
		if t.handler != nil && t.handler.slow.Load() > 0 {
			p.wait.Add(1)
			go p.runAlone(t) // ends with the handler
			continue
		}
		r.current = t
		r.turns++
		return t
	}
	return nil
}

// runAlone runs one task of a slow handler.
func (p *scheduler) runAlone(t *task) {
	defer p.wait.Done()
	start := time.Now()
	t.work(p.ctx)
	if time.Since(start) < tickEvery/2 {
		t.handler.slow.Add(-1)
	}
	p.mu.Lock()
	p.doneLocked(t)
	if p.first != nil && p.busy.Load() == 0 {
		p.startLocked()
	}
	p.mu.Unlock()
	if p.busy.Load() == 0 {
		t.stream.flush()
	}
}

// beginLocked notes that a handler is about to run.
func (t *task) beginLocked() {
	if s := t.Socket; s != nil {
		s.served = true
		s.disconnected = s.disconnected || t.kind == kindDisconnected
	}
}

// dropLocked finishes a task that does not run.
func (p *scheduler) dropLocked(t *task) {
	t.dropped = true
	if t.kind == kindDisconnected {
		t.Socket.reason = t.reason // in case the broker cannot send it again
	}
	p.doneLocked(t)
}

// doneLocked finishes a task, and makes its lane ready again if it holds more.
func (p *scheduler) doneLocked(t *task) {
	l := t.lane
	if l.socket != nil {
		// no event of the socket follows
		if !t.dropped && (t.kind == kindDisconnected || t.refused) {
			l.socket.disconnected = true
			p.dropLostLocked(l.socket.id)
			l.socket.forgetLocked()
		}
		if l.first != nil {
			p.pushLocked(l)
		} else if l.claimed = false; l.socket.released || l.socket.stream.Load().detached || l.socket.namespace.live.empty() {
			l.socket.forgetLocked()
		}
	}
	p.open--
	if p.open == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

func (p *scheduler) pushLocked(l *lane) {
	if p.last == nil {
		p.first = l
	} else {
		p.last.next = l
	}
	p.last = l
}

func (p *scheduler) startLocked() {
	r := &runner{}
	p.addLocked(r)
	p.wait.Add(1)
	go func() { // ends when no lane is ready
		defer p.wait.Done()
		p.run(r)
	}()
}

// attach adds a stream and starts its reader.
func (p *scheduler) attach(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams = append(p.streams[:len(p.streams):len(p.streams)], s)
	p.introducedLocked(s)
	p.wait.Add(1)
	go p.read(s, &runner{reads: s}) // ends with the stream
}

// detach removes an ended stream and the sockets that only it knew. Sockets with tasks are
// forgotten after these. lost reports that the stream broke, so that possibly no broker reports the
// disconnects of its sockets.
func (p *scheduler) detach(s *stream, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.detached = true
	var rest []*stream
	for _, other := range p.streams {
		if other != s {
			rest = append(rest, other)
		}
	}
	p.streams = rest
	if lost {
		p.trackLostLocked(s)
	}
	p.eachNamespaceLocked(func(n *Namespace) { n.detachLocked(s) })
}

// detachLocked forgets the sockets that only the stream knew.
func (n *Namespace) detachLocked(s *stream) {
	for _, socket := range n.sockets {
		if !socket.lane.claimed && socket.stream.Load() == s {
			socket.forgetLocked()
		}
	}
}

// done returns a channel that is closed when no task is open.
func (p *scheduler) done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	if p.open == 0 {
		close(p.idle)
		p.idle = nil
	}
	return idle
}

// close stops the tick.
func (p *scheduler) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, l := range p.lost {
		l.timer.Stop()
	}
}
