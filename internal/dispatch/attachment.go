// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Attachment is one instance for as long as it is attached. Resolve and Flush are called by one
// goroutine at a time; the other methods by any.
type Attachment struct {
	// fixed at birth
	d          *Dispatcher
	service    *service
	instance   Instance
	register   sio.Register // as it attached, the window cut down; what it handles is in declared
	distance   Distance
	generation uint64
	done       chan struct{}
	empty      chan struct{}

	touched []Socket // to be flushed; owned by the goroutine that resolves

	retires bool // the service is forgotten with it; guarded by the dispatcher's mu

	// never changed, but replaced; guarded by the dispatcher's mu and service.mu, either to read
	declared *sio.Register

	// guarded by service.mu
	open        map[sio.DispatchID]*Dispatch
	order       list        // the open dispatches, oldest first
	late        lateBook    // what was given up, and may be resolved yet
	ring        ring        // lanes that wait for the window
	shares      []*share    // of the window, by number; nil where never used
	redelivered share       // of the window: what was redelivered
	crowded     []*share    // those that lanes wait for
	remoteLanes remoteLanes // what other replicas forward, and messages
	shared      bool        // the lane that was served last had waited for a share
	assigned    int         // sockets
	lanes       laneList    // that are assigned to it
	backlog     backlog     // of the lanes that are assigned to it, remoteLanes too
	armed       bool        // the deadline timer runs
	timer       *time.Timer
	draining    bool
	grace       *time.Timer // runs while a drain waits for other replicas to hear of it
	emptied     bool
	detached    bool
	dirty       bool
	unflushed   bool          // it stands in service.unflushed
	settling    []*settlement // reported by the next flush
}

// Window tells how many dispatches may be open.
func (a *Attachment) Window() int { return a.register.Window }

// Generation tells this attachment from others of the same instance.
func (a *Attachment) Generation() uint64 { return a.generation }

// Done is closed when the attachment has ended: by Detach, or since a newer stream of the same
// instance took its place.
func (a *Attachment) Done() <-chan struct{} { return a.done }

// Resolve ends an open dispatch. An ack is queued on its socket, and written by Flush. An error has
// CodeNotFound when the dispatch is not open on this attachment: it was resolved already, went
// elsewhere or was never handed out here; nothing has happened then. It has CodeDeadline when the
// dispatch had been given up after the handler timeout, which was logged. It has CodeInvalid when
// something other than a connect is refused; that counts as a failure of the handler.
func (a *Attachment) Resolve(id sio.DispatchID, r sio.Result) error {
	m, s := a.d.metrics, a.service
	now := time.Now()
	s.mu.Lock()
	dp := a.open[id]
	if dp == nil {
		return a.resolveLate(id, &r)
	}
	var err error
	if r.Outcome == sio.Refused && dp.Kind != Connect && !dp.foreign() {
		err = sio.E(sio.CodeInvalid, "resolve", "only a connect can be refused")
		r = sio.Result{Outcome: sio.Failed, Message: "the handler refused something that is not a connect"}
	}
	since := dp.since
	a.unflushedLocked()
	a.closeLocked(dp, r.Outcome, false, now)
	s.mu.Unlock()
	m.OpenTime.Observe(now.Sub(since).Seconds())
	switch r.Outcome {
	case sio.Handled:
		m.Handled.Inc()
	case sio.Answered:
		m.Answered.Inc()
	case sio.Refused:
		m.Refused.Inc()
	case sio.Failed:
		m.Failed.Inc()
		a.logFailure(dp, r.Message)
	}
	a.noteResult(dp, &r)
	if socket := a.d.conclude(dp, r); socket != nil && (len(a.touched) == 0 || a.touched[len(a.touched)-1] != socket) {
		a.touched = append(a.touched, socket)
	}
	return err
}

// Flush follows a batch of results: it writes the acks and hands out what the freed window allows.
func (a *Attachment) Flush() {
	for i, socket := range a.touched {
		socket.Flush()
		a.touched[i] = nil
	}
	a.touched = a.touched[:0]
	a.service.mu.Lock()
	a.flushedLocked()
	a.pumpLocked()
	a.service.unlockAndFlush()
}

// Abandon gives up an open dispatch that cannot be sent to the instance, since it is too large. Any
// goroutine may call it.
func (a *Attachment) Abandon(id sio.DispatchID, why string) {
	s := a.service
	s.mu.Lock()
	dp := a.open[id]
	if dp == nil {
		s.mu.Unlock()
		return
	}
	a.closeLocked(dp, sio.Abandoned, false, time.Now())
	a.pumpLocked()
	s.unlockAndFlush()
	a.d.abandon([]*Dispatch{dp}, a.d.metrics.DroppedTooLarge, why)
}

// Drain gives the instance nothing new. The channel is closed when no dispatch is open any more.
// Sockets go to other instances as their last open dispatch here is resolved.
func (a *Attachment) Drain() (empty <-chan struct{}) {
	s := a.service
	s.mu.Lock()
	if !a.draining && !a.detached {
		a.draining = true
		if grace := a.d.options.DrainGrace; grace > 0 && a.distance == Local {
			a.grace = time.AfterFunc(grace, a.graceOver)
		}
		s.partLocked(a)
		for _, l := range a.takeWaitingLocked() {
			l.placeLocked()
		}
		a.emptyLocked()
	}
	s.unlockAndFlush()
	a.d.changed(a.distance)
	return a.empty
}

// graceOver lets the instance leave, since other replicas have heard by now that it drains.
func (a *Attachment) graceOver() {
	a.service.mu.Lock()
	defer a.service.mu.Unlock()
	a.grace = nil
	a.emptyLocked()
}

// Detach ends the attachment. Its open dispatches go to other instances of the service in the order
// in which they were handed out, or wait for one; under at most once they are dropped. When it
// returns, Instance.Queue is not called again.
func (a *Attachment) Detach() {
	was, retired, known := a.d.forget(a)
	if !was {
		return
	}
	s := a.service
	s.mu.Lock()
	a.detached = true
	s.partLocked(a)
	for _, t := range []*time.Timer{a.timer, a.grace} {
		if t != nil {
			t.Stop()
		}
	}
	dropped, poison := a.evictLocked()
	s.resettleLocked()
	s.unlockAndFlush()
	close(a.done)
	a.d.abandon(dropped, a.d.metrics.DroppedAtMostOnce, "its instance detached, and it wants each dispatch at most once")
	a.setAside(poison)
	a.d.log.Info("instance detached", "service", s.name, "instance", a.register.Instance)
	if retired {
		a.d.retired(s, known, "drain")
	}
	a.d.changed(a.distance)
}

// evictLocked gives away all that the instance had or was to get.
func (a *Attachment) evictLocked() (dropped, poison []*Dispatch) {
	m := a.d.metrics
	lanes := a.takeWaitingLocked()
	a.loseRemoteLanesLocked()
	now := time.Now()
	for dp := a.order.tail; dp != nil; dp = a.order.tail {
		a.order.remove(dp)
		m.Open.Dec()
		l := dp.lane
		l.forgetOpenLocked(dp)
		switch {
		case l.isRemote():
			dp.loseLocked()
			continue
		case a.register.AtMostOnce:
			dropped = append(dropped, dp)
		case dp.Redeliveries >= a.d.options.MaxRedeliveries:
			poison = append(poison, dp)
		default:
			dp.Redeliveries++
			dp.since = now
			l.queue.pushFront(dp)
			l.queuedLocked(dp)
			m.Redelivered.Inc()
		}
		lanes = append(lanes, l)
	}
	clear(a.open)
	a.late = lateBook{}
	slices.Reverse(lanes)
	for _, list := range [][]*Dispatch{dropped, poison} {
		slices.Reverse(list)
		for _, dp := range list {
			dp.lane.settleLocked(dp, sio.Abandoned, false)
		}
	}
	for _, l := range lanes {
		l.placeLocked() // a lane that stands here twice is placed by then
		l.finishLocked()
	}
	return dropped, poison
}

// setAside gives up what instance after instance went away with. Each is logged: they are rare, and
// a caller will look for them.
func (a *Attachment) setAside(poison []*Dispatch) {
	for _, dp := range poison {
		bytes := 0
		if dp.Event != nil {
			bytes = dp.Event.Size()
		}
		a.d.metrics.DroppedPoison.Inc()
		a.d.log.Error("dispatch set aside: every instance that received it died (setting max-redeliveries)", "service", a.service.name,
			"instance", a.register.Instance, "dispatch", fmt.Sprintf("%d %s", dp.ID, dp.what()), "namespace", dp.Socket.Namespace(), "socket", dp.Socket.ID(),
			"bytes", bytes, "count", dp.Redeliveries)
		a.d.noteDrop(a, dp, "set aside: every instance that received it died")
		a.d.conclude(dp, sio.Result{Outcome: sio.Abandoned, Message: "every instance that received it died"})
	}
}

func (a *Attachment) takes() bool { return !a.draining && !a.detached }

func (a *Attachment) isDraining() bool {
	a.service.mu.Lock()
	defer a.service.mu.Unlock()
	return a.draining
}

// loadLocked is what placement compares.
func (a *Attachment) loadLocked() int { return a.assigned + len(a.open) }

func (a *Attachment) roomLocked() bool {
	n := len(a.open)
	return n == 0 || n < a.register.Window && a.order.bytes < a.d.options.WindowBytes
}

// turnEvents is how many dispatches a lane hands out before the next lane has its turn. What a
// browser sent together stays together, so that its acks leave in one write; a flood waits after so
// many.
const turnEvents = 8

// pumpLocked hands out what the window allows. The lanes that wait for nothing else and those that
// waited for a share have their turns.
func (a *Attachment) pumpLocked() {
	for !a.detached && a.roomLocked() {
		if !a.serveLocked(!a.shared) && !a.serveLocked(a.shared) {
			return
		}
	}
}

// serveLocked serves a lane of those that waited for a share, or of the others, and tells whether
// there is one.
func (a *Attachment) serveLocked(shared bool) bool {
	r := &a.ring
	if shared {
		s := a.readyLocked()
		if s == nil {
			return false
		}
		r = &s.waiting
	}
	if r.head == nil {
		return false
	}
	a.shared = shared
	a.serveLaneLocked(r)
	return true
}

// serveLaneLocked hands out what the lane waits with whose turn it is, or lets it wait for
// something else.
func (a *Attachment) serveLaneLocked(r *ring) {
	l := r.head
	if dp := l.queue.head; dp != nil { // or else what it waited with was taken back
		if full, hindered := l.hinderedLocked(dp); hindered {
			r.pop()
			l.turn = 0
			l.setBackLocked(full)
			return
		}
		l.turn++
		if l.takeLocked(); !a.givenTwiceLocked(dp) {
			a.handOutLocked(dp)
		}
	}
	if l.queue.len == 0 || l.turn == turnEvents {
		l.turn = 0
		r.pop()
		if l.queue.len > 0 {
			r.push(l)
		}
	}
}

func (a *Attachment) handOutLocked(dp *Dispatch) {
	m := a.d.metrics
	l := dp.lane
	if !dp.foreign() {
		if dp.Introduce = !l.introduced; dp.Introduce {
			l.introduced = true
			l.forgottenLocked()
		}
	}
	switch {
	case dp.Kind == Message:
		m.Messages.Inc()
	case dp.foreign():
		m.FromPeers.Inc()
	case dp.Kind == Event:
		l.involved = true
		m.Events.Inc()
	case dp.Kind == Connect:
		m.Connects.Inc()
	case dp.Kind == Disconnected:
		m.Disconnects.Inc()
	case dp.Kind == RoomEvent:
		l.involved = true
		m.RoomEvents.Inc()
	}
	m.Open.Inc()
	dp.since = time.Now()
	l.openLocked(dp)
	a.open[dp.ID] = dp
	a.order.push(dp)
	a.countLocked(dp)
	a.armLocked(a.d.options.HandlerTimeout)
	a.noteHandOut(dp)
	a.instance.Queue(dp)
	a.service.dirtyLocked(a)
}

// releaseLocked tells the instance that the socket goes to another.
func (a *Attachment) releaseLocked(id sio.SocketID) {
	a.d.metrics.Released.Inc()
	a.instance.Release(id)
	a.service.dirtyLocked(a)
}

// closeLocked takes a dispatch out of the open ones.
func (a *Attachment) closeLocked(dp *Dispatch, outcome sio.Outcome, late bool, now time.Time) {
	delete(a.open, dp.ID)
	a.order.remove(dp)
	a.uncountLocked(dp)
	a.d.metrics.Open.Dec()
	dp.lane.shutLocked(dp, outcome, now)
	dp.lane.settleLocked(dp, outcome, late)
	a.emptyLocked()
}

func (a *Attachment) emptyLocked() {
	if a.draining && !a.emptied && a.grace == nil && len(a.open) == 0 && a.ring.head == nil && a.remoteLanes.waiting == 0 {
		a.emptied = true
		close(a.empty)
	}
}

func (a *Attachment) logFailure(dp *Dispatch, message string) {
	if ok, suppressed := a.d.failures.Allow(); ok {
		a.d.log.Warn("handler failed", "service", a.service.name, "instance", a.register.Instance, "socket", dp.Socket.ID(),
			"dispatch", dp.what(), "reason", message, "suppressed", suppressed)
	}
}
