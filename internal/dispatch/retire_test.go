// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// advisory registers a connect handler whose answer nobody waits for.
func advisory(r *sio.Register) { r.Namespaces[0].Connect, r.Namespaces[0].Advisory = true, true }

// logged is a fixture whose log can be read when nothing runs.
func logged(t testing.TB, o Options) (*fixture, *bytes.Buffer) {
	var log bytes.Buffer
	m := metrics.NewDispatch(nil)
	return &fixture{t, New(o, m, slog.New(slog.NewTextHandler(&log, nil))), m}, &log
}

func (f *fixture) holds(service string) int { return value(f.t, f.m.AbsentHeld(service)) }

// An absent service that holds connects is named in the log within a second, then once a minute, and never when it is back in time.
func TestAbsence_log(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := logged(t, Options{})
		a, _ := f.attach("a", "a1", asking), f.attach("b", "b1", nil)
		lines := func() (list []string) {
			synctest.Wait()
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "connects are held") {
					list = append(list, line)
				}
			}
			return list
		}
		a.a.Detach()
		s := f.connect("s")
		time.Sleep(holdNotice / 2)
		f.attach("a", "a1", asking).a.Detach() // takes the connect, and leaves it
		s.binding.Disconnect(sio.ReasonTransportClose)
		synctest.Wait()
		if got := f.holds("a"); got != 0 {
			t.Errorf("%d are held", got)
		}
		time.Sleep(time.Minute)
		if got := lines(); len(got) != 0 {
			t.Errorf("lines %q", got)
		}
		for n := range 30 { // a browser that comes again and again
			f.connect(fmt.Sprint(n))
			if got := f.holds("a"); got != 1 {
				t.Errorf("%d are held", got)
			}
			time.Sleep(f.options.ConnectHold + time.Second)
			if n == 0 {
				if got := lines(); len(got) != 1 || !strings.Contains(got[0], `level=WARN`) || !strings.Contains(got[0], `service=a namespace=/ since=`) ||
					!strings.Contains(got[0], "count=1") || !strings.Contains(got[0], `setting="connect-hold, service-retention"`) ||
					!strings.Contains(got[0], `command="broker services retire a"`) {
					t.Errorf("lines %q", got)
				}
			}
		}
		if n := len(lines()); n < 8 || n > 11 { // ten and a half minutes
			t.Errorf("%d lines", n)
		}
		f.Close()
	})
}

// What a service that is retired holds up goes on without it; its events are dropped and counted, and its gauge is gone.
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
		if s.decided() != 0 || f.holds("a") != 1 || value(t, f.m.Held) != 1 {
			t.Errorf("decisions %+v, %d are held", s.decisions, f.holds("a"))
		}
		if got := f.Absent(); len(got) != 1 || got[0].Service != "a" || got[0].Held != 1 || got[0].Since.IsZero() {
			t.Errorf("absent %+v", got)
		}
		r := f.Retire("a")
		if !r.Known || r.Connects != 1 || r.Dropped != 1 || s.decision() != Accepted {
			t.Errorf("%+v, decisions %+v", r, s.decisions)
		}
		if value(t, f.m.DroppedRetired) != 1 || value(t, f.m.Held) != 0 || value(t, f.m.Queued) != 0 || value(t, f.m.WaitingInstance) != 0 {
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

// A namespace that only a retired service had is unknown again; with no other service known, connects wait as at the start.
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

// A service that comes back without a namespace holds none of its connects.
func TestDispatcher_hold_undeclared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		f.attach("a", "a1", registering(sio.Registration{Namespace: "/x", Connect: true}, sio.Registration{Namespace: "/y", Connect: true})).a.Detach()
		f.attach("b", "b1", registering(sio.Registration{Namespace: "/y", CatchAll: true}))
		x, y := f.connectTo("/x", "x"), f.connectTo("/y", "y")
		a := f.attach("a", "a2", registering(sio.Registration{Namespace: "/z"}))
		for n := range a.names() {
			a.resolve(t, n, sio.Result{})
		}
		if x.decision() != UnknownNamespace || y.decision() != Accepted || value(t, f.m.Held) != 0 {
			t.Errorf("decisions %+v and %+v", x.decisions, y.decisions)
		}
		time.Sleep(time.Minute)
	})
}

// What comes to wait for a service while it is being retired goes on without it, whatever the order.
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
	for end := time.Now().Add(20 * time.Second); value(t, f.m.WaitingInstance)+value(t, f.m.Held) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait, %d are held", value(t, f.m.WaitingInstance), value(t, f.m.Held))
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

// With a drain that says so the service is forgotten with its last instance, on this replica and on others, and not before.
func TestAttachment_Retire(t *testing.T) {
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
	if held.decision() != Accepted || len(f.Survey()) != 1 {
		t.Errorf("decisions %+v", held.decisions)
	}

	a := f.attach("a", "a3", asking)
	if r := f.RetireWith("a", "other"); r.Known || len(r.Instances) != 1 {
		t.Errorf("%+v", r)
	}
	f.RetireWith("a", "a3")
	a.a.Detach()
	if len(f.Survey()) != 1 {
		t.Error("a is known")
	}
	a = f.attach("a", "a4", asking)
	f.RetireWith("a", "a4")
	f.attach("a", "a5", asking).a.Detach()
	if a.a.Detach(); len(f.Survey()) != 2 {
		t.Error("a is not known, although another instance came")
	}
	if r := f.RetireWith("a", "a4"); !r.Known || len(f.Survey()) != 1 {
		t.Errorf("%+v", r)
	}
}

// An absent service is forgotten after the retention, unless it comes back, or the others cannot be heard.
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
		if synctest.Wait(); s.decision() != Accepted || len(f.Survey()) != 1 {
			t.Errorf("decisions %+v", s.decisions)
		}
		f.attach("a", "a1", asking).a.Detach()
		deaf.Store(true)
		time.Sleep(3 * o.Retention)
		if synctest.Wait(); len(f.Survey()) != 2 {
			t.Error("forgotten while the others could not be heard")
		}
		deaf.Store(false)
		time.Sleep(o.Retention)
		if synctest.Wait(); len(f.Survey()) != 1 {
			t.Error("not forgotten")
		}
		f.Close()
	})
}

// With RetainLast a broker forgets a service only when it holds up a connect that nothing else holds up.
func TestDispatcher_retention_last(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{Retention: 2 * time.Second, RetainLast: true, ConnectHold: time.Hour})
		f.attach("a", "a1", asking).a.Detach()
		s := f.connect("s")
		time.Sleep(time.Minute)
		if synctest.Wait(); s.decided() != 0 || len(f.Survey()) != 1 {
			t.Errorf("decisions %+v", s.decisions)
		}
		b := f.attach("b", "b1", asking) // a was renamed
		b.resolve(t, 0, sio.Result{})
		if synctest.Wait(); s.decision() != Accepted || len(f.Survey()) != 1 {
			t.Errorf("decisions %+v", s.decisions)
		}

		open := f.connect("open")
		b.a.Retire()
		b.a.Detach() // and takes a connect back that it had
		time.Sleep(time.Minute)
		if synctest.Wait(); open.decided() != 0 || len(f.Survey()) != 1 {
			t.Errorf("decisions %+v", open.decisions)
		}
		f.attach("c", "c1", nil)
		if synctest.Wait(); open.decision() != Accepted || len(f.Survey()) != 1 {
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
	if s.decision() != Accepted || f.holds("a") != 0 || value(t, f.m.Held) != 0 {
		t.Errorf("decisions %+v", s.decisions)
	}
}

// A service that is only told of connects neither holds nor refuses them, and hears of a socket before its events.
func TestDispatcher_Connect_advisory(t *testing.T) {
	f := newFixture(t, Options{})
	a, b := f.attach("a", "a1", advisory), f.attach("b", "b1", asking)
	s, refused := f.connect("s"), f.connect("refused")
	same(t, "a", a.names())
	b.resolve(t, 1, sio.Result{Outcome: sio.Refused})
	b.resolve(t, 0, sio.Result{})
	same(t, "a", a.names(), "s:connect")
	if s.decision() != Accepted || refused.decision() != Refused {
		t.Errorf("decisions %+v and %+v", s.decisions, refused.decisions)
	}
	a.resolve(t, 0, sio.Result{Outcome: sio.Refused})
	s.emit(t, "x", 1)
	same(t, "a", a.names(), "s:connect", "s:event x")
	if s.decided() != 1 || !a.last().Introduce {
		t.Errorf("decisions %+v", s.decisions)
	}
	a.resolve(t, 1, sio.Result{})
	a.a.Detach()
	absent := f.connect("absent")
	b.resolve(t, len(b.names())-1, sio.Result{})
	if absent.decision() != Accepted || value(t, f.m.Held) != 0 || f.holds("a") != 0 {
		t.Errorf("decisions %+v", absent.decisions)
	}
	absent.emit(t, "x", 1)
	same(t, "a is back", f.attach("a", "a2", advisory).names(), "absent:connect", "absent:event x")
}

// A namespace whose services are absent does not hold connects if none of them is waited for.
func TestDispatcher_Connect_advisoryAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		f.attach("a", "a1", advisory).a.Detach()
		s := f.connect("s")
		if s.decision() != Accepted || value(t, f.m.Held) != 0 {
			t.Errorf("decisions %+v", s.decisions)
		}
		s.binding.Disconnect(sio.ReasonTransportClose)
		a := f.attach("a", "a2", advisory)
		same(t, "a", a.names())
		f.attach("gate", "g1", asking).a.Detach()
		held := f.connect("held")
		if held.decided() != 0 || f.holds("gate") != 1 {
			t.Errorf("decisions %+v", held.decisions)
		}
		time.Sleep(time.Minute)
		if synctest.Wait(); held.decision() != Away || f.holds("gate") != 0 {
			t.Errorf("decisions %+v", held.decisions)
		}
		same(t, "a", a.names())
		f.Close()
	})
}

// In the whole cluster a service is forgotten where it is known; the answer names the replicas that said nothing, or why it was not.
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
