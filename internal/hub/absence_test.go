// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

const unbounded = 1 << 30

func newRemembering(o JournalOptions) *Hub {
	if o.Retention == 0 {
		o.Retention = time.Minute
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = unbounded
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = unbounded
	}
	return NewWithJournal(replica, Alone{}, o, metrics.NewHub(nil))
}

// guest is a browser with its socket, and the model of what it should have got.
type guest struct {
	socket  *fakeSocket
	rooms   map[sio.Room]bool
	absence *Absence // nil while it is here

	seen   int      // deliveries of the socket that the browser has received
	got    []string // received, over all its sockets
	want   []string // emitted to it
	offset string
}

// receive lets the browser have the next n deliveries.
func (g *guest) receive(n int) {
	for _, d := range g.socket.got[g.seen : g.seen+n] {
		g.take(d)
	}
	g.seen += n
}

func (g *guest) take(d *Delivery) {
	if !d.Volatile {
		g.got = append(g.got, d.Event.Name)
	}
	if d.Offset != "" {
		g.offset = d.Offset
	}
}

func (g *guest) in(rooms []sio.Room) bool {
	return slices.ContainsFunc(rooms, func(r sio.Room) bool { return g.rooms[r] })
}

// town is a hub with guests.
type town struct {
	t      *testing.T
	r      *rand.Rand
	h      *Hub
	guests []*guest
	events int
	fresh  int // guests that could not be brought back
	back   int
}

func (w *town) arrive() *guest {
	g := &guest{socket: addSocket(w.h, main)}
	g.rooms = map[sio.Room]bool{g.socket.id.Room(): true}
	return g
}

func (w *town) someRooms() (rooms []sio.Room) {
	for range w.r.IntN(3) {
		rooms = append(rooms, sio.Room(fmt.Sprint("room", w.r.IntN(4))))
	}
	if w.r.IntN(3) == 0 {
		rooms = append(rooms, w.guests[w.r.IntN(len(w.guests))].socket.id.Room())
	}
	return rooms
}

func (w *town) emit() {
	w.events++
	e := &sio.Emit{Target: sio.Target{Namespace: main, Rooms: w.someRooms()}, Event: sio.Event{Name: fmt.Sprint(w.events)}}
	if w.r.IntN(2) == 0 {
		e.Target.Except = w.someRooms()
	}
	e.Volatile = w.r.IntN(8) == 0
	w.h.Deliver(e)
	for _, g := range w.guests {
		if !e.Volatile && (len(e.Target.Rooms) == 0 || g.in(e.Target.Rooms)) && !g.in(e.Target.Except) {
			g.want = append(g.want, e.Event.Name)
		}
	}
}

func (w *town) step() {
	g := w.guests[w.r.IntN(len(w.guests))]
	own := sio.Target{Namespace: main, Rooms: []sio.Room{g.socket.id.Room()}}
	room := sio.Room(fmt.Sprint("room", w.r.IntN(4)))
	switch action := w.r.IntN(12); {
	case action < 5:
		w.emit()
	case g.absence != nil:
		w.comeBack(g)
	case action < 7:
		w.h.Apply(&sio.Join{Target: own, Rooms: []sio.Room{room}})
		g.rooms[room] = true
	case action < 8:
		w.h.Apply(&sio.Leave{Target: own, Rooms: []sio.Room{room}})
		delete(g.rooms, room)
	case action < 10:
		g.receive(w.r.IntN(len(g.socket.got) - g.seen + 1))
	default:
		g.receive(w.r.IntN(len(g.socket.got) - g.seen + 1))
		g.absence = w.h.Cut(main, g.socket.id)
	}
}

// comeBack restores a guest, or makes a new one of it.
func (w *town) comeBack(g *guest) {
	s := &fakeSocket{id: g.socket.id}
	missed, loss := w.h.Restore(g.absence, s, g.offset, unbounded)
	if loss != LossNone {
		w.fresh++
		offset := g.offset // browsers keep it
		*g = *w.arrive()
		g.offset = offset
		return
	}
	w.back++
	g.absence, g.socket, g.seen = nil, s, 0
	// What is live meanwhile comes behind what was missed.
	s.got = append(slices.Clone(missed), s.got...)
	if got := w.h.Rooms(main, s.id); len(got) != len(g.rooms) {
		w.t.Fatalf("rooms %q after it came back, want %v", got, g.rooms)
	}
}

func (w *town) check(g *guest) {
	w.t.Helper()
	if g.absence != nil {
		w.comeBack(g)
	}
	g.receive(len(g.socket.got) - g.seen)
	if !slices.Equal(g.got, g.want) {
		w.t.Fatalf("got %v\nwant %v", g.got, g.want)
	}
}

// Whatever is emitted, joined, left, cut off and brought back, each browser gets just what was
// emitted to it while it was here or away, once and in order.
func TestHub_Restore_Model(t *testing.T) {
	for seed := range uint64(300) {
		o := JournalOptions{}
		if seed%2 == 1 {
			o.MaxEvents = 12 // now and then too few; then nothing is replayed
		}
		w := &town{t: t, r: rand.New(rand.NewPCG(seed, 3)), h: newRemembering(o)}
		for range 4 {
			w.guests = append(w.guests, w.arrive())
		}
		for range 400 {
			w.step()
		}
		for _, g := range w.guests {
			w.check(g)
			w.h.Remove(main, g.socket.id)
		}
		if o.MaxEvents == 0 && (w.fresh > 0 || w.back < 10) || o.MaxEvents > 0 && (w.fresh == 0 || w.back == 0) {
			t.Errorf("%d came back, %d did not", w.back, w.fresh)
		}
		if len(w.h.namespaces) != 0 || testutil.ToFloat64(w.h.metrics.JournalBytes) != 0 || testutil.ToFloat64(w.h.metrics.JournalEvents) != 0 {
			t.Error("something is left")
		}
	}
}

// Browsers that are cut off again and again while several emit get every event once, in the same
// order as all others.
func TestHub_Restore_Concurrent(t *testing.T) {
	const emitters, each, browsers = 4, 300, 6
	h := newRemembering(JournalOptions{})
	h.wide = 4
	var all [browsers][]string
	var emitting, living sync.WaitGroup
	quit := make(chan struct{})
	for b := range browsers {
		first := &fakeSocket{id: sio.NewSocketID(replica)}
		h.Add(main, first)
		living.Go(func() {
			r := rand.New(rand.NewPCG(uint64(b), 4))
			g := &guest{socket: first}
			for last := false; !last; {
				select {
				case <-quit:
					last = true
				default:
				}
				a := h.Cut(main, g.socket.id)
				g.socket.mu.Lock() // what is queued after the cut does not arrive
				g.receive(r.IntN(len(g.socket.got) - g.seen + 1))
				g.socket.mu.Unlock()
				s := &fakeSocket{id: g.socket.id}
				missed, loss := h.Restore(a, s, g.offset, unbounded)
				if loss != LossNone {
					t.Errorf("not restored: %v", loss)
					return
				}
				for _, d := range missed {
					g.take(d)
				}
				g.socket, g.seen = s, 0
			}
			g.receive(len(g.socket.got))
			all[b] = g.got
		})
	}
	for e := range emitters {
		emitting.Go(func() {
			for i := range each {
				h.Deliver(&sio.Emit{Target: sio.Target{Namespace: main}, Event: sio.Event{Name: fmt.Sprintf("%d-%d", e, i)}})
			}
		})
	}
	emitting.Wait()
	close(quit)
	living.Wait()
	for b := range all {
		if len(all[b]) != emitters*each || !slices.Equal(all[b], all[0]) {
			t.Fatalf("browser %d got %d events, want %d in the order of the others", b, len(all[b]), emitters*each)
		}
	}
}

// A quiet browser comes back whatever others were sent, and one that missed what was dropped does
// not.
func TestHub_Restore_Bounds(t *testing.T) {
	h := newRemembering(JournalOptions{MaxEvents: 4})
	quiet, busy := addSocket(h, main), addSocket(h, main)
	h.Deliver(emit(main))
	offset := quiet.got[0].Offset
	for range 10 {
		h.Deliver(emit(main, busy.id.Room()))
	}
	a, b := h.Cut(main, quiet.id), h.Cut(main, busy.id)
	for range 3 {
		h.Deliver(emit(main))
	}
	missed, loss := h.Restore(a, quiet, offset, unbounded)
	if loss != LossNone || len(missed) != 3 {
		t.Errorf("quiet: %d missed, %q", len(missed), loss)
	}
	if missed, loss = h.Restore(b, busy, offset, unbounded); loss != LossIncomplete || missed != nil {
		t.Errorf("busy: %d missed, %q", len(missed), loss)
	}
	if got := testutil.ToFloat64(h.metrics.JournalOverflows); got != 10 {
		t.Errorf("%v overflows", got)
	}

	// By bytes, and by what may be sent at once.
	large := strings.Repeat("x", 1000)
	h = newRemembering(JournalOptions{MaxBytes: 10_000})
	s := addSocket(h, main)
	a = h.Cut(main, s.id)
	for range 3 {
		h.Deliver(&sio.Emit{Target: sio.Target{Namespace: main}, Event: sio.Event{Name: "e", Args: []byte(`["` + large + `"]`)}})
	}
	if _, loss = h.Restore(a, s, "", 2000); loss != LossTooLarge {
		t.Errorf("too large: %q", loss)
	}
	s = addSocket(h, main)
	a = h.Cut(main, s.id)
	for range 20 {
		h.Deliver(&sio.Emit{Target: sio.Target{Namespace: main}, Event: sio.Event{Name: "e", Args: []byte(`["` + large + `"]`)}})
	}
	if got := testutil.ToFloat64(h.metrics.JournalBytes); got > 10_000 || got < 5000 {
		t.Errorf("%v bytes are kept", got)
	}
	if _, loss = h.Restore(a, s, "", unbounded); loss != LossIncomplete {
		t.Errorf("dropped by bytes: %q", loss)
	}
}

// Events are dropped when their time is over, and with their namespace.
func TestHub_JournalRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRemembering(JournalOptions{Retention: time.Minute})
		s := addSocket(h, main)
		h.Deliver(emit(main))
		time.Sleep(40 * time.Second)
		h.Deliver(emit(main))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := testutil.ToFloat64(h.metrics.JournalEvents); got != 1 {
			t.Errorf("%v events are kept", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := testutil.ToFloat64(h.metrics.JournalBytes); got != 0 {
			t.Errorf("%v bytes are kept", got)
		}
		h.Deliver(emit(main))
		h.Forget(h.Cut(main, s.id))
		if len(h.namespaces) != 0 || testutil.ToFloat64(h.metrics.JournalEvents) != 0 {
			t.Error("the journal is left")
		}
	})
}

// Offsets that nobody here wrote bring nobody back, unless nothing was sent since.
func TestHub_Restore_Offsets(t *testing.T) {
	foreign := "ghijkl.1"
	for _, c := range []struct {
		offset string
		sent   bool
		want   Loss
	}{
		{"", false, LossNone}, {"", true, LossNone},
		{foreign, false, LossNone}, {foreign, true, LossOffset},
		{"unknown", false, LossOffset}, {"abcdef.", false, LossOffset}, {"abcdef.-1", false, LossOffset},
		{string(replica) + ".zzz", false, LossOffset},
	} {
		h := newRemembering(JournalOptions{})
		s := addSocket(h, main)
		if c.sent {
			h.Deliver(emit(main))
		}
		missed, loss := h.Restore(h.Cut(main, s.id), s, c.offset, unbounded)
		if loss != c.want || len(missed) != len(s.got)*btoi(loss == LossNone) {
			t.Errorf("%q, sent %v: %d missed, %q", c.offset, c.sent, len(missed), loss)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A socket that leaves rooms without end is remembered in bounds.
func TestHub_Restore_ManyRooms(t *testing.T) {
	h := newRemembering(JournalOptions{})
	s := addSocket(h, main)
	own := sio.Target{Namespace: main, Rooms: []sio.Room{s.id.Room()}}
	var early string
	for i := range 2 * maxPast {
		room := []sio.Room{sio.Room(fmt.Sprint(i))}
		h.Apply(&sio.Join{Target: own, Rooms: room})
		h.Deliver(emit(main, room...))
		h.Apply(&sio.Leave{Target: own, Rooms: room})
		if i == 0 {
			early = s.got[0].Offset
		}
	}
	late := s.got[len(s.got)-10].Offset
	a := h.Cut(main, s.id)
	if len(a.trace.past) > maxPast {
		t.Errorf("%d spans are kept", len(a.trace.past))
	}
	if missed, loss := h.Restore(a, s, late, unbounded); loss != LossNone || len(missed) != 9 {
		t.Errorf("late: %d missed, %q", len(missed), loss)
	}
	if _, loss := h.Restore(h.Cut(main, s.id), s, early, unbounded); loss != LossIncomplete {
		t.Errorf("early: %q", loss)
	}
}

// The offset becomes the last argument, however the others are written.
func TestDelivery_Marked(t *testing.T) {
	for args, want := range map[string]string{
		``: `["o"]`, `[]`: `["o"]`, ` [ ] `: `["o"]`, `[1]`: `[1,"o"]`, `["a", {"b":[]} ] `: `["a", {"b":[]},"o"]`, `[[]]`: `[[],"o"]`,
	} {
		d := &Delivery{Event: &sio.Event{Name: "e", Args: []byte(args)}}
		if d.Marked() != d.Event {
			t.Error("marked without an offset")
		}
		d.Offset = "o"
		if got := string(d.Marked().Args); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// Volatile events carry an offset only when clients would take something else for one.
func TestHub_VolatileOffsets(t *testing.T) {
	h := newRemembering(JournalOptions{})
	s := addSocket(h, main)
	for i, c := range []struct {
		args string
		want bool
	}{{``, true}, {`[ ]`, true}, {`["text"]`, true}, {`[1, "text" ]`, true}, {`[1]`, false}, {`["a",{}]`, false}, {`["a",[]]`, false}} {
		h.Deliver(&sio.Emit{Target: sio.Target{Namespace: main}, Event: sio.Event{Name: "e", Args: []byte(c.args)}, EmitFlags: sio.EmitFlags{Volatile: true}})
		if d := s.got[i]; (d.Offset != "") != c.want {
			t.Errorf("%s: offset %q", c.args, d.Offset)
		}
	}
	if testutil.ToFloat64(h.metrics.JournalEvents) != 0 {
		t.Error("volatile events are kept")
	}
}
