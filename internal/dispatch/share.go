// SPDX-License-Identifier: Apache-2.0

package dispatch

import "math/bits"

// An instance's window is shared by all that its service handles, and by all of its sockets. So
// that neither a handler that hangs nor a socket that floods takes all of it, each may have open at
// most so many times what is left free: of events, one alone gets three quarters of the window, a
// second three quarters of the rest; of sockets, one alone gets half, so that it leaves room in its
// event's share too. What has nothing open may always have one.
const (
	eventPart  = 3
	socketPart = 1
)

// share is the part of an instance's window that one event, or connects, or what was redelivered,
// takes.
type share struct {
	open    int
	waiting ring // lanes whose next dispatch waits for room in it
	crowded bool // it stands in its attachment's list of those
}

// Shares that every service has. Those of its events follow; see service.shareOf.
const (
	messageShare = iota
	connectShare
	disconnectShare
	roomShare
	otherShare // of events beyond maxShares
	firstEventShare
)

// maxShares bounds what is kept for each instance. The events beyond share one.
const maxShares = 20_000

// shareLocked gives the share with the number.
func (a *Attachment) shareLocked(number int) *share {
	for len(a.shares) <= number {
		a.shares = append(a.shares, nil)
	}
	s := a.shares[number]
	if s == nil {
		s = &share{waiting: ring{gauge: a.d.metrics.WaitingShare}}
		a.shares[number] = s
	}
	return s
}

// fairLocked reports whether a lane or an event that has so many dispatches open may have one more.
func (a *Attachment) fairLocked(open, part int) bool {
	return open == 0 || open < part*(a.register.Window-len(a.open))
}

// companyLocked tells how many that were redelivered may be open before the dispatch is handed out.
// Each death divides it, by so much that at the last redelivery what an instance dies of is alone
// with it, and what merely died with it is not set aside: with the defaults by four.
func (a *Attachment) companyLocked(dp *Dispatch) int {
	window, most := a.register.Window, a.d.options.MaxRedeliveries
	halvings := bits.Len(uint(window-1)) * min(dp.Redeliveries, most) / most
	return max(1, window>>halvings)
}

// fullLocked gives the share that has no room for the dispatch; nil when it may be handed out.
func (a *Attachment) fullLocked(dp *Dispatch) *share {
	if dp.Redeliveries > 0 && a.redelivered.open >= a.companyLocked(dp) {
		return &a.redelivered
	}
	if s := a.shareLocked(dp.share); !a.fairLocked(s.open, eventPart) {
		return s
	}
	return nil
}

// hinderedLocked tells whether something else than the window keeps the lane's next dispatch from
// its instance, and if it is a share, which.
func (l *lane) hinderedLocked(dp *Dispatch) (full *share, hindered bool) {
	full = l.at.fullLocked(dp)
	return full, full != nil || !l.at.fairLocked(l.open, socketPart) || !l.at.suitsLocked(dp)
}

// freeLocked tells whether nothing but the window keeps the lane's dispatch from its instance, and
// nobody waits for the same.
func (l *lane) freeLocked(dp *Dispatch) bool {
	if _, hindered := l.hinderedLocked(dp); hindered {
		return false
	}
	a := l.at
	return a.shareLocked(dp.share).waiting.head == nil && (dp.Redeliveries == 0 || a.redelivered.waiting.head == nil)
}

// countLocked counts a dispatch that is handed out into its shares.
func (a *Attachment) countLocked(dp *Dispatch) {
	if dp.Redeliveries > 0 {
		a.redelivered.open++
	}
	a.shareLocked(dp.share).open++
}

func (a *Attachment) uncountLocked(dp *Dispatch) {
	if dp.Redeliveries > 0 {
		a.redelivered.open--
	}
	a.shares[dp.share].open--
}

// awaitLocked lets the lane wait for room in the share.
func (a *Attachment) awaitLocked(s *share, l *lane) {
	if !s.crowded {
		s.crowded = true
		a.crowded = append(a.crowded, s)
	}
	s.waiting.push(l)
}

// readyLocked gives a share that has room for the lane that waits first, each in turn; nil when
// none has.
func (a *Attachment) readyLocked() *share {
	for range len(a.crowded) {
		s := a.crowded[0]
		copy(a.crowded, a.crowded[1:])
		last := len(a.crowded) - 1
		l := s.waiting.head
		if l == nil {
			s.crowded = false
			a.crowded[last] = nil
			a.crowded = a.crowded[:last]
			continue
		}
		a.crowded[last] = s
		if l.queue.head == nil || a.fullLocked(l.queue.head) != s {
			return s
		}
	}
	return nil
}

// takeWaitingLocked takes out all lanes that wait for the window or for a share.
func (a *Attachment) takeWaitingLocked() (lanes []*lane) {
	for _, s := range a.crowded {
		s.crowded = false
		lanes = s.waiting.takeAll(lanes)
	}
	a.crowded = nil
	return a.ring.takeAll(lanes)
}
