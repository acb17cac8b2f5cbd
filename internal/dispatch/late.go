// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// late is a dispatch that was given up while its instance has it. All fields but the last two are
// fixed at birth.
type late struct {
	id        sio.DispatchID
	lane      *lane // nil for what may run beside others of its lane
	what      string
	namespace sio.Namespace
	socket    sio.SocketID
	given     time.Time // when it was given up
	started   bool      // as far as is known

	next *late // of the lane
	done bool  // the instance has finished it, or it is known no more
}

// lates are those of one lane that the instance may not have finished, in the order of their
// dispatches. Nil is none.
type lates struct{ head, tail *late }

// with appends one.
func (x *lates) with(one *late) *lates {
	if x == nil {
		return &lates{one, one}
	}
	x.tail.next = one
	x.tail = one
	return x
}

// left gives those that are left; nil when none is.
func (x *lates) left() *lates {
	for x != nil && x.head.done {
		if x.head = x.head.next; x.head == nil {
			return nil
		}
	}
	return x
}

// lateBook is all of one instance, by id.
type lateBook struct {
	byID  map[sio.DispatchID]*late
	order []*late // as they were added; some may be gone from byID
}

// maxLate bounds what is kept for each instance. The oldest give way.
const maxLate = 1024

func (a *Attachment) addLateLocked(x *late) {
	b := &a.late
	if b.byID == nil {
		b.byID = make(map[sio.DispatchID]*late)
	}
	if len(b.order) == maxLate {
		a.finishLateLocked(b.order[0].id)
		b.order = append(b.order[:0], b.order[1:]...)
	}
	b.byID[x.id] = x
	b.order = append(b.order, x)
}

// take takes one out.
func (b *lateBook) take(id sio.DispatchID) *late {
	x := b.byID[id]
	if x != nil {
		delete(b.byID, id)
		x.done = true
	}
	return x
}

// finishLateLocked takes one out whose result has come, or does not matter any more.
func (a *Attachment) finishLateLocked(id sio.DispatchID) *late {
	x := a.late.take(id)
	if x == nil || x.lane == nil || x.lane.at != a || x.lane.late == nil {
		return x
	}
	l := x.lane
	l.late = l.late.left()
	if l.oldest != nil {
		// the instance goes on with it, or with what was given up before it
		l.oldest.clock = time.Now()
	}
	if l.isRemote() {
		a.remoteLanes.partLocked(l)
	}
	return x
}

// resolveLate is Resolve for what is not open, and unlocks.
func (a *Attachment) resolveLate(id sio.DispatchID, r *sio.Result) error {
	m := a.d.metrics
	var x *late
	if r.Outcome != sio.Abandoned { // which another replica says when it has given it up too
		x = a.finishLateLocked(id)
	}
	a.service.mu.Unlock()
	if x == nil {
		m.NotOpen.Inc()
		return sio.E(sio.CodeNotFound, "resolve", "the dispatch is not open on this instance")
	}
	m.Late.Inc()
	by := time.Since(x.given).Round(time.Millisecond)
	ran := "was handled"
	if !x.started {
		ran = "was started and handled"
	}
	if a.distance == Local { // or else the replica says it that the instance is attached to
		if ok, missed := a.d.lates.Allow(); ok {
			a.d.log.Warn("result dropped: it arrived after the dispatch had timed out", "service", a.service.name, "instance", a.register.Instance,
				"namespace", x.namespace, "socket", x.socket, "dispatch", x.what, "duration", by, "setting", "handler-timeout", "suppressed", missed)
		}
	}
	return sio.E(sio.CodeDeadline, "resolve", fmt.Sprintf(
		"%s %s %v after the broker had given it up (setting handler-timeout); its result was dropped", x.what, ran, by))
}
