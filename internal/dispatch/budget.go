// SPDX-License-Identifier: Apache-2.0

package dispatch

import "bytes"

// budget is the room of what is queued for a service that has no instance which takes sockets. A
// lane that is charged may queue as much as is left free of it, so that one alone gets half of it
// and a flood leaves room for others. It stays charged when the service is back, until its queue is
// within the bounds of a lane whose service is present: else those bounds would stop the reading of
// a socket whose events wait from before. All fields are guarded by the service's mu.
type budget struct {
	charged int     // bytes, of all lanes
	starved []*lane // lanes that may be blocked since the budget is used up, longest first
}

// dispatchBytes is what a queued dispatch costs beside its size. The budget is about memory: many
// small events must not take far more of it than large ones.
const dispatchBytes = 320

func costOf(dp *Dispatch) int { return dp.size + dispatchBytes }

// absentFitsLocked tells whether the budget of an absent service lets the lane queue so many bytes
// more.
func (l *lane) absentFitsLocked(size int) bool {
	s := l.service
	if l.isRemote() || l.charged == 0 && s.there.Load() {
		return false
	}
	if l.charged+size+dispatchBytes <= s.d.options.AbsentBytes-s.budget.charged {
		s.budget.wakeLocked() // there may be room for more than one
		return true
	}
	if !l.starved {
		l.starved = true
		s.budget.starved = append(s.budget.starved, l)
	}
	return false
}

// chargeLocked charges a dispatch that was queued, if the service is absent or the lane's queue is
// from when it was.
func (l *lane) chargeLocked(dp *Dispatch) {
	switch {
	case l.isRemote() || l.charged == 0 && l.service.there.Load():
		return
	case l.charged == 0:
		l.chargeAllLocked()
	default:
		l.charged += costOf(dp)
		l.service.budget.charged += costOf(dp)
	}
	if dp.Kind == Event && dp.Redeliveries == 0 {
		// they may be a small part of what was read, which would be kept whole
		dp.event.Args = bytes.Clone(dp.event.Args)
	}
}

// chargeAllLocked charges the lane's whole queue.
func (l *lane) chargeAllLocked() {
	if l.charged == 0 {
		l.charged = l.queue.bytes + l.queue.len*dispatchBytes
		l.service.budget.charged += l.charged
	}
}

// refundLocked follows a dispatch that left the queue.
func (l *lane) refundLocked(dp *Dispatch) {
	if l.charged == 0 {
		return
	}
	s, back := l.service, costOf(dp)
	if s.there.Load() && l.boundedLocked(0) {
		back = l.charged
	}
	l.charged -= back
	s.budget.charged -= back
	s.budget.wakeLocked()
}

// wakeLocked has the lane look again that has been starved longest.
func (b *budget) wakeLocked() {
	for len(b.starved) > 0 {
		l := b.starved[0]
		b.starved[0] = nil
		b.starved = b.starved[1:]
		l.starved = false
		if l.wait != nil {
			l.wakeLocked()
			return
		}
	}
}
