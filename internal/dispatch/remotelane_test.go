// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"sync"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// visitors forward dispatches as other replicas do.
type visitors struct {
	t    *testing.T
	f    *fixture
	g    uint64
	next sio.DispatchID

	mu   sync.Mutex // guards done
	done map[sio.DispatchID]sio.Outcome
}

func newVisitors(t *testing.T, f *fixture) *visitors {
	return &visitors{t: t, f: f, g: f.Attached()[0].Generation, done: map[sio.DispatchID]sio.Outcome{}}
}

func (v *visitors) forward(name, event string) {
	v.t.Helper()
	v.next++
	err := v.f.DispatchRemote("a1", v.g, &Dispatch{
		ID: v.next, Socket: &socket{id: sio.SocketID(name), ns: "/"}, Kind: Event, Event: &sio.Event{Name: event},
	}, func(id sio.DispatchID, r sio.Result) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.done[id] = r.Outcome
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.f.FlushRemote("a1")
}

// However many replicas lend an instance what hangs, and however much a socket of theirs floods,
// part of the window is left to the others.
func TestDispatcher_DispatchRemote_shares(t *testing.T) {
	for name, register := range map[string]func(*sio.Registration){
		"by name":    func(*sio.Registration) {},
		"by pattern": func(r *sio.Registration) { r.Namespace, r.Pattern = "/.*", true },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Options{})
			a := f.attach("a", "a1", func(r *sio.Register) {
				r.Window = 16
				r.Namespaces[0].Events = []string{"stuck", "flood", "fine"}
				register(&r.Namespaces[0])
			})
			v := newVisitors(t, f)
			f.connect("here").emit(t, "stuck", 1)
			for n := range 20 {
				v.forward(fmt.Sprint("far", n), "stuck")
			}
			if got := len(a.names()); got != 12 {
				t.Errorf("%d of 16 are open on the event that hangs, want 12", got)
			}
			for range 10 {
				v.forward("flood", "flood")
			}
			if got := len(a.names()); got != 14 {
				t.Errorf("%d are open, want 2 of the socket that floods beside the 12", got)
			}
			v.forward("other", "fine")
			f.connect("own").emit(t, "fine", 1)
			got := a.names()
			same(t, "given", got[len(got)-2:], "other:event fine", "own:event fine")
			for n := range 33 {
				a.resolve(t, n, answered("[]"))
			}
			if len(v.done) != 31 || len(a.a.remoteLanes.lanes) != 0 || a.a.remoteLanes.bytes != 0 {
				t.Errorf("%d of 31 resolved; %d remoteLanes, %d bytes are left", len(v.done), len(a.a.remoteLanes.lanes), a.a.remoteLanes.bytes)
			}
			if n := value(f.m.WaitingShare) + value(f.m.Open) + value(f.m.Queued) + value(f.m.WaitingWindow) + value(f.m.WaitingPeers); n != 0 {
				t.Errorf("%d are left", n)
			}
		})
	}
}

// A draining instance finishes what other replicas gave it, also what waits; one that detaches
// drops it.
func TestDispatcher_DispatchRemote_leaving(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", func(r *sio.Register) { r.Window = 4 })
	v := newVisitors(t, f)
	for n := range 6 {
		v.forward(fmt.Sprint("far", n), "1")
	}
	empty := a.a.Drain()
	v.forward("late", "1")
	for n := range 7 {
		select {
		case <-empty:
			t.Fatalf("empty after %d of 7", n)
		default:
		}
		a.resolve(t, n, answered("[]"))
	}
	<-empty
	if len(v.done) != 7 {
		t.Errorf("%d of 7 resolved", len(v.done))
	}

	b := f.attach("a", "a1", func(r *sio.Register) { r.Window = 4 })
	v = newVisitors(t, f)
	for n := range 6 {
		v.forward(fmt.Sprint("far", n), "1")
	}
	b.a.Detach()
	if n := value(f.m.Open) + value(f.m.Queued) + value(f.m.WaitingPeers) + value(f.m.WaitingShare); n != 0 || len(v.done) != 0 {
		t.Errorf("%d are left, %d are done", n, len(v.done))
	}
}
