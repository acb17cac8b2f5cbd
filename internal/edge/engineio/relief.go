// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// Relief. While more than half of the budget is held, one goroutine looks at the sessions for which
// something waits, so that it knows which of them take something and which do not. When the budget
// is full it closes the largest of those that take nothing, until there is room again, and closes
// one that takes something only when no other is left. A burst to browsers that read is so given as
// much time as they need, as long as the memory suffices.

const (
	// reliefInterval is the time between two looks. So long memory may grow beyond the budget.
	reliefInterval = 50 * time.Millisecond
	// reliefShare is the part of the time that looking takes at most, where sessions are many.
	reliefShare = 10
	// idleAfter is how long a browser takes nothing before it counts as one that does not read.
	idleAfter = 500 * time.Millisecond
	// smallBacklog is what need not be looked at.
	smallBacklog = 16 << 10
)

// relief tells whether the goroutine runs.
type relief struct{ running atomic.Bool }

// sample is what is known of a session with a backlog.
type sample struct {
	session   *Session
	bytes     int
	delivered int64
	since     time.Time // when it took something the last time, or was seen first
}

func (p *sample) idle(now time.Time) bool { return now.Sub(p.since) >= idleAfter }

// relieve is called by the holder of bytes while the budget is short, under locks of sessions.
func (s *Server) relieve() {
	if s.relief.running.Load() || !s.relief.running.CompareAndSwap(false, true) {
		return
	}
	s.enter()
	// Ends when the budget is not short any more, which the end of all sessions brings about; Drain
	// waits for it.
	go func() {
		defer s.leave()
		s.watchOutbound()
	}()
}

func (s *Server) watchOutbound() {
	samples := map[*Session]*sample{}
	for {
		begin := time.Now()
		s.look(samples)
		if s.budget.Held() > s.budget.Limit() {
			s.makeRoom(samples)
		}
		time.Sleep(max(reliefInterval, reliefShare*time.Since(begin)))
		if s.budget.Short() {
			continue
		}
		s.relief.running.Store(false)
		if !s.budget.Short() || !s.relief.running.CompareAndSwap(false, true) {
			return // or another has begun
		}
	}
}

// look brings the samples up to date.
func (s *Server) look(samples map[*Session]*sample) {
	s.mu.Lock()
	sessions := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		sessions = append(sessions, session)
	}
	s.mu.Unlock()
	now := time.Now()
	seen := make(map[*Session]struct{}, len(samples))
	for _, session := range sessions {
		bytes, delivered := session.backlog()
		if bytes < smallBacklog {
			continue
		}
		seen[session] = struct{}{}
		p := samples[session]
		if p == nil {
			p = &sample{session: session, delivered: delivered, since: now}
			samples[session] = p
		}
		if p.bytes = bytes; p.delivered != delivered {
			p.delivered, p.since = delivered, now
		}
	}
	for session := range samples {
		if _, still := seen[session]; !still {
			delete(samples, session)
		}
	}
}

// makeRoom closes sessions until an eighth of the budget is free.
func (s *Server) makeRoom(samples map[*Session]*sample) {
	const grace, free = 4, 8 // parts of the budget
	limit, now := s.budget.Limit(), time.Now()
	order := make([]*sample, 0, len(samples))
	for _, p := range samples {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b *sample) int {
		if a.idle(now) != b.idle(now) {
			if a.idle(now) {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.bytes, a.bytes)
	})
	for _, p := range order {
		held := s.budget.Held()
		if held <= limit-limit/free || !p.idle(now) && held <= limit+limit/grace {
			// who takes something is given a little more room, and the others time to show that
			// they do not
			return
		}
		p.session.cutOff(cutTotal)
		if d := p.session.duplex(); d != nil {
			d.Discard() // what it held is free when it returns
		}
		delete(samples, p.session)
	}
}
