// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"math"
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// Absence is what the hub keeps of a socket that was cut off and may come back: its rooms, and
// since when it was in them. The owner hands it back once, to Restore or to Forget.
type Absence struct {
	namespace sio.Namespace
	id        sio.SocketID
	trace     trace
	rooms     []sio.Room // as trace.since counts them
	cut       uint64     // the sequence at which it was cut off
}

// trace tells which events of the journal were a socket's. A socket got, or should have got, what
// has a sequence above born. It is nil in hubs without a journal.
type trace struct {
	born  uint64
	last  uint64   // of the last event of the journal that was for this socket
	since []uint64 // for each joined room the sequence at which it was joined
	past  []span   // rooms that were left, while the journal has events from before
	blind uint64   // spans up to this sequence are forgotten
}

// span is a room that a socket was in for a while: for the events above from, up to and including
// until.
type span struct {
	room        sio.Room
	from, until uint64
}

// maxPast bounds the rooms left that are remembered for one socket. One that leaves more in the
// time of the journal may come back only with a later offset.
const maxPast = 256

// Loss says why missed events cannot be replayed.
type Loss string

// The losses. They are metric labels.
const (
	// LossNone means that nothing is lost.
	LossNone Loss = ""
	// LossOffset means that the offset is none of this hub's.
	LossOffset Loss = "unknown_offset"
	// LossIncomplete means that the journal does not reach back far enough.
	LossIncomplete Loss = "incomplete"
	// LossGap means that events of other replicas did not come here while the socket lived, or that
	// nobody can tell.
	LossGap Loss = "backplane_gap"
	// LossTooLarge means that more was missed than the browser may be sent at once.
	LossTooLarge Loss = "too_large"
)

// Rooms tells in which rooms the socket was, its own first.
func (a *Absence) Rooms() []sio.Room {
	rooms := make([]sio.Room, 0, len(a.rooms)+1)
	return append(append(rooms, a.id.Room()), a.rooms...)
}

// Cut is Remove for a socket that may come back. It returns nil when the socket is not there, or
// the hub has no journal.
func (h *Hub) Cut(ns sio.Namespace, id sio.SocketID) *Absence {
	h.mu.Lock()
	n := h.namespaces[ns]
	if n == nil {
		h.mu.Unlock()
		return nil
	}
	var a *Absence
	n.mu.Lock()
	if m := n.sockets[id]; m != nil && m.trace != nil {
		a = &Absence{namespace: ns, id: id, trace: *m.trace, rooms: slices.Clone(m.joined), cut: h.sequence.Load()}
		n.absent++
	}
	n.mu.Unlock()
	_, notified := h.removeLocked(ns, id)
	h.mu.Unlock()
	flushRooms(notified)
	return a
}

// Forget says that the socket does not come back.
func (h *Hub) Forget(a *Absence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.namespaces[a.namespace]
	n.mu.Lock()
	n.absent--
	empty := n.emptyLocked()
	n.mu.Unlock()
	if empty {
		h.ceaseLocked(a.namespace)
	}
}

// Restore puts s, which has the id of the absent socket, into its rooms, and returns the events
// that the browser missed, in the order in which it would have got them: those behind the offset of
// the last one that it knows. What is delivered after them comes live, so between the two there is
// neither a gap nor an overlap. An empty offset means that the browser got no event since it
// connected. With a loss nothing is restored, and the absence is forgotten.
func (h *Hub) Restore(a *Absence, s Socket, offset string, maxBytes int) (missed []*Delivery, loss Loss) {
	n := h.namespace(a.namespace) // it stays while a socket may be recovered
	position, loss := h.position(a, offset)
	rest := replay{absence: a, rooms: a.membership(), room: maxBytes}
	if loss == LossNone {
		// The long part is searched while others emit.
		loss = rest.collect(n.journal, position)
	}
	if loss == LossNone {
		h.mu.Lock()
		n.mu.Lock()
		if loss = rest.collect(n.journal, rest.reached); loss == LossNone && h.crossesGap(a) {
			loss = LossGap
		}
		if loss == LossNone {
			begun := n.restoreLocked(a, s, rest.last)
			h.metrics.Sockets.Inc()
			h.metrics.Rooms.Add(float64(begun))
		}
		n.mu.Unlock()
		h.mu.Unlock()
	}
	if loss != LossNone {
		h.Forget(a)
		return nil, loss
	}
	missed = make([]*Delivery, len(rest.found))
	for i, e := range rest.found {
		missed[i] = &Delivery{
			Namespace: a.namespace, Event: &e.event, EmitFlags: e.flags, Receivers: 1, Offset: h.offset(e.sequence),
		}
	}
	return missed, LossNone
}

// position is the sequence up to which the browser has all that was for it.
func (h *Hub) position(a *Absence, offset string) (uint64, Loss) {
	position := a.trace.born
	if h.crossesGap(a) || !h.publisher.Certain() {
		return 0, LossGap
	}
	if offset != "" {
		sequence, here, ok := h.parseOffset(offset)
		// Clients keep their offset when they connect again. One of another replica so means that
		// nothing came since.
		if !ok || !here && a.trace.last > a.trace.born {
			return 0, LossOffset
		}
		if here {
			position = max(position, sequence)
		}
	}
	if position >= a.trace.last {
		// Nothing was for this socket between its last event and the cut, however much of that the
		// journal has dropped.
		position = max(position, a.cut)
	}
	if position < a.trace.blind {
		return 0, LossIncomplete
	}
	return position, LossNone
}

// Gap says that commands of other replicas did not come here. Sockets that were connected, or away,
// until now may have missed events, and the journal cannot give them: none of them is recovered. It
// tells whether there can be any.
func (h *Hub) Gap() (some bool) {
	if h.journal.Retention <= 0 {
		return false
	}
	// one of its own, which tells the next socket from those before
	h.gap.Store(h.sequence.Add(1))
	h.metrics.Gaps.Inc()
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.namespaces) > 0
}

// crossesGap tells whether the socket may have missed what was never here.
func (h *Hub) crossesGap(a *Absence) bool { return a.trace.born < h.gap.Load() }

// membership gives the spans of each room, the present ones without an end.
func (a *Absence) membership() map[sio.Room][]span {
	rooms := make(map[sio.Room][]span, len(a.rooms)+1)
	rooms[a.id.Room()] = []span{{from: a.trace.born, until: math.MaxUint64}}
	for i, r := range a.rooms {
		rooms[r] = append(rooms[r], span{from: a.trace.since[i], until: math.MaxUint64})
	}
	for _, p := range a.trace.past {
		rooms[p.room] = append(rooms[p.room], p)
	}
	return rooms
}

// replay collects the events of an absent socket.
type replay struct {
	absence *Absence
	rooms   map[sio.Room][]span
	room    int // bytes that still fit
	found   []*entry
	reached uint64 // the sequence up to which was searched
	last    uint64 // of the last found
}

func (r *replay) collect(j *journal, after uint64) Loss {
	entries, complete := j.after(after)
	if !complete {
		return LossIncomplete
	}
	r.reached = after
	for _, e := range entries {
		r.reached = e.sequence
		if (len(e.rooms) > 0 && !r.in(e.rooms, e.sequence)) || r.in(e.except, e.sequence) {
			continue
		}
		if r.room -= outbound(e); r.room < 0 {
			return LossTooLarge
		}
		r.found = append(r.found, e)
		r.last = e.sequence
	}
	return LossNone
}

// outbound estimates what an event costs in a browser's queue, rather too high: attachments grow by
// a third on polling, and each event has a frame, a namespace and an offset. A replay that did not
// fit would close the session, for the next one to try it again.
func outbound(e *entry) int {
	const overhead = 128
	return e.event.Size() + e.event.Size()/3 + overhead
}

// in tells whether the socket was in one of the rooms at the event with the sequence.
func (r *replay) in(rooms []sio.Room, sequence uint64) bool {
	for _, room := range rooms {
		for _, s := range r.rooms[room] {
			if s.from < sequence && sequence <= s.until {
				return true
			}
		}
	}
	return false
}

// restoreLocked tells how many rooms came into being. The caller holds n.mu.
func (n *namespace) restoreLocked(a *Absence, s Socket, last uint64) (begun int) {
	m := &member{socket: s}
	n.sockets[a.id] = m
	n.absent--
	for _, r := range a.rooms {
		begun += n.joinLocked(m, r) // without a trace: the old one says since when
	}
	m.trace = &a.trace
	m.trace.last = max(m.trace.last, last)
	return begun
}

func (j *journal) newTrace() *trace {
	if j == nil {
		return nil
	}
	return &trace{born: j.sequence.Load()}
}

// joined notes that the socket is in one more room. It is called under the namespace's lock, so no
// event of the namespace comes between.
func (t *trace) joined(j *journal) {
	if t != nil {
		t.since = append(t.since, j.sequence.Load())
	}
}

// left notes that the i-th room was left, and that the last one takes its place.
func (t *trace) left(i int, r sio.Room, j *journal) {
	if t == nil {
		return
	}
	now, lost := j.sequence.Load(), j.lostUpTo()
	if t.since[i] < now { // else no event came between
		t.past = slices.DeleteFunc(t.past, func(p span) bool { return p.until <= lost })
		if len(t.past) >= maxPast {
			t.blind = max(t.blind, t.past[0].until)
			t.past = slices.Delete(t.past, 0, 1)
		}
		t.past = append(t.past, span{room: r, from: t.since[i], until: now})
	}
	last := len(t.since) - 1
	t.since[i] = t.since[last]
	t.since = t.since[:last]
}
