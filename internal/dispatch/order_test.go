// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// inOrder is a service that is asked about connects at its place.
func inOrder(order int) func(*sio.Register) {
	return func(r *sio.Register) { r.Namespaces[0].Connect, r.Namespaces[0].ConnectOrder = true, order }
}

// Services are asked in groups of ascending order, each when all of the group before have accepted.
func TestDispatcher_Connect_order(t *testing.T) {
	f := newFixture(t, Options{})
	last, first, also := f.attach("last", "1", inOrder(9)), f.attach("first", "2", inOrder(0)), f.attach("also", "3", asking)
	middle := f.attach("middle", "4", inOrder(1))
	s := f.connect("s")
	all := func(want ...int) {
		t.Helper()
		for i, x := range []*instance{first, also, middle, last} {
			if n := len(x.names()); n != want[i] {
				t.Errorf("service %d was given %d dispatches, want %d", i, n, want[i])
			}
		}
	}
	all(1, 1, 0, 0)
	also.resolve(t, 0, sio.Result{})
	all(1, 1, 0, 0)
	first.resolve(t, 0, answered("[]"))
	all(1, 1, 1, 0)
	middle.resolve(t, 0, sio.Result{})
	all(1, 1, 1, 1)
	if s.decided() != 0 {
		t.Fatal("decided before the last")
	}
	if d := last.last(); !d.Introduce {
		t.Errorf("dispatch %+v", d)
	}
	last.resolve(t, 0, sio.Result{})
	if s.decision() != Accepted {
		t.Errorf("decisions %+v", s.decisions)
	}
	all(1, 1, 1, 1)
}

// A refusal, a failure or a loss ends the asking: those after never hear of the socket, those
// before hear of its end.
func TestDispatcher_Connect_orderEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(t *testing.T, s *socket, middle *instance)
		kind DecisionKind // 0 means none
	}{
		{"refused", func(t *testing.T, _ *socket, middle *instance) {
			middle.resolve(t, 0, sio.Result{Outcome: sio.Refused})
		}, Refused},
		{"failed", func(t *testing.T, _ *socket, middle *instance) { middle.resolve(t, 0, sio.Result{Outcome: sio.Failed}) }, Refused},
		{"given up", func(_ *testing.T, _ *socket, middle *instance) { middle.a.Abandon(middle.last().ID, "too large") }, Refused},
		{"left", func(_ *testing.T, s *socket, _ *instance) { s.binding.Disconnect(sio.ReasonTransportClose) }, 0},
		{"left, then accepted", func(t *testing.T, s *socket, middle *instance) {
			s.binding.Disconnect(sio.ReasonTransportClose)
			middle.resolve(t, 0, sio.Result{})
			same(t, "middle", middle.names(), "s:connect", "s:disconnect")
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Options{})
			first, middle, last := f.attach("a", "a1", inOrder(1)), f.attach("b", "b1", inOrder(2)), f.attach("c", "c1", inOrder(3))
			s := f.connect("s")
			first.resolve(t, 0, sio.Result{})
			tc.end(t, s, middle)
			if s.decision() != tc.kind {
				t.Errorf("decisions %+v", s.decisions)
			}
			same(t, "first", first.names(), "s:connect", "s:disconnect")
			same(t, "last", last.names())
			same(t, "left", []string{f.left()}, nothingLeft)
		})
	}
}

// A service that is away in the middle of the order holds the connect.
func TestDispatcher_Connect_orderHold(t *testing.T) {
	for _, back := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Options{ConnectHold: 5 * time.Second})
			first, middle, last := f.attach("a", "a1", inOrder(1)), f.attach("b", "b1", inOrder(2)), f.attach("c", "c1", inOrder(3))
			middle.a.Detach()
			s := f.connect("s")
			first.resolve(t, 0, sio.Result{})
			same(t, "last", last.names())
			if n := value(f.m.Held); n != 1 {
				t.Errorf("%d held", n)
			}
			time.Sleep(5*time.Second - 1)
			if !back {
				time.Sleep(1)
				if synctest.Wait(); s.decision() != Away {
					t.Errorf("decisions %+v", s.decisions)
				}
				same(t, "first", first.names(), "s:connect", "s:disconnect")
				same(t, "last", last.names())
			} else {
				f.attach("b", "b2", inOrder(2)).resolve(t, 0, sio.Result{})
				last.resolve(t, 0, sio.Result{})
				if s.decision() != Accepted {
					t.Errorf("decisions %+v", s.decisions)
				}
			}
			time.Sleep(10 * time.Minute) // timers
		})
	}
}

// Instances of one service that declare different orders or patterns are distinguished.
func TestDiffer(t *testing.T) {
	r := sio.Registration{Namespace: "/", Events: []string{"e"}, Connect: true, Messages: []string{"m"}}
	one := &sio.Register{Namespaces: []sio.Registration{r}}
	for name, change := range map[string]func(*sio.Registration){
		"pattern":     func(r *sio.Registration) { r.Pattern = true },
		"order":       func(r *sio.Registration) { r.ConnectOrder = 1 },
		"room events": func(r *sio.Registration) { r.RoomEvents = true },
		"messages":    func(r *sio.Registration) { r.Messages = []string{"*"} },
		"events":      func(r *sio.Registration) { r.Events = nil },
	} {
		other := r
		if differ(one, &sio.Register{Namespaces: []sio.Registration{other}}) {
			t.Errorf("%s: the same differs", name)
		}
		if change(&other); !differ(one, &sio.Register{Namespaces: []sio.Registration{other}}) {
			t.Errorf("%s does not differ", name)
		}
	}
}
