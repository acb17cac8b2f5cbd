// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"github.com/spanwire/spanwire/internal/sio"
)

// The lanes of other replicas' sockets. Attachment takes from them in turn with its own.

// remoteLane names a socket of another replica. Messages have no socket: those of a namespace are
// one remoteLane.
type remoteLane struct {
	namespace sio.Namespace
	socket    sio.SocketID
}

// remoteLanes are what an instance here gets from others than the sockets here. Each has a lane for
// as long as something of it waits or is open, so that the window is shared with it as with a
// socket here.
type remoteLanes struct {
	lanes   map[remoteLane]*lane
	waiting int // dispatches, of all
	bytes   int
}

func (l *lane) isRemote() bool { return l.binding == nil }

// crammedLocked tells whether so much waits that nothing more is taken.
func (a *Attachment) crammedLocked() bool {
	o := &a.d.options
	return a.remoteLanes.waiting >= o.RemoteEvents || a.remoteLanes.bytes >= o.RemoteBytes
}

// receiveLocked queues the remoteLane's dispatch, and hands it out if it is its turn.
func (a *Attachment) receiveLocked(dp *Dispatch, who remoteLane) {
	g := &a.remoteLanes
	l := g.lanes[who]
	if l == nil {
		l = &lane{service: a.service, remoteLane: who, at: a}
		if g.lanes == nil {
			g.lanes = make(map[remoteLane]*lane)
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
func (g *remoteLanes) leaveLocked(dp *Dispatch) {
	g.waiting--
	g.bytes -= dp.size
	dp.lane.service.d.metrics.WaitingPeers.Dec()
}

// partLocked forgets a remoteLane of whom nothing is left.
func (g *remoteLanes) partLocked(l *lane) {
	if l.open == 0 && l.queue.len == 0 && l.late == nil {
		delete(g.lanes, l.remoteLane)
	}
}

// givenTwiceLocked tells whether the dispatch is open already, since it was forwarded twice while
// the first waited. Then the replica that sent it last gets the result.
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

// loseRemoteLanesLocked drops what waits of remoteLanes, since the instance has detached.
func (a *Attachment) loseRemoteLanesLocked() {
	for _, l := range a.remoteLanes.lanes {
		for dp := l.takeLocked(); dp != nil; dp = l.takeLocked() {
			dp.loseLocked()
		}
	}
	a.remoteLanes.lanes = nil
}

// loseLocked says that nobody will resolve a remoteLane's dispatch: its instance detached. The
// replica that forwarded it gives it elsewhere; a message is lost.
func (dp *Dispatch) loseLocked() {
	if dp.Kind == Message {
		dp.resolved(dp.ID, sio.Result{Outcome: sio.Abandoned})
	}
	dp.free()
}
