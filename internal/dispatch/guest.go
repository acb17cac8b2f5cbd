// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"github.com/spanwire/spanwire/internal/sio"
)

// guest names a socket of another replica. Messages have no socket: those of a namespace are one
// guest.
type guest struct {
	namespace sio.Namespace
	socket    sio.SocketID
}

// guests are what an instance here gets from others than the sockets here. Each has a lane for as
// long as something of it waits or is open, so that the window is shared with it as with a socket
// here.
type guests struct {
	lanes   map[guest]*lane
	waiting int // dispatches, of all
	bytes   int
}

func (l *lane) isGuest() bool { return l.binding == nil }

// crammedLocked tells whether so much waits that nothing more is taken.
func (a *Attachment) crammedLocked() bool {
	o := &a.d.options
	return a.guests.waiting >= o.ForwardEvents || a.guests.bytes >= o.ForwardBytes
}

// receiveLocked queues the guest's dispatch, and hands it out if it is its turn.
func (a *Attachment) receiveLocked(dp *Dispatch, who guest) {
	g := &a.guests
	l := g.lanes[who]
	if l == nil {
		l = &lane{service: a.service, guest: who, at: a}
		if g.lanes == nil {
			g.lanes = make(map[guest]*lane)
		}
		g.lanes[who] = l
	}
	dp.lane = l
	g.waiting++
	g.bytes += dp.size
	a.d.metrics.WaitingPeers.Inc()
	l.queue.push(dp)
	l.queuedLocked(dp)
	l.placeLocked()
}

// leaveLocked follows a dispatch that waits no more.
func (g *guests) leaveLocked(dp *Dispatch) {
	g.waiting--
	g.bytes -= dp.size
	dp.lane.service.d.metrics.WaitingPeers.Dec()
}

// partLocked forgets a guest of whom nothing is left.
func (g *guests) partLocked(l *lane) {
	if l.open == 0 && l.queue.len == 0 && l.late == nil {
		delete(g.lanes, l.guest)
	}
}

// givenTwiceLocked tells whether the dispatch is open already, since it was forwarded twice while
// the first waited. Then whoever forwarded it last is told the result.
func (a *Attachment) givenTwiceLocked(dp *Dispatch) bool {
	open := a.open[dp.ID]
	if open == nil {
		return false
	}
	if open.foreign() {
		open.resolved = dp.resolved
	}
	dp.free()
	return true
}

// loseGuestsLocked drops what waits of guests, since the instance has detached.
func (a *Attachment) loseGuestsLocked() {
	for _, l := range a.guests.lanes {
		for dp := l.takeLocked(); dp != nil; dp = l.takeLocked() {
			dp.loseLocked()
		}
	}
	a.guests.lanes = nil
}

// loseLocked says that nobody will resolve a guest's dispatch: its instance detached. Whoever
// forwarded it gives it elsewhere; a message is lost.
func (dp *Dispatch) loseLocked() {
	if dp.Kind == Message {
		dp.resolved(dp.ID, sio.Result{Outcome: sio.Abandoned})
	}
	dp.free()
}
