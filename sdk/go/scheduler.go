// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// How events find a goroutine. The rules:
//
// 1. A socket's events stand in its lane and are run one after another. A lane with events that
// nobody runs is ready. 2. The goroutine that reads a stream's frames runs the ready lanes itself
// when nobody else does. So in the usual case, quick
//     handlers, no event changes its goroutine, and a batch's results leave in one frame.
// 3. While somebody runs handlers, a tick comes every millisecond. A runner that is in the same
// handler as at the tick before is
//     stuck: it does not count any more, and another one is started for the lanes that are ready. A goroutine that should
//     read and has been running handlers since the tick before loses the reader's role to a new goroutine.
// 4. A handler that got stuck is remembered as slow; its events get goroutines of their own until
// it was quick often enough. 5. Lanes that stay ready for several ticks bring further runners, up
// to one for each processor.
//
// The numbers of goroutines are bounded by the window: each runs at least one open dispatch, or
// reads.

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
	dropped   bool       // it came over a stream that is gone, and was not run
	orphaned  bool       // a disconnect that no broker told, so there is nothing to resolve
	handler   *handler   // nil when there is nothing to call
	namespace *Namespace
	stream    *stream
	reason    string  // of a disconnect; the room of a room event
	sender    *sender // of a message
	next      *task
	lane      *lane
}

// lane holds tasks that are run one after another.
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

// runner is a goroutine that reads a stream or runs lanes, or both in turn. Its fields are guarded
// by the scheduler's mu.
type runner struct {
	reads   *stream // whose reader's role it holds
	away    int     // ticks since it read last
	current *task
	turns   uint64 // tasks taken so far
	seen    uint64 // turns at the last tick
	stuck   bool
	batch   inBatch // of the stream it reads; used by itself only
}

type scheduler struct {
	// fixed at birth
	service *Service
	// what handlers are given; it ends when the service does not wait any longer
	ctx   context.Context
	limit int            // of busy runners
	wait  sync.WaitGroup // for every goroutine that this package starts for streams and handlers

	// busy counts the runners that are neither stuck nor finished. It is written under mu.
	busy atomic.Int32

	mu          sync.Mutex // guards what follows, and the sockets of the namespaces
	first, last *lane      // the ready list
	runners     []*runner
	streams     []*stream             // attached; copied when changed
	children    map[string]*Namespace // made for names that patterns match
	messages    recent                // that came
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

// read is the reader's goroutine of a stream. It ends with the stream or when it lost the role.
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

// enter makes the reader a runner if there is something to run and nobody does.
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

// run works through the ready lanes until none is left, then sends what came of it.
func (p *scheduler) run(r *runner) {
	p.mu.Lock()
	for {
		if r.stuck { // it was; it is back
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
	// Not busy any more, but still watched, since sending can wait for the broker. Whoever queues
	// something from here on sends it himself.
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

// nextLocked takes the next task that is to be run by r itself.
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

// dropLocked finishes a task that is not run.
func (p *scheduler) dropLocked(t *task) {
	t.dropped = true
	if t.kind == kindDisconnected {
		t.Socket.reason = t.reason // if the broker cannot say it again
	}
	p.doneLocked(t)
}

// doneLocked finishes a task and makes its lane ready again if more is in it.
func (p *scheduler) doneLocked(t *task) {
	l := t.lane
	if l.socket != nil {
		// nothing of the socket follows
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

// detach forgets an ended stream and the sockets that only it knew. Sockets that are being served
// are forgotten when they are done. With lost the stream broke, and nobody may be left who tells of
// the sockets' end.
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

// done gives a channel that is closed when no task is open.
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
