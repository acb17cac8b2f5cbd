// SPDX-License-Identifier: Apache-2.0

package spanwire

import "time"

// The tick of the scheduler. The rules are in scheduler.go.

// handOverLocked passes the reader's role to a new goroutine.
func (p *scheduler) handOverLocked(r *runner) {
	s := r.reads
	r.reads = nil
	p.wait.Add(1)
	go p.read(s, &runner{reads: s}) // ends with the stream
}

// yield prepares the wait of the caller, perhaps a handler, for something that only the reader of s
// can bring.
func (p *scheduler) yield(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, r := range p.runners {
		if r.reads == s {
			p.handOverLocked(r)
		}
	}
	if p.first != nil && int(p.busy.Load()) <= p.limit {
		p.startLocked()
	}
}

func (p *scheduler) armLocked() {
	if p.ticking || p.closed {
		return
	}
	p.ticking = true
	if p.timer == nil {
		p.timer = time.AfterFunc(tickEvery, p.tick)
	} else {
		p.timer.Reset(tickEvery)
	}
}

// tick finds runners that are stuck, readers that are away, results that wait and answers that are
// due.
func (p *scheduler) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ticking = false
	if p.closed {
		return
	}
	for _, r := range p.runners {
		p.checkLocked(r)
	}
	p.startBacklogLocked()
	again := len(p.runners) > 0
	for _, s := range p.streams {
		send, more := s.tick()
		again = again || more
		if send {
			p.wait.Add(1)
			go func() { // ends when what is queued was sent, or with the stream
				defer p.wait.Done()
				s.flush()
			}()
		}
	}
	if again {
		p.armLocked()
	}
}

// checkLocked marks a runner as stuck that is still in the task of the previous tick, and takes the
// reader's role from one that has not read since.
func (p *scheduler) checkLocked(r *runner) {
	if !r.stuck && r.turns == r.seen {
		r.stuck = true
		p.busy.Add(-1)
		if r.current != nil && r.current.handler != nil {
			r.current.handler.slow.Store(slowFor)
		}
	}
	r.seen = r.turns
	if r.away++; r.away > 1 && r.reads != nil {
		p.handOverLocked(r)
	}
}

// startBacklogLocked starts a runner for lanes that are ready: at once when no runner is busy, and
// after several ticks otherwise.
func (p *scheduler) startBacklogLocked() {
	switch busy := int(p.busy.Load()); {
	case p.first == nil:
		p.backlog = 0
	case busy == 0:
		p.startLocked()
	default:
		if p.backlog++; p.backlog > backlogTicks && busy < p.limit {
			p.backlog = 0
			p.startLocked()
		}
	}
}
