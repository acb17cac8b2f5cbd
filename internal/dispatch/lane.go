// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// lane is what one socket and one service have to do with each other: the instance, and what waits
// for it.
//
// A lane with a queue is in one of three places: in the ring of its instance, which serves its
// lanes in turn as its window frees; with the service's unassigned lanes, when no instance is
// there; or nowhere, while its instance still has dispatches of it open: the next result of those
// places it again. It is nowhere when it has more than its fair share of the window, or when its
// instance drains or does not handle what comes next: then it goes to another, and nothing may
// overtake what is open. The lane of a socket that came back is nowhere too, until that of the old
// socket has finished. All fields are guarded by the service's mu.
type lane struct {
	binding    *Binding // nil for a remoteLane
	service    *service
	remoteLane remoteLane // whose lane it is, when it is that of no socket here

	at         *Attachment // the instance of this socket; nil while there is none
	introduced bool        // at has been introduced to the socket
	open       int         // dispatches open on at
	late       *lates      // dispatches that were given up and that at may not have finished

	oldest, newest *Dispatch // of the open ones that at runs one after another

	queue list

	connecting bool       // a connect is queued or open
	advised    bool       // nobody waits for the answer to it
	involved   bool       // the service accepted the socket or was handed events of it
	gone       bool       // the socket is; nothing but its disconnect is to come
	disconnect *departure // set when the socket is gone

	timer  *time.Timer   // while a connect waits for a service that is away
	absent bool          // the connect waits since the service has no instance
	wait   chan struct{} // closed when the queue has room again; nil while nobody waits
	listed bool          // in the ring of at, or unassigned
	turn   int           // dispatches handed out in its present turn
	next   *lane         // in that list
	prev   *lane

	after *lane // of the same socket id before: it comes first; nil for most
	heir  *lane // the lane that waits for this one's end

	// the instance that knows the socket still, since it was moved and at has not met it
	former         *Attachment
	before, behind *lane // in the list of those that are assigned to at

	// what its queue takes of its service's budget; zero means that it takes nothing of it
	charged int
	starved bool   // it stands in the list of those that the budget had no room for
	episode uint32 // of back-pressure, in which it was last counted
}

// departure describes a socket that is gone, for its disconnect.
type departure struct {
	reason sio.Reason
	rooms  []sio.Room
}

// offer gives an event to the lane. It blocks while the queue is full.
func (l *lane) offer(ctx context.Context, r route, ev *sio.Event, ack sio.AckID, wantsAck bool, first *atomic.Bool) error {
	s, size := l.service, ev.Size()+overhead
	s.mu.Lock()
	for !l.gone && !l.fitsLocked(size) {
		if err := l.waitLocked(ctx); err != nil {
			s.mu.Unlock()
			s.d.metrics.DroppedLeft.Inc()
			return err
		}
	}
	if l.gone {
		s.mu.Unlock()
		return errGone()
	}
	dp := newDispatch()
	dp.ID = s.d.nextID()
	dp.Socket, dp.Kind, dp.WantsAck = l.binding.socket, Event, wantsAck
	dp.event = *ev
	dp.Event = &dp.event
	dp.ack, dp.first, dp.lane, dp.size, dp.share, dp.concurrent = ack, first, l, size, r.share, r.concurrent
	l.addLocked(dp)
	s.unlockAndFlush()
	return nil
}

func errGone() error { return sio.E(sio.CodeClosed, "dispatch", "the socket is disconnected") }

func (l *lane) fitsLocked(size int) bool {
	return l.queue.len == 0 || l.boundedLocked(size) || l.absentFitsLocked(size)
}

// boundedLocked tells whether the queue is within the bounds of a lane whose service is present,
// with so many more bytes.
func (l *lane) boundedLocked(size int) bool {
	o := &l.service.d.options
	return l.queue.len < o.QueueEvents && l.queue.bytes+size <= o.QueueBytes
}

// waitLocked gives the lock back until something left the queue.
func (l *lane) waitLocked(ctx context.Context) error {
	s := l.service
	if l.wait == nil {
		l.wait = make(chan struct{})
		l.countLocked(backlog{blocked: 1})
		s.pressedLocked(l)
	}
	wait := l.wait
	s.mu.Unlock()
	defer s.mu.Lock()
	s.d.metrics.Blocked.Inc()
	defer s.d.metrics.Blocked.Dec()
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return &sio.Error{Code: sio.CodeDeadline, Op: "dispatch", Message: "the socket's queue stayed full", Cause: ctx.Err()}
	}
}

func (l *lane) wakeLocked() {
	if l.wait != nil {
		close(l.wait)
		l.wait = nil
		l.countLocked(backlog{blocked: -1})
	}
}

// addLocked hands the dispatch out if it is its turn, and queues it otherwise.
func (l *lane) addLocked(dp *Dispatch) {
	if a := l.at; a != nil && a.takes() && l.queue.len == 0 && a.ring.head == nil && a.roomLocked() && l.freeLocked(dp) {
		a.handOutLocked(dp)
		return
	}
	dp.since = time.Now()
	l.queue.push(dp)
	l.queuedLocked(dp)
	l.placeLocked()
}

// queuedLocked keeps the books after a dispatch entered the queue.
func (l *lane) queuedLocked(dp *Dispatch) {
	l.service.d.metrics.Queued.Inc()
	change := backlog{events: 1}
	if l.queue.len == 1 {
		change.sockets = 1
	}
	l.countLocked(change)
	l.chargeLocked(dp)
}

// takeLocked takes the first dispatch out of the queue.
func (l *lane) takeLocked() *Dispatch {
	dp := l.queue.pop()
	if dp == nil {
		return nil
	}
	l.service.d.metrics.Queued.Dec()
	change := backlog{events: -1}
	if l.queue.len == 0 {
		change.sockets = -1
	}
	l.countLocked(change)
	l.refundLocked(dp)
	l.wakeLocked()
	if l.isRemote() {
		l.at.remoteLanes.leaveLocked(dp)
	}
	return dp
}

// placeLocked puts a lane with a queue where it belongs, and serves it if possible.
func (l *lane) placeLocked() {
	if l.listed || l.queue.len == 0 {
		return
	}
	if l.isRemote() {
		l.at.ring.push(l)
		l.at.pumpLocked()
		return
	}
	if l.waitsLocked() {
		l.holdConnectLocked()
		return
	}
	if l.at == nil || !l.at.takes() || !l.at.suitsLocked(l.queue.head) {
		if l.at != nil && !l.at.detached && l.open > 0 {
			return // nothing overtakes what is open: the last result places it
		}
		if l.introduced {
			l.at.partLocked(l.binding.socket.ID())
		}
		l.assignLocked(l.service.pickLocked(l.queue.head))
	}
	if l.at == nil {
		l.chargeAllLocked()
		l.service.unassigned.push(l)
		l.service.armHoldLocked()
		l.holdConnectLocked()
		return
	}
	l.at.ring.push(l)
	l.at.pumpLocked()
}

// setBackLocked lets a hindered lane that stands nowhere wait for the share that is full. Without
// one it waits for its own next result, or goes to an instance that handles what comes next.
func (l *lane) setBackLocked(full *share) {
	if full != nil {
		l.at.awaitLocked(full, l)
		return
	}
	if l.at.fairLocked(l.open, socketPart) {
		l.placeLocked()
	}
}

func (l *lane) assignLocked(a *Attachment) {
	waits := l.backlogLocked()
	if l.at != nil {
		l.at.assigned--
		l.at.lanes.remove(l)
		l.at.backlog.sub(waits)
	}
	l.at, l.introduced, l.late = a, false, nil
	if a == nil {
		return
	}
	a.assigned++
	a.lanes.push(l)
	a.backlog.add(waits)
	l.releaseConnectLocked()
}

// settleLocked keeps the lane's books after a dispatch of it ended. late means that the instance is
// there and may yet work on it.
func (l *lane) settleLocked(dp *Dispatch, outcome sio.Outcome, late bool) {
	if l.isRemote() {
		l.placeLocked()
		l.at.remoteLanes.partLocked(l)
		return
	}
	switch dp.Kind {
	case Connect:
		l.connecting = false
		l.involved = outcome == sio.Handled || outcome == sio.Answered || late || dp.advisory && outcome == sio.Failed
		if dp.advisory && !l.involved {
			// the instance may have forgotten the socket, which is there all the same
			l.introduced = false
		}
		if l.gone && l.involved {
			l.tellLocked()
		}
	case Disconnected:
		l.involved = false
	}
	l.placeLocked()
	l.finishLocked()
	if s := l.service; s.settling != nil {
		s.settledLocked(l)
	}
}

// askLocked asks the service about the connect, or only tells it.
func (l *lane) askLocked(advise bool) {
	dp := newDispatch()
	dp.ID = l.service.d.nextID()
	dp.Socket, dp.Kind, dp.WantsAck, dp.advisory = l.binding.socket, Connect, true, advise
	dp.lane, dp.size, dp.share = l, overhead, connectShare
	l.connecting, l.advised = true, advise
	l.addLocked(dp)
}

// tellLocked tells the service that the socket is gone, if it wants to know.
func (l *lane) tellLocked() {
	d := l.service.d
	if !d.routes.Load().disconnects(l.binding.socket.Namespace(), l.service) {
		return
	}
	dp := newDispatch()
	dp.ID = d.nextID()
	dp.Socket, dp.Kind, dp.Reason, dp.Rooms = l.binding.socket, Disconnected, l.disconnect.reason, l.disconnect.rooms
	dp.lane, dp.size, dp.share = l, overhead+roomsSize(dp.Rooms), disconnectShare
	l.addLocked(dp)
}

// leave says that the socket is gone. A connect that no instance has seen is taken back; one that
// is open is waited for.
func (l *lane) leave(gone *departure) {
	s := l.service
	s.mu.Lock()
	l.gone, l.disconnect = true, gone
	l.wakeLocked()
	l.releaseConnectLocked()
	if head := l.queue.head; l.connecting && head != nil && head.Kind == Connect && head.Redeliveries == 0 {
		l.takeLocked().free()
		l.connecting = false
	}
	if !l.connecting && (l.involved || l.queue.len > 0) {
		l.tellLocked()
	}
	var dropped []*Dispatch
	unassigned := l.at == nil && l.listed
	if l.at == nil && s.unassigned.len > s.d.options.HoldSockets {
		dropped = l.dropLocked(time.Time{})
	}
	if unassigned && l.listed && l.queue.len == 0 {
		// nothing waits any more; it would count as waiting, and towards HoldSockets, until the
		// next sweep
		s.unassigned.remove(l)
	}
	l.finishLocked()
	s.unlockAndFlush()
	s.d.abandon(dropped, s.d.metrics.DroppedHold, "too many sockets wait for a service that is away (setting hold-sockets)")
}

// dropLocked takes what was queued before the time out of the queue; the zero time means
// everything.
func (l *lane) dropLocked(before time.Time) (dropped []*Dispatch) {
	for l.queue.head != nil && (before.IsZero() || l.queue.head.since.Before(before)) {
		dp := l.takeLocked()
		dropped = append(dropped, dp)
		l.settleLocked(dp, sio.Abandoned, false)
	}
	return dropped
}

// finishLocked lets go of the instance when nothing of a gone socket is left.
func (l *lane) finishLocked() {
	if !l.finishedLocked() {
		return
	}
	if l.at != nil {
		l.assignLocked(nil)
		l.forgottenLocked()
		l.service.armBalanceLocked(l.service.d.balanceDelay)
	}
	if heir := l.heir; heir != nil {
		l.heir = nil
		heir.placeLocked()
	}
}

func (l *lane) finishedLocked() bool { return l.gone && l.open == 0 && l.queue.len == 0 }

func (l *lane) isFinished() bool {
	l.service.mu.Lock()
	defer l.service.mu.Unlock()
	return l.finishedLocked()
}

// waitsLocked tells whether the socket that had the id before is not finished.
func (l *lane) waitsLocked() bool {
	for l.after != nil {
		if !l.after.finishedLocked() {
			l.after.heir = l
			return true
		}
		l.after = l.after.after
	}
	return false
}
