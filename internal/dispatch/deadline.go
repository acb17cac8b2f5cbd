// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Deadlines. The dispatcher gives a dispatch up that has no result within HandlerTimeout. An
// instance runs what one socket sent one after another, so the time of a dispatch counts from when
// it is the oldest that is open of its lane: an event that waits behind a slow one has all its time
// when its turn comes. The instance may yet work on what was given up. Until its result comes, what
// follows has not been started: it is given up when it has become the oldest and had no result for
// as long again, together with all that has waited as long, and the log says behind what.

// openLocked appends a dispatch that is handed out to the open ones of the lane.
func (l *lane) openLocked(dp *Dispatch) {
	l.open++
	if dp.concurrent {
		dp.clock = dp.since
		return
	}
	dp.older = l.newest
	if l.newest == nil {
		l.oldest, dp.clock = dp, dp.since
	} else {
		l.newest.newer = dp
	}
	l.newest = dp
}

// shutLocked takes a dispatch out of the open ones of the lane.
func (l *lane) shutLocked(dp *Dispatch, outcome sio.Outcome, now time.Time) {
	l.open--
	if dp.concurrent {
		return
	}
	if l.late != nil && outcome != sio.Abandoned {
		l.late = nil // what came before it has ended, or there were no result
	}
	if dp.newer == nil {
		l.newest = dp.older
	} else {
		dp.newer.older = dp.older
	}
	if dp.older != nil {
		dp.older.newer = dp.newer
	} else if l.oldest = dp.newer; l.oldest != nil {
		l.oldest.clock = now
	}
	dp.older, dp.newer = nil, nil
}

// forgetOpenLocked lets go of what was open, since the instance has detached.
func (l *lane) forgetOpenLocked(dp *Dispatch) {
	l.open--
	l.oldest, l.newest = nil, nil
	dp.older, dp.newer = nil, nil
}

// armLocked starts the timer of deadlines, one for all open dispatches. It is not reset when the
// next to expire is resolved, but finds then that there is nothing to do, and starts again if need
// be.
func (a *Attachment) armLocked(wait time.Duration) {
	if a.armed || a.d.options.HandlerTimeout < 0 {
		return
	}
	a.armed = true
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.expire)
	} else {
		a.timer.Reset(wait)
	}
}

// expire gives up what has no result in time.
func (a *Attachment) expire() {
	s := a.service
	s.mu.Lock()
	a.armed = false
	if a.detached {
		s.mu.Unlock()
		return
	}
	now := time.Now()
	due := a.dueLocked(now)
	whys := make([]string, len(due))
	for i, dp := range due {
		if before := a.giveUpLocked(dp, now); before != nil {
			whys[i] = fmt.Sprintf("it never started: %s of the same socket, which came before it, has not finished (setting handler-timeout)", before.what)
		}
	}
	a.pumpLocked()
	s.unlockAndFlush()
	for i := range due {
		one := due[i : i+1]
		if whys[i] != "" {
			a.d.abandon(one, a.d.metrics.DroppedNotStarted, whys[i])
			continue
		}
		a.d.abandon(one, a.d.metrics.DroppedDeadline, "no result came within the setting handler-timeout: "+
			"its handler did not finish, or the instance had no worker free to start it")
	}
}

// dueLocked gives what is to be given up, and arms the timer for what may be next.
func (a *Attachment) dueLocked(now time.Time) (due []*Dispatch) {
	timeout := a.d.options.HandlerTimeout
	next := timeout // what is behind one that is due has as long
	for dp := a.order.head; dp != nil; dp = dp.next {
		if wait := timeout - now.Sub(dp.since); wait > 0 {
			next = min(next, wait)
			break // what follows was handed out later
		}
		first := dp
		if !dp.concurrent {
			first = dp.lane.oldest
		}
		if left := timeout - now.Sub(first.clock); left > 0 {
			next = min(next, left)
		} else if first == dp || dp.lane.late != nil {
			due = append(due, dp)
		}
	}
	if a.order.head != nil {
		a.armLocked(next)
	}
	return due
}

// giveUpLocked takes a dispatch out of the open ones whose instance may have it still. It gives
// what the instance has to finish before, if it is known.
func (a *Attachment) giveUpLocked(dp *Dispatch, now time.Time) (before *late) {
	l := dp.lane
	x := &late{id: dp.ID, what: dp.what(), namespace: dp.Socket.Namespace(), socket: dp.Socket.ID(), given: now}
	if !dp.concurrent {
		if l.late != nil {
			before = l.late.head
		}
		x.lane = l
		l.late = l.late.with(x)
	}
	x.started = before == nil
	a.addLateLocked(x)
	a.closeLocked(dp, sio.Abandoned, true, now)
	return before
}
