// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// service is a name and the instances that go by it. It stays when the last of them has left.
type service struct {
	// fixed at birth
	d    *Dispatcher
	name sio.ServiceName

	there   atomic.Bool // an instance is attached that takes new sockets
	absence absence

	// guarded by the dispatcher's mu
	attachments []*Attachment
	declared    []sio.Registration // of all attachments, or of the last that left
	shares      map[eventOf]int    // the number of each event's share
	left        time.Time          // when the last attachment left
	// with which the service is retired if it is the last to leave; empty for none
	retiring sio.InstanceID
	// while the service is absent and is to be forgotten; ended by retireLocked and closeLocked
	retention *time.Timer

	mu         sync.Mutex // guards what follows, the attachments' and the lanes' fields
	local      []*Attachment
	remote     []*Attachment
	unassigned ring
	mixed      bool // the instances do not all declare the same
	sweeping   bool // the sweeper will look after the unassigned lanes
	sweeper    *time.Timer
	closed     bool
	backlog    backlog
	budget     budget
	pressure   pressure
	balance    balance

	unflushed []*Attachment            // those whose last results may not have been concluded
	settling  map[*lane]*settlement    // what drains wait for; nil for most
	retired   bool                     // it is not known any more: nothing waits for it
	overdue   bool                     // it is forgotten as soon as a connect waits for it alone
	owed      map[sio.InstanceID]*owed // of instances that are away

	flushOne  *Attachment // instances with something to flush; one is the usual case
	flushMore []*Attachment
}

// pickLocked chooses an instance for a socket: the less loaded of two drawn at random, local ones
// first; of those that declared what the dispatch is about, if any did.
func (s *service) pickLocked(dp *Dispatch) *Attachment {
	from := s.local
	if len(from) == 0 {
		from = s.remote
	}
	if s.mixed {
		from = s.suitedLocked(from, dp)
	}
	switch len(from) {
	case 0:
		return nil
	case 1:
		return from[0]
	}
	i := rand.IntN(len(from))
	j := rand.IntN(len(from) - 1)
	if j >= i {
		j++
	}
	if from[j].loadLocked() < from[i].loadLocked() {
		return from[j]
	}
	return from[i]
}

// suitedLocked gives those that declared what the dispatch is about: of the ones given, or else of
// the remote ones; all when none did.
func (s *service) suitedLocked(from []*Attachment, dp *Dispatch) []*Attachment {
	for _, list := range [][]*Attachment{from, s.remote} {
		var suited []*Attachment
		for _, a := range list {
			if a.declaresLocked(dp) {
				suited = append(suited, a)
			}
		}
		if len(suited) > 0 {
			return suited
		}
	}
	return from
}

// joinLocked lets the attachment take sockets, and gives it those that have waited.
func (s *service) joinLocked(a *Attachment) {
	if a.distance == Local {
		s.local = append(s.local, a)
	} else {
		s.remote = append(s.remote, a)
	}
	s.there.Store(true)
	s.absence.over()
	s.payLocked(a)
	for range s.unassigned.len {
		s.unassigned.pop().placeLocked()
	}
	s.armBalanceLocked(s.d.balanceDelay)
}

// partLocked gives the attachment no new sockets any more.
func (s *service) partLocked(a *Attachment) {
	is := func(other *Attachment) bool { return other == a }
	s.local = slices.DeleteFunc(s.local, is)
	s.remote = slices.DeleteFunc(s.remote, is)
	there := len(s.local)+len(s.remote) > 0
	s.there.Store(there)
	if !there {
		s.absence.begin()
	}
}

// dirtyLocked notes that the attachment's instance has something to flush.
func (s *service) dirtyLocked(a *Attachment) {
	switch {
	case a.dirty:
		return
	case s.flushOne == nil:
		s.flushOne = a
	default:
		s.flushMore = append(s.flushMore, a)
	}
	a.dirty = true
}

// unlockAndFlush gives the lock back and flushes the instances that were handed something under it.
func (s *service) unlockAndFlush() {
	one, more := s.flushOne, s.flushMore
	if one == nil {
		s.mu.Unlock()
		return
	}
	s.flushOne, s.flushMore = nil, nil
	one.dirty = false
	for _, a := range more {
		a.dirty = false
	}
	s.mu.Unlock()
	one.instance.Flush()
	for _, a := range more {
		a.instance.Flush()
	}
}

// armHoldLocked sees to it that unassigned lanes do not wait without a limit, and those of a
// retired service not at all.
func (s *service) armHoldLocked() {
	switch {
	case s.sweeping || s.closed:
		return
	case s.retired:
		s.sweeper = time.AfterFunc(0, s.sweepRetired) // ends at once
	case s.d.options.HoldTimeout < 0:
		return
	default:
		s.sweeper = time.AfterFunc(s.d.options.HoldTimeout/4, s.sweep) // ended by closeLocked
	}
	s.sweeping = true
}

// closeLocked ends what would look after unassigned lanes later.
func (s *service) closeLocked() {
	s.closed = true
	s.absence.end()
	for _, t := range []*time.Timer{s.sweeper, s.pressure.timer, s.balance.timer, s.retention} {
		if t != nil {
			t.Stop()
		}
	}
}

// sweep drops what has waited too long for an instance. It runs again as long as something waits.
func (s *service) sweep() {
	var dropped []*Dispatch
	s.mu.Lock()
	s.sweeping = false
	if s.closed || s.retired { // what waits for a retired one is dropped otherwise
		s.mu.Unlock()
		return
	}
	before := time.Now().Add(-s.d.options.HoldTimeout)
	for range s.unassigned.len {
		l := s.unassigned.pop()
		l.listed = true // so that dropping does not place it
		dropped = append(dropped, l.dropLocked(before)...)
		l.listed = false
		if l.queue.len > 0 {
			s.unassigned.push(l)
		}
	}
	if s.unassigned.len > 0 {
		s.armHoldLocked()
	}
	s.unlockAndFlush()
	s.d.abandon(dropped, s.d.metrics.DroppedHold, "the service was away for longer than the setting hold-timeout")
}
