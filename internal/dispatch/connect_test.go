// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Every service that asks for connects must accept; the first refusal decides; a failure refuses
// with a general message.
func TestDispatcher_Connect(t *testing.T) {
	refusal := sio.Result{Outcome: sio.Refused, Message: "no", Data: []byte(`1`)}
	for _, tc := range []struct {
		name string
		a, b sio.Result
		want Decision
	}{
		{"both accept", sio.Result{}, answered("[]"), Decision{Kind: Accepted}},
		{"second refuses", sio.Result{}, refusal, Decision{Kind: Refused, Message: "no", Data: []byte(`1`)}},
		{"first refuses", refusal, sio.Result{}, Decision{Kind: Refused, Message: "no", Data: []byte(`1`)}},
		{"no words", sio.Result{Outcome: sio.Refused}, sio.Result{}, Decision{Kind: Refused, Message: refusedMessage}},
		{"failure", sio.Result{Outcome: sio.Failed, Message: "secret"}, sio.Result{}, Decision{Kind: Refused, Message: failedMessage}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Options{})
			a, b := f.attach("a", "a1", asking), f.attach("b", "b1", asking)
			f.attach("c", "c1", nil)
			s := f.connect("s")
			if s.decided() != 0 {
				t.Fatal("decided before the services")
			}
			a.resolve(t, 0, tc.a)
			b.resolve(t, 0, tc.b)
			if s.decided() != 1 || s.decisions[0].Kind != tc.want.Kind || s.decisions[0].Message != tc.want.Message ||
				string(s.decisions[0].Data) != string(tc.want.Data) {
				t.Errorf("decisions %+v, want %+v", s.decisions, tc.want)
			}
			// and the service that accepted is notified that the socket is gone
			want := []string{"s:connect"}
			for _, x := range []struct {
				i *instance
				r sio.Result
			}{{a, tc.a}, {b, tc.b}} {
				given := want
				if accepts := x.r.Outcome == sio.Handled || x.r.Outcome == sio.Answered; accepts && tc.want.Kind != Accepted {
					given = append(given[:1:1], "s:disconnect")
				}
				same(t, "given", x.i.names(), given...)
			}
		})
	}
}

// Unknown namespaces are refused at once when others are known; connects wait for what is away, and
// then the client is to try again.
func TestDispatcher_Connect_hold(t *testing.T) {
	o := Options{ConnectHold: 5 * time.Second}
	t.Run("unknown", func(t *testing.T) {
		f := newFixture(t, o)
		f.attach("a", "a1", nil)
		if s := f.connectTo("/other", "s"); s.decision() != UnknownNamespace {
			t.Errorf("decisions %+v", s.decisions)
		}
	})
	t.Run("nothing registered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, o)
			s := f.connect("s")
			time.Sleep(o.ConnectHold - 1)
			if synctest.Wait(); s.decided() != 0 {
				t.Errorf("decided early: %+v", s.decisions)
			}
			time.Sleep(1)
			if synctest.Wait(); s.decision() != Away {
				t.Errorf("decisions %+v", s.decisions)
			}
		})
	})
	t.Run("comes in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, o)
			s := f.connect("s")
			time.Sleep(o.ConnectHold / 2)
			a := f.attach("a", "a1", asking)
			same(t, "given", a.names(), "s:connect")
			a.resolve(t, 0, sio.Result{})
			if s.decision() != Accepted {
				t.Errorf("decisions %+v", s.decisions)
			}
			time.Sleep(time.Minute)
		})
	})
	t.Run("one service away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, o)
			a, b := f.attach("a", "a1", asking), f.attach("b", "b1", asking)
			b.a.Detach()
			s := f.connect("s")
			a.resolve(t, 0, sio.Result{})
			time.Sleep(o.ConnectHold)
			if synctest.Wait(); s.decision() != Away {
				t.Errorf("decisions %+v", s.decisions)
			}
			same(t, "given", a.names(), "s:connect", "s:disconnect")
			same(t, "given later", f.attach("b", "b2", asking).names())
			a.resolve(t, 1, sio.Result{})
			if n := value(f.m.Held) + value(f.m.Queued) + value(f.m.Open); n != 0 {
				t.Errorf("%d are left", n)
			}
			time.Sleep(time.Minute) // the deadline's timer
		})
	})
	t.Run("dies while asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, o)
			a := f.attach("a", "a1", asking)
			s := f.connect("s")
			a.a.Detach()
			time.Sleep(o.ConnectHold / 2)
			b := f.attach("a", "a2", asking)
			if d := b.last(); d.Redeliveries != 1 || d.ID != a.last().ID || !d.Introduce {
				t.Errorf("dispatch %+v", d)
			}
			b.resolve(t, 0, sio.Result{})
			if s.decision() != Accepted {
				t.Errorf("decisions %+v", s.decisions)
			}
			time.Sleep(time.Minute)
		})
	})
	t.Run("one service away, leaves", func(t *testing.T) {
		f := newFixture(t, Options{ConnectHold: 5 * time.Second, HoldSockets: 2})
		a, b := f.attach("a", "a1", asking), f.attach("b", "b1", asking)
		known := f.connect("known")
		a.resolve(t, 0, sio.Result{})
		b.resolve(t, 0, sio.Result{})
		b.a.Detach()
		for _, id := range []string{"1", "2", "3", "4"} { // more than HoldSockets come and go
			s := f.connect(id)
			if n := value(f.m.WaitingInstance); n != 1 {
				t.Errorf("%d wait while %s is there", n, id)
			}
			s.binding.Disconnect(sio.ReasonTransportClose)
			if n := value(f.m.WaitingInstance); n != 0 {
				t.Errorf("%d wait when %s has left", n, id)
			}
		}
		known.binding.Disconnect(sio.ReasonTransportClose)
		same(t, "given later", f.attach("b", "b2", asking).names(), "known:disconnect")
	})
	t.Run("leaves while held", func(t *testing.T) {
		f := newFixture(t, o)
		s := f.connect("s")
		s.binding.Disconnect(sio.ReasonTransportClose)
		same(t, "given", f.attach("a", "a1", asking).names())
		if s.decided() != 0 {
			t.Errorf("decisions %+v", s.decisions)
		}
	})
}

// Exactly the services that accepted a socket, or were given events of it, are notified that it is
// gone, once and last.
func TestBinding_Disconnect(t *testing.T) {
	t.Run("involved", func(t *testing.T) {
		f := newFixture(t, Options{})
		asked, given := f.attach("asked", "1", asking), f.attach("given", "2", nil)
		idle := f.attach("idle", "3", func(r *sio.Register) { r.Namespaces[0].CatchAll = false })
		deaf := f.attach("deaf", "4", func(r *sio.Register) { r.Namespaces[0].Disconnect = false })
		s := f.connect("s")
		asked.resolve(t, 0, sio.Result{})
		s.emit(t, "chat", 1)
		s.binding.Disconnect(sio.ReasonPingTimeout)
		s.binding.Disconnect(sio.ReasonTransportClose)
		same(t, "asked", asked.names(), "s:connect", "s:event chat", "s:disconnect")
		same(t, "given", given.names(), "s:event chat", "s:disconnect")
		same(t, "idle", idle.names())
		same(t, "deaf", deaf.names(), "s:event chat")
		if r := given.last().Reason; r != sio.ReasonPingTimeout {
			t.Errorf("reason %q", r)
		}
		if err := s.binding.Dispatch(t.Context(), &sio.Event{Name: "late"}, 0, false); sio.CodeOf(err) != sio.CodeClosed {
			t.Errorf("dispatch after the disconnect: %v", err)
		}
	})
	for _, tc := range []struct {
		name   string
		result sio.Result
		want   []string
	}{
		{"connect open, accepted", sio.Result{}, []string{"s:connect", "s:disconnect"}},
		{"connect open, refused", sio.Result{Outcome: sio.Refused}, []string{"s:connect"}},
		{"connect open, failed", sio.Result{Outcome: sio.Failed}, []string{"s:connect"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Options{})
			a := f.attach("a", "1", asking)
			s := f.connect("s")
			s.binding.Disconnect(sio.ReasonTransportClose)
			same(t, "given before the result", a.names(), "s:connect")
			a.resolve(t, 0, tc.result)
			same(t, "given", a.names(), tc.want...)
			if s.decided() != 0 {
				t.Errorf("decisions %+v", s.decisions)
			}
		})
	}
	t.Run("connect not yet given", func(t *testing.T) {
		f := newFixture(t, Options{})
		a := f.attach("a", "1", func(r *sio.Register) { asking(r); r.Window = 1 })
		f.connect("first")
		s := f.connect("s")
		s.binding.Disconnect(sio.ReasonTransportClose)
		a.resolve(t, 0, sio.Result{})
		same(t, "given", a.names(), "first:connect")
	})
	t.Run("redelivered", func(t *testing.T) {
		f := newFixture(t, Options{})
		a := f.attach("a", "1", nil)
		s := f.connect("s")
		s.emit(t, "chat", 1)
		s.binding.Disconnect(sio.ReasonTransportClose)
		a.a.Detach()
		same(t, "given", f.attach("a", "2", nil).names(), "s:event chat", "s:disconnect")
	})
}

// A socket that came back under its old id is met after the end of the old one, whatever waits for
// that, and also when it came back twice.
func TestDispatcher_ConnectAfter(t *testing.T) {
	back := func(f *fixture, old *Binding) *socket {
		s := &socket{id: "s", ns: "/"}
		s.binding = f.ConnectAfter(old, s, func(d Decision) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.decisions = append(s.decisions, d)
		})
		return s
	}
	t.Run("OK", func(t *testing.T) {
		f := newFixture(t, Options{})
		a := f.attach("a", "a1", asking)
		b := f.attach("a", "a2", asking)
		first := f.connect("s")
		if len(a.names()) == 0 {
			a, b = b, a
		}
		a.resolve(t, 0, sio.Result{})
		first.emit(t, "slow", 1)
		first.binding.Disconnect(sio.ReasonTransportClose)
		second := back(f, first.binding)
		second.binding.Disconnect(sio.ReasonTransportClose) // before anyone heard of it
		third := back(f, second.binding)
		same(t, "given", append(a.names(), b.names()...), "s:connect", "s:event slow", "s:disconnect")
		a.resolve(t, 1, sio.Result{})
		if third.decided() != 0 {
			t.Fatal("decided")
		}
		a.resolve(t, 2, sio.Result{})
		heir := b
		if len(b.names()) == 0 {
			heir = a
		}
		if heir.last().Kind != Connect {
			t.Fatalf("given %q and %q", a.names(), b.names())
		}
		heir.resolve(t, len(heir.names())-1, sio.Result{})
		if third.decision() != Accepted || third.binding.first.after != nil {
			t.Errorf("decisions %+v", third.decisions)
		}
		third.binding.Disconnect(sio.ReasonTransportClose)
		heir.resolve(t, len(heir.names())-1, sio.Result{})
		if fourth := back(f, third.binding); fourth.binding.after != nil {
			t.Error("finished bindings are kept")
		}
	})
	t.Run("unasked", func(t *testing.T) {
		f := newFixture(t, Options{})
		a := f.attach("a", "a1", nil)
		first := f.connect("s")
		first.emit(t, "slow", 1)
		first.binding.Disconnect(sio.ReasonTransportClose)
		second := back(f, first.binding)
		second.emit(t, "next", 2)
		same(t, "given", a.names(), "s:event slow", "s:disconnect")
		a.resolve(t, 0, sio.Result{})
		a.resolve(t, 1, sio.Result{})
		same(t, "given", a.names(), "s:event slow", "s:disconnect", "s:event next")
	})
	t.Run("away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Options{ConnectHold: 5 * time.Second})
			a := f.attach("a", "a1", asking)
			first := f.connect("s")
			a.resolve(t, 0, sio.Result{})
			first.binding.Disconnect(sio.ReasonTransportClose)
			second := back(f, first.binding)
			time.Sleep(5*time.Second + time.Millisecond)
			synctest.Wait()
			if second.decision() != Away || value(f.m.Held) != 0 {
				t.Errorf("decisions %+v", second.decisions)
			}
			a.resolve(t, 1, sio.Result{})
			same(t, "given", a.names(), "s:connect", "s:disconnect")
		})
	})
}
