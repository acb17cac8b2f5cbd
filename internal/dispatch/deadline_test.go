// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// wantDropped compares what was dropped since its handler hung, and since it was never started.
func (f *fixture) wantDropped(hung, unstarted int) {
	f.t.Helper()
	if a, b := value(f.m.DroppedDeadline), value(f.m.DroppedNotStarted); a != hung || b != unstarted {
		f.t.Errorf("%d were dropped for their deadline and %d before they started, want %d and %d", a, b, hung, unstarted)
	}
}

// The time of an event counts from when those of its socket before it have ended: many that are
// handled one after another all have their time.
func TestDeadline_inTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HandlerTimeout: 10 * time.Second})
		i := f.attach("a", "1", nil)
		s := f.connect("s")
		const events = 100
		for n := range events {
			s.emit(t, "x", sio.AckID(n))
		}
		for n := range events {
			time.Sleep(6 * time.Second)
			i.resolve(t, n, answered(`[]`))
		}
		f.wantDropped(0, 0)
		if got := len(s.got()); got != events {
			t.Errorf("%d acks", got)
		}
		time.Sleep(time.Minute)
	})
}

// What waits behind an event that was given up gets its time when that ends after all, and the late
// result is said in one line.
func TestDeadline_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newLoggedFixture(t, Options{HandlerTimeout: 10 * time.Second})
		i := f.attach("a", "1", nil)
		s, other := f.connect("s"), f.connect("other")
		s.emit(t, "slow", 1)
		time.Sleep(time.Second)
		s.emit(t, "quick", 2)
		other.emit(t, "beside", 1)
		i.resolve(t, 2, answered(`[]`))
		time.Sleep(17 * time.Second) // 18 after slow was handed out, 8 after it was given up
		synctest.Wait()
		f.wantDropped(1, 0)
		err := i.a.Resolve(i.list[0].ID, answered(`[]`))
		if sio.CodeOf(err) != sio.CodeDeadline || !strings.Contains(err.Error(), "event slow") || !strings.Contains(err.Error(), "8s") {
			t.Errorf("the late result: %v", err)
		}
		if found := log.with("level=WARN", "arrived after", "service=a", "instance=1", "socket=s", "event slow", "duration=8s", "handler-timeout"); len(found) != 1 {
			t.Errorf("the log says %q", log.with(""))
		}
		time.Sleep(9 * time.Second) // of its own time
		i.resolve(t, 1, answered(`[]`))
		same(t, "acks", s.got(), "2 []")
		same(t, "acks of the other", other.got(), "1 []")
		f.wantDropped(1, 0)
		if value(f.m.Late) != 1 || value(f.m.NotOpen) != 0 {
			t.Errorf("%d late results, %d of what was not open", value(f.m.Late), value(f.m.NotOpen))
		}
		if sio.CodeOf(i.a.Resolve(i.list[0].ID, answered(`[]`))) != sio.CodeNotFound {
			t.Error("a second late result is taken")
		}
		time.Sleep(time.Minute)
	})
}

// What waits behind an event that never ends is given up too, with a line that says so; so is what
// comes later.
func TestDeadline_neverStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newLoggedFixture(t, Options{HandlerTimeout: 10 * time.Second})
		i := f.attach("a", "1", nil)
		s := f.connect("s")
		for _, name := range []string{"hung", "b", "c"} {
			s.emit(t, name, 1)
		}
		time.Sleep(15 * time.Second)
		s.emit(t, "d", 1)
		synctest.Wait()
		f.wantDropped(1, 0)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		f.wantDropped(1, 2)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		f.wantDropped(1, 3)
		for _, name := range []string{"b", "c", "d"} {
			if found := log.with("dispatch dropped", "event "+name, "never started", "event hung", "handler-timeout"); len(found) != 1 {
				t.Errorf("the log says %q of %s", found, name)
			}
		}
		if found := log.with("event hung", "did not finish"); len(found) != 1 {
			t.Errorf("the log says %q of the event that hung", found)
		}
		if found := log.with("dispatch=\"event", "did not finish"); len(found) != 1 {
			t.Errorf("the log says %q", found)
		}
		s.emit(t, "e", 2) // an instance that goes on takes up what is left, in order
		for n := range 4 {
			time.Sleep(9 * time.Second)
			if err := i.a.Resolve(i.list[n].ID, sio.Result{}); sio.CodeOf(err) != sio.CodeDeadline {
				t.Errorf("late result: %v", err)
			}
		}
		i.resolve(t, 4, answered(`[]`))
		same(t, "acks", s.got(), "2 []")
		f.wantDropped(1, 3)
	})
}

// A result of what came later shows that what came before has ended, whatever became of that
// result.
func TestDeadline_overtaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HandlerTimeout: 10 * time.Second})
		i := f.attach("a", "1", nil)
		s := f.connect("s")
		s.emit(t, "hung", 1)
		time.Sleep(11 * time.Second)
		s.emit(t, "next", 2)
		i.resolve(t, 1, answered(`[]`))
		s.emit(t, "hangs too", 3)
		time.Sleep(11 * time.Second)
		f.wantDropped(2, 0)
	})
}

// So much is remembered of what was given up, and no more.
func TestDeadline_bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HandlerTimeout: time.Second})
		i := f.attach("a", "1", func(r *sio.Register) { r.Window = 4 * maxLate })
		for n := range maxLate + 10 {
			f.connect(fmt.Sprint("s", n)).emit(t, "hung", 1)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		f.wantDropped(maxLate+10, 0)
		if len(i.a.late.byID) != maxLate || len(i.a.late.order) != maxLate {
			t.Errorf("%d and %d are remembered", len(i.a.late.byID), len(i.a.late.order))
		}
		if err := i.a.Resolve(i.list[0].ID, sio.Result{}); sio.CodeOf(err) != sio.CodeNotFound {
			t.Error(err)
		}
		if err := i.a.Resolve(i.list[maxLate].ID, sio.Result{}); sio.CodeOf(err) != sio.CodeDeadline {
			t.Error(err)
		}
	})
}

// What runs beside other events of its socket has its time from the hand-out, waits behind nothing,
// and nothing waits behind it.
func TestDeadline_concurrent(t *testing.T) {
	for name, c := range map[string]sio.Registration{
		"by name": {Namespace: "/", Events: []string{"in turn", "beside"}, Concurrent: []string{"beside"}},
		"all":     {Namespace: "/", Events: []string{"in turn"}, CatchAll: true, Concurrent: []string{"*"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, log := newLoggedFixture(t, Options{HandlerTimeout: 10 * time.Second})
				i := f.attach("a", "1", func(r *sio.Register) { r.Namespaces[0] = c })
				s := f.connect("s")
				s.emit(t, "in turn", 1)
				s.emit(t, "beside", 2)
				s.emit(t, "in turn", 3)
				s.emit(t, "beside", 4)
				time.Sleep(9 * time.Second)
				i.resolve(t, 3, answered(`[]`))
				time.Sleep(2 * time.Second)
				f.wantDropped(2, 0)
				if found := log.with("event beside", "did not finish"); len(found) != 1 {
					t.Errorf("the log says %q", log.with("dropped"))
				}
				time.Sleep(10 * time.Second)
				f.wantDropped(2, 1)
				same(t, "acks", s.got(), "4 []")
			})
		})
	}
}

// Sockets of other replicas have the same, and nothing is kept of them in the end.
func TestDeadline_remoteLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newLoggedFixture(t, Options{HandlerTimeout: 10 * time.Second})
		i := f.attach("a", "a1", nil)
		v := newVisitors(t, f)
		for _, name := range []string{"hung", "quick"} {
			v.forward("far", name)
		}
		v.forward("other", "fine")
		i.resolve(t, 2, sio.Result{})
		time.Sleep(21 * time.Second)
		synctest.Wait()
		f.wantDropped(1, 1)
		if found := log.with("event quick", "never started", "event hung"); len(found) != 1 {
			t.Errorf("the log says %q", log.with("dropped"))
		}
		for n := range 2 {
			if err := i.a.Resolve(i.list[n].ID, sio.Result{}); sio.CodeOf(err) != sio.CodeDeadline {
				t.Errorf("late result: %v", err)
			}
		}
		if found := log.with("arrived after", "socket=far"); len(found) != 2 {
			t.Errorf("the log says %q", log.with("late"))
		}
		if n := len(i.a.remoteLanes.lanes); n != 0 {
			t.Errorf("%d remoteLanes are left", n)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.done[1] != sio.Abandoned || v.done[2] != sio.Abandoned || v.done[3] != sio.Handled {
			t.Errorf("done %v", v.done)
		}
	})
}
