// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// What a service that is retired holds up goes on without it; its events are dropped and counted,
// and its gauge is gone.
func TestDispatcher_Retire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		a := f.attach("a", "a1", func(r *sio.Register) { asking(r); r.Namespaces[0].Events = []string{"x"} })
		b := f.attach("b", "b1", asking)
		old := f.connect("old")
		a.resolve(t, 0, sio.Result{})
		b.resolve(t, 0, sio.Result{})
		if r := f.Retire("a"); r.Known || !slices.Equal(r.Instances, []sio.InstanceID{"a1"}) {
			t.Errorf("attached: %+v", r)
		}
		if r := f.Retire("c"); r.Known || len(r.Instances) > 0 {
			t.Errorf("unknown: %+v", r)
		}
		a.a.Detach()
		old.emit(t, "x", 1)
		s, gone := f.connect("s"), f.connect("gone")
		b.resolve(t, 1, sio.Result{})
		b.resolve(t, 2, sio.Result{})
		gone.binding.Disconnect(sio.ReasonTransportClose)
		if s.decided() != 0 || f.holds("a") != 1 || value(f.m.Held) != 1 {
			t.Errorf("decisions %+v, %d are held", s.decisions, f.holds("a"))
		}
		if got := f.Absent(); len(got) != 1 || got[0].Service != "a" || got[0].Held != 1 || got[0].Since.IsZero() {
			t.Errorf("absent %+v", got)
		}
		r := f.Retire("a")
		if !r.Known || r.Connects != 1 || r.Dropped != 1 || s.decision() != Accepted {
			t.Errorf("%+v, decisions %+v", r, s.decisions)
		}
		if value(f.m.DroppedRetired) != 1 || value(f.m.Held) != 0 || value(f.m.Queued) != 0 || value(f.m.WaitingInstance) != 0 {
			t.Error("something is left")
		}
		if r := f.Retire("a"); r.Known {
			t.Errorf("twice: %+v", r)
		}
		old.emit(t, "x", 2) // is b's now
		same(t, "b", b.names()[3:], "gone:disconnect", "old:event x")
		a = f.attach("a", "a2", asking)
		late := f.connect("late")
		same(t, "a", a.names(), "late:connect")
		late.binding.Disconnect(sio.ReasonTransportClose)
		f.Close()
		time.Sleep(time.Minute)
	})
}

// A namespace that only a retired service had is unknown again; with no other service known,
// connects wait as at the start.
func TestDispatcher_Retire_namespace(t *testing.T) {
	for _, how := range []sio.Registration{
		{Namespace: "/x", Connect: true}, {Namespace: "/x"}, {Namespace: "/.", Pattern: true, Connect: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Options{})
			f.attach("a", "a1", registering(how)).a.Detach()
			b := f.attach("b", "b1", nil)
			s := f.connectTo("/x", "s")
			if s.decided() != 0 || f.holds("a") != 1 {
				t.Errorf("decisions %+v, %d are held", s.decisions, f.holds("a"))
			}
			if r := f.Retire("a"); !r.Known || r.Connects != 1 || s.decision() != UnknownNamespace {
				t.Errorf("%+v, decisions %+v", r, s.decisions)
			}
			if late := f.connectTo("/x", "late"); late.decision() != UnknownNamespace {
				t.Errorf("decisions %+v", late.decisions)
			}
			b.a.Detach()
			waits := f.connect("waits")
			f.Retire("b")
			if waits.decided() != 0 {
				t.Errorf("decisions %+v", waits.decisions)
			}
			f.attach("c", "c1", nil)
			if waits.decision() != Accepted {
				t.Errorf("decisions %+v", waits.decisions)
			}
		})
	}
}

// What comes to wait for a service while it is being retired goes on without it, whatever the
// order.
func TestDispatcher_Retire_race(t *testing.T) {
	f := newFixture(t, Options{HoldTimeout: time.Hour})
	f.attach("b", "b1", nil)
	var sockets []*socket
	for n := range 200 {
		f.attach("a", fmt.Sprint("a", n), asking).a.Detach()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.Retire("a")
		}()
		s := f.connect(fmt.Sprint(n))
		if err := s.binding.Dispatch(t.Context(), &sio.Event{Name: "x"}, 0, false); err != nil {
			t.Error(err)
		}
		sockets = append(sockets, s)
		<-ended
		f.Retire("a")
	}
	for end := time.Now().Add(20 * time.Second); value(f.m.WaitingInstance)+value(f.m.Held) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait, %d are held", value(f.m.WaitingInstance), value(f.m.Held))
		}
	}
	for _, s := range sockets {
		for s.decided() == 0 {
			time.Sleep(time.Millisecond)
		}
		if s.decision() != Accepted {
			t.Errorf("decisions %+v", s.decisions)
		}
	}
}

// With a drain that says so the service is forgotten with its last instance, on this replica and on
// others, and not before.
func TestAttachment_Retire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		f.attach("b", "b1", nil)
		one, two := f.attach("a", "a1", asking), f.attach("a", "a2", asking)
		one.a.Retire()
		one.a.Detach()
		if s := f.connect("s"); s.decided() != 0 {
			t.Errorf("decisions %+v", s.decisions)
		}
		two.a.Retire()
		two.a.Drain()
		held := f.connect("held")
		two.a.Detach()
		time.Sleep(time.Millisecond) // the sweeper may have taken the connect, and decides it then
		synctest.Wait()
		if held.decision() != Accepted || len(f.Load()) != 1 {
			t.Errorf("decisions %+v", held.decisions)
		}

		a := f.attach("a", "a3", asking)
		if r := f.RetireWith("a", "other"); r.Known || len(r.Instances) != 1 {
			t.Errorf("%+v", r)
		}
		f.RetireWith("a", "a3")
		a.a.Detach()
		if len(f.Load()) != 1 {
			t.Error("a is known")
		}
		a = f.attach("a", "a4", asking)
		f.RetireWith("a", "a4")
		f.attach("a", "a5", asking).a.Detach()
		if a.a.Detach(); len(f.Load()) != 2 {
			t.Error("a is not known, although another instance came")
		}
		if r := f.RetireWith("a", "a4"); !r.Known || len(f.Load()) != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// An absent service is forgotten after the retention, unless it comes back, or the others cannot be
// heard.
func TestDispatcher_retention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaf atomic.Bool
		o := Options{Retention: 10 * time.Second, Connected: func() bool { return !deaf.Load() }}
		f := newFixture(t, o)
		f.attach("b", "b1", nil)
		f.attach("a", "a1", asking).a.Detach()
		time.Sleep(o.Retention / 2)
		f.attach("a", "a1", asking).a.Detach()
		s := f.connect("s")
		time.Sleep(o.Retention - time.Second)
		if synctest.Wait(); s.decided() != 0 {
			t.Errorf("decisions %+v", s.decisions)
		}
		time.Sleep(time.Second)
		if synctest.Wait(); s.decision() != Accepted || len(f.Load()) != 1 {
			t.Errorf("decisions %+v", s.decisions)
		}
		f.attach("a", "a1", asking).a.Detach()
		deaf.Store(true)
		time.Sleep(3 * o.Retention)
		if synctest.Wait(); len(f.Load()) != 2 {
			t.Error("forgotten while the others could not be heard")
		}
		deaf.Store(false)
		time.Sleep(o.Retention)
		if synctest.Wait(); len(f.Load()) != 1 {
			t.Error("not forgotten")
		}
		f.Close()
	})
}

// A socket that came back under its old id does not wait for what a retired service was to hear of
// the old one.
func TestDispatcher_Retire_recovered(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", asking)
	f.attach("b", "b1", nil)
	old := f.connect("s")
	a.resolve(t, 0, sio.Result{})
	a.a.Detach()
	old.emit(t, "x", 1)
	old.binding.Disconnect(sio.ReasonTransportClose)
	back := &socket{id: "s", ns: "/"}
	back.binding = f.ConnectAfter(old.binding, back, func(d Decision) { back.decisions = append(back.decisions, d) })
	if back.decided() != 0 || f.holds("a") != 1 {
		t.Errorf("decisions %+v, %d are held", back.decisions, f.holds("a"))
	}
	r := f.Retire("a")
	if r.Connects != 1 || back.decision() != Accepted || f.holds("a") != 0 || value(f.m.Queued) != 0 || value(f.m.WaitingInstance) != 0 {
		t.Errorf("%+v, decisions %+v", r, back.decisions)
	}
}

// With RetainLast a broker forgets a service only when it holds up a connect that nothing else
// holds up.
func TestDispatcher_retention_last(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{Retention: 2 * time.Second, RetainLast: true, ConnectHold: time.Hour})
		f.attach("a", "a1", asking).a.Detach()
		s := f.connect("s")
		time.Sleep(time.Minute)
		if synctest.Wait(); s.decided() != 0 || len(f.Load()) != 1 {
			t.Errorf("decisions %+v", s.decisions)
		}
		b := f.attach("b", "b1", asking) // a was renamed
		b.resolve(t, 0, sio.Result{})
		if synctest.Wait(); s.decision() != Accepted || len(f.Load()) != 1 {
			t.Errorf("decisions %+v", s.decisions)
		}

		open := f.connect("open")
		b.a.Retire()
		b.a.Detach() // and takes a connect back that it had
		time.Sleep(time.Minute)
		if synctest.Wait(); open.decided() != 0 || len(f.Load()) != 1 {
			t.Errorf("decisions %+v", open.decisions)
		}
		f.attach("c", "c1", nil)
		if synctest.Wait(); open.decision() != Accepted || len(f.Load()) != 1 {
			t.Errorf("decisions %+v", open.decisions)
		}
		c := f.attach("d", "d1", asking)
		c.a.Retire()
		c.a.Detach()
		late := f.connect("late")
		if synctest.Wait(); late.decision() != Accepted { // with no wait for the retention
			t.Errorf("decisions %+v", late.decisions)
		}
		f.Close()
		time.Sleep(time.Minute)
	})
}

// The service that gives way to another since too many are known holds nothing up any more.
func TestDispatcher_Attach_evicts(t *testing.T) {
	f := newFixture(t, Options{MaxServices: 2})
	f.attach("b", "b1", nil)
	f.attach("a", "a1", asking).a.Detach()
	s := f.connect("s")
	f.attach("c", "c1", nil)
	if s.decision() != Accepted || f.holds("a") != 0 || value(f.m.Held) != 0 {
		t.Errorf("decisions %+v", s.decisions)
	}
}

// In the whole cluster a service is forgotten where it is known; the answer names the replicas that
// said nothing, or why it was not.
func TestDispatcher_RetireEverywhere(t *testing.T) {
	for _, tt := range []struct {
		name  string
		here  int // 1 is absent, 2 attached
		found sio.Found
		err   error
		code  sio.Code
		says  string
		want  sio.Retired
	}{
		{name: "here", here: 1, want: sio.Retired{Known: true, Connects: 1}},
		{name: "there", found: sio.Found{Retired: sio.Retired{Known: true, Connects: 2, Dropped: 3}}, want: sio.Retired{Known: true, Connects: 2, Dropped: 3}},
		{name: "both", here: 1, found: sio.Found{Retired: sio.Retired{Known: true, Connects: 2}, Silent: []sio.ReplicaID{"r"}},
			want: sio.Retired{Known: true, Connects: 3}},
		{name: "unreachable", here: 1, err: errors.New("down"), found: sio.Found{Silent: []sio.ReplicaID{"r"}}, want: sio.Retired{Known: true, Connects: 1}},
		{name: "unknown", code: sio.CodeNotFound, says: `no replica knows a service "a"`},
		{name: "silent", found: sio.Found{Silent: []sio.ReplicaID{"s", "r"}}, code: sio.CodeNotFound, says: "did not answer: r, s"},
		{name: "attached here", here: 2, code: sio.CodeConflict, says: "1 attached instance(s), such as a1"},
		{name: "attached there", here: 1, found: sio.Found{Retired: sio.Retired{Instances: []sio.InstanceID{"x", "y", "x"}}}, code: sio.CodeConflict,
			says: "2 attached instance(s), such as x, y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &others{found: tt.found, err: tt.err}
			f := newFixture(t, Options{Others: o})
			f.attach("b", "b1", nil)
			if tt.here > 0 {
				if a := f.attach("a", "a1", asking); tt.here == 1 {
					a.a.Detach()
				}
				defer f.connect("s").binding.Disconnect(sio.ReasonTransportClose)
			}
			r, silent, err := f.RetireEverywhere(t.Context(), "a")
			if sio.CodeOf(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if err == nil && (fmt.Sprint(r) != fmt.Sprint(tt.want) || !slices.Equal(silent, tt.found.Silent)) {
				t.Errorf("%+v, silent %v", r, silent)
			}
		})
	}
}
