// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"
	"time"
)

// balance reassigns idle sockets of one service until its instances have about as many each: an
// instance that came back would else get new sockets only, and one that is attached to another
// replica would keep what it took over. Its rules:
//
//   - Only an idle socket moves: nothing of it is open or queued. So nothing overtakes anything.
//   - Local instances come before remote ones: sockets of remote instances move to local ones, and
//     the load of those is balanced.
//   - Sockets move only between instances that declare the same, so that during a deploy each event
//     still goes to who declares it.
//   - Instances that drain neither give nor get any: sockets leave those with their next event.
//   - Moves begin when the most loaded instance has more than RebalanceRatio percent of the least
//     loaded one, and end at half of that excess. A move never makes the one that gets the socket
//     the more loaded of the two. So nothing moves back and forth.
//
// The instance that a socket leaves knows it until the next dispatch, which introduces it to the
// other one: at every time one of them would hear of its end. All fields are guarded by the
// service's mu.
type balance struct {
	timer *time.Timer
	armed bool
	began time.Time // zero while nothing moves
	moved int       // since then
}

const (
	// balanceDelay is the time from a change to the first look: instances that start together or
	// flap cause few moves.
	balanceDelay = 2 * time.Second
	// balanceStep is the least time between two looks while sockets move.
	balanceStep = 100 * time.Millisecond
	// balanceRetry is the time to the next look when no socket was idle.
	balanceRetry = time.Second
	// balanceScan bounds the lanes that one look searches for idle ones, since it holds the
	// service's lock.
	balanceScan = 1000
)

// armBalanceLocked sees to it that the loads are looked at.
func (s *service) armBalanceLocked(wait time.Duration) {
	b := &s.balance
	if b.armed || s.closed || s.d.options.RebalanceRate < 0 || len(s.local)+len(s.remote) < 2 {
		return
	}
	b.armed = true
	if b.timer == nil {
		b.timer = time.AfterFunc(wait, s.rebalance) // ended by closeLocked
	} else {
		b.timer.Reset(wait)
	}
}

// rebalance moves a few sockets. It runs again as long as the loads are uneven.
func (s *service) rebalance() {
	s.mu.Lock()
	b := &s.balance
	b.armed = false
	if s.closed {
		s.mu.Unlock()
		return
	}
	rate := s.d.options.RebalanceRate
	step := max(balanceStep, time.Second/time.Duration(rate))
	moved, even := s.moveSomeLocked(max(1, int(time.Duration(rate)*step/time.Second)))
	b.moved += moved
	started, total := moved > 0 && b.began.IsZero(), b.moved
	ended := even && !b.began.IsZero()
	switch {
	case even:
		b.began, b.moved = time.Time{}, 0
	case moved == 0:
		s.armBalanceLocked(balanceRetry)
	default:
		s.armBalanceLocked(step)
	}
	if started && !even {
		b.began = time.Now()
	}
	s.mu.Unlock()
	log := s.d.log.With("service", s.name, "setting", "rebalance-rate, rebalance-ratio")
	if started {
		log.Info("rebalancing started: idle sockets move to instances that have fewer")
	}
	if ended || started && even {
		log.Info("rebalancing ended", "sockets", total)
	}
}

// moveSomeLocked moves so many sockets at most, and tells whether the loads are even then. When
// they are not and nothing moved, no socket is idle.
func (s *service) moveSomeLocked(most int) (moved int, even bool) {
	scan := balanceScan
	for moved < most {
		from, to := s.unevenLocked(!s.balance.began.IsZero() || moved > 0)
		if from == nil {
			return moved, true
		}
		l := from.idleLaneLocked(&scan)
		if l == nil {
			return moved, false
		}
		l.moveLocked(to)
		moved++
	}
	from, _ := s.unevenLocked(true)
	return moved, from == nil
}

// unevenLocked gives an instance that is to give a socket to another; nil when there is none. Once
// sockets move, less is tolerated.
func (s *service) unevenLocked(moving bool) (from, to *Attachment) {
	byLoad := func(a, b *Attachment) int { return b.assigned - a.assigned }
	among := s.local
	if len(among) == 0 {
		among = s.remote
	} else {
		for _, a := range s.remote {
			if to := s.leastLocked(s.local, a); a.assigned > 0 && to != nil {
				return a, to
			}
		}
	}
	if s.mixed {
		among = slices.Clone(among)
		slices.SortFunc(among, byLoad)
	} else if len(among) > 0 {
		// of equal ones the most loaded decides
		among = []*Attachment{slices.MinFunc(among, byLoad)}
	}
	for _, a := range among {
		least := s.leastLocked(s.peersLocked(), a)
		if least != nil && s.d.options.uneven(a.assigned, least.assigned, moving) {
			return a, least
		}
	}
	return nil, nil
}

// peersLocked are the instances that new sockets go to.
func (s *service) peersLocked() []*Attachment {
	if len(s.local) > 0 {
		return s.local
	}
	return s.remote
}

// leastLocked gives the least loaded instance that declares the same as the other.
func (s *service) leastLocked(from []*Attachment, as *Attachment) (least *Attachment) {
	for _, a := range from {
		if a != as && (least == nil || a.assigned < least.assigned) && (!s.mixed || !differ(a.declared, as.declared)) {
			least = a
		}
	}
	return least
}

// uneven tells whether the loads are so far apart that sockets are to move.
func (o *Options) uneven(more, fewer int, moving bool) bool {
	ratio := o.RebalanceRatio
	if moving {
		ratio = 100 + (ratio-100)/2
	}
	return more-fewer > 1 && more*100 > fewer*ratio
}

// idleLaneLocked gives a lane of the instance that can move. It looks at those first that it has
// not seen for the longest time.
func (a *Attachment) idleLaneLocked(scan *int) *lane {
	for n := a.assigned; n > 0 && *scan > 0; n-- {
		*scan--
		l := a.lanes.head
		a.lanes.remove(l)
		a.lanes.push(l)
		if l.idleLocked() {
			return l
		}
	}
	return nil
}

// idleLocked tells whether nothing of the socket is on its way to its instance or back.
func (l *lane) idleLocked() bool {
	return l.open == 0 && l.queue.len == 0 && l.late == nil && !l.gone && !l.connecting && !l.listed && !l.waitsLocked()
}

// moveLocked assigns an idle lane to another instance.
func (l *lane) moveLocked(to *Attachment) {
	if l.introduced {
		l.former = l.at
	}
	l.assignLocked(to)
	l.service.d.metrics.Rebalanced.Inc()
}

// forgottenLocked tells the instance that the lane has left that another has the socket now.
func (l *lane) forgottenLocked() {
	if former := l.former; former != nil {
		l.former = nil
		former.partLocked(l.binding.socket.ID())
	}
}

// laneList is the lanes that are assigned to one instance.
type laneList struct{ head, tail *lane }

func (x *laneList) push(l *lane) {
	l.before, l.behind = x.tail, nil
	if x.tail == nil {
		x.head = l
	} else {
		x.tail.behind = l
	}
	x.tail = l
}

func (x *laneList) remove(l *lane) {
	if l.before == nil {
		x.head = l.behind
	} else {
		l.before.behind = l.behind
	}
	if l.behind == nil {
		x.tail = l.before
	} else {
		l.behind.before = l.before
	}
	l.before, l.behind = nil, nil
}
