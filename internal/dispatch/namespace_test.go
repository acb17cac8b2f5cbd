// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// registering replaces what the service declares.
func registering(all ...sio.Registration) func(*sio.Register) {
	return func(r *sio.Register) { r.Namespaces = all }
}

func byPattern(pattern string) sio.Registration {
	return sio.Registration{Namespace: sio.Namespace(pattern), Pattern: true, CatchAll: true, Connect: true, Disconnect: true}
}

// left tells what is left of namespaces.
func (f *fixture) left() string {
	f.namespaces.mu.Lock()
	defer f.namespaces.mu.Unlock()
	return fmt.Sprint(len(f.namespaces.here), f.namespaces.dynamic, value(f.m.DynamicNamespaces))
}

const nothingLeft = "0 0 0"

// A namespace that a pattern matches exists while it has sockets, pending ones included.
func TestDispatcher_pattern(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", registering(byPattern(`/room-\d+`)))
	if s := f.connectTo("/room-x", "n"); s.decision() != UnknownNamespace {
		t.Errorf("decisions %+v", s.decisions)
	}
	same(t, "unknown", []string{f.left()}, nothingLeft)
	s, other := f.connectTo("/room-1", "s"), f.connectTo("/room-1", "o")
	refused := f.connectTo("/room-2", "r")
	same(t, "pending", []string{f.left()}, "2 2 2")
	a.resolve(t, 0, sio.Result{})
	a.resolve(t, 2, sio.Result{Outcome: sio.Refused})
	if s.decision() != Accepted || refused.decision() != Refused {
		t.Errorf("decisions %+v and %+v", s.decisions, refused.decisions)
	}
	same(t, "after the refusal", []string{f.left()}, "1 1 1")
	s.emit(t, "chat", 1)
	s.binding.Disconnect(sio.ReasonTransportClose)
	other.binding.Disconnect(sio.ReasonTransportClose)
	other.binding.Disconnect(sio.ReasonTransportClose)
	same(t, "in the end", []string{f.left()}, nothingLeft)
	same(t, "given", a.names(), "s:connect", "o:connect", "r:connect", "s:event chat", "s:disconnect")
	// the namespace is forgotten by now, and yet the service hears of the end
	a.resolve(t, 1, sio.Result{})
	same(t, "given", a.names(), "s:connect", "o:connect", "r:connect", "s:event chat", "s:disconnect", "o:disconnect")
	if err := s.binding.Dispatch(t.Context(), &sio.Event{Name: "late"}, 0, false); sio.CodeOf(err) != sio.CodeClosed {
		t.Errorf("dispatch after the disconnect: %v", err)
	}
}

// The services of a namespace are all whose registrations match it, and what one service declared
// by name and by pattern unites.
func TestDispatcher_pattern_union(t *testing.T) {
	f := newFixture(t, Options{})
	events := func(ns string, pattern bool, names ...string) sio.Registration {
		return sio.Registration{Namespace: sio.Namespace(ns), Pattern: pattern, Events: names, Disconnect: true}
	}
	a := f.attach("a", "a1", registering(events("/x", false, "one"), events("/.", true, "one", "two")))
	b := f.attach("b", "b1", registering(events("/[xy]", true, "two")))
	c := f.attach("c", "c1", registering(byPattern("/.*")))
	x, y := f.connectTo("/x", "x"), f.connectTo("/y", "y")
	far := f.connectTo("/far", "far")
	for n := range 3 {
		c.resolve(t, n, sio.Result{})
	}
	for _, s := range []*socket{x, y, far} {
		for _, event := range []string{"one", "two", "three"} {
			s.emit(t, event, 1)
		}
	}
	same(t, "a", a.names(), "x:event one", "x:event two", "y:event one", "y:event two")
	same(t, "b", b.names(), "x:event two", "y:event two")
	same(t, "c", c.names(), "x:connect", "y:connect", "far:connect", "x:event three", "y:event three",
		"far:event one", "far:event two", "far:event three")
	x.binding.Disconnect(sio.ReasonTransportClose)
	if last := b.last(); last.Kind != Disconnected {
		t.Errorf("the last is %s", last.what())
	}
}

// There are at most so many namespaces by pattern at a time; those registered by name do not count.
func TestDispatcher_pattern_full(t *testing.T) {
	f := newFixture(t, Options{MaxDynamic: 2})
	free := byPattern("/.*")
	free.Connect = false
	f.attach("a", "a1", registering(free, sio.Registration{Namespace: "/named"}))
	one, _ := f.connectTo("/1", "1"), f.connectTo("/2", "2")
	for ns, want := range map[sio.Namespace]DecisionKind{"/3": NamespacesFull, "/2": Accepted, "/named": Accepted} {
		if s := f.connectTo(ns, "s"); s.decision() != want {
			t.Errorf("%s: decisions %+v", ns, s.decisions)
		}
	}
	if n := value(f.m.NamespacesFull); n != 1 {
		t.Errorf("%d counted", n)
	}
	one.binding.Disconnect(sio.ReasonTransportClose)
	if s := f.connectTo("/3", "s"); s.decision() != Accepted {
		t.Errorf("decisions %+v", s.decisions)
	}
	// What comes to be registered by name makes room.
	f.attach("b", "b1", registering(sio.Registration{Namespace: "/2"}))
	same(t, "left", []string{f.left()}, "3 1 1")
}

// However many names browsers think of, nothing is left of them.
func TestDispatcher_pattern_manyNames(t *testing.T) {
	f := newFixture(t, Options{})
	quiet := byPattern("/[a-m].*")
	quiet.Connect, quiet.Disconnect = false, false
	f.attach("a", "a1", registering(quiet))
	f.attach("b", "b1", registering(byPattern("/[h-z].*")))
	b := f.local["b1"]
	for n := range 100_000 {
		s := f.connectTo(sio.Namespace(fmt.Sprintf("/%c%d", 'a'+n%26, n)), "s")
		for id := range b.open {
			if err := b.Resolve(id, sio.Result{Outcome: sio.Refused}); err != nil {
				t.Fatal(err)
			}
		}
		s.binding.Disconnect(sio.ReasonTransportClose)
	}
	same(t, "left", []string{f.left()}, nothingLeft)
	if n := len(f.routes.Load().unions); n != 1 {
		t.Errorf("%d unions are kept", n)
	}
}

// Unions of many patterns are kept while they are few enough.
func TestDispatcher_pattern_unions(t *testing.T) {
	f := newFixture(t, Options{})
	var all []sio.Registration
	for c := 'a'; c < 'l'; c++ {
		all = append(all, sio.Registration{Namespace: sio.Namespace(fmt.Sprintf("/.*%c.*", c)), Pattern: true})
	}
	f.attach("a", "a1", registering(all...))
	most := 0
	for set := 1; set < 1<<len(all); set++ {
		name := "/"
		for i := range all {
			if set&(1<<i) != 0 {
				name += string(rune('a' + i))
			}
		}
		f.connectTo(sio.Namespace(name), "s").binding.Disconnect(sio.ReasonTransportClose)
		most = max(most, len(f.routes.Load().unions))
	}
	if most != maxUnions {
		t.Errorf("%d unions were kept at a time", most)
	}
}

// Instances that come and go change what the sockets of a namespace are routed to, and the new
// declaration of an instance that attaches again takes effect.
func TestDispatcher_pattern_reroute(t *testing.T) {
	for _, ns := range []sio.Registration{{Namespace: "/x"}, {Namespace: "/[x]", Pattern: true}} {
		declare := func(events ...string) func(*sio.Register) {
			ns := ns
			ns.Events, ns.Disconnect = events, true
			return registering(ns)
		}
		f := newFixture(t, Options{})
		a := f.attach("a", "a1", declare("one"))
		s := f.connectTo("/x", "s")
		s.emit(t, "one", 1)
		s.emit(t, "two", 1)
		a.resolve(t, 0, sio.Result{})
		again := f.attach("a", "a1", declare("two"))
		s.emit(t, "one", 1)
		s.emit(t, "two", 1)
		b := f.attach("b", "b1", registering(sio.Registration{Namespace: "/.*", Pattern: true, Events: []string{"one"}}))
		s.emit(t, "one", 1)
		b.a.Detach()
		f.attach("b", "b2", registering(sio.Registration{Namespace: "/y", CatchAll: true}))
		s.emit(t, "one", 1)
		same(t, "first", a.names(), "s:event one")
		same(t, "again", again.names(), "s:event two")
		same(t, "other service", b.names(), "s:event one")
		if n := value(f.m.Unhandled); n != 3 {
			t.Errorf("%d unhandled", n)
		}
		// The namespace that nobody registers any more takes no new sockets; those that are there
		// may leave.
		f.attach("a", "a1", registering(sio.Registration{Namespace: "/y"}))
		if s := f.connectTo("/x", "late"); s.decision() != UnknownNamespace {
			t.Errorf("decisions %+v", s.decisions)
		}
		s.binding.Disconnect(sio.ReasonTransportClose)
		same(t, "left", []string{f.left()}, nothingLeft)
	}
}

// Connects wait for a service that is away, whether it registered the name or a pattern, and for
// those that are starting.
func TestDispatcher_pattern_hold(t *testing.T) {
	o := Options{ConnectHold: 5 * time.Second, MaxDynamic: 1}
	attach := func(f *fixture) *instance { return f.attach("a", "a1", registering(byPattern("/x.*"))) }
	t.Run("away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, o)
			attach(f).a.Detach()
			s := f.connectTo("/x", "s")
			same(t, "held", []string{f.left()}, "1 1 1")
			if unknown := f.connectTo("/y", "u"); unknown.decision() != UnknownNamespace {
				t.Errorf("decisions %+v", unknown.decisions)
			}
			time.Sleep(o.ConnectHold)
			if synctest.Wait(); s.decision() != Away {
				t.Errorf("decisions %+v", s.decisions)
			}
			same(t, "given up", []string{f.left()}, nothingLeft)
			f.connectTo("/x", "s").binding.Disconnect(sio.ReasonTransportClose)
			same(t, "left", []string{f.left()}, nothingLeft)
		})
	})
	t.Run("comes in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, o)
			first, never := f.connectTo("/x1", "1"), f.connectTo("/y", "n")
			same(t, "held", []string{f.left()}, nothingLeft)
			time.Sleep(o.ConnectHold / 2)
			a := attach(f)
			same(t, "given", a.names(), "1:connect")
			a.a.Detach()
			second := f.connectTo("/x1", "2")
			b := attach(f)
			b.resolve(t, 0, sio.Result{})
			b.resolve(t, 1, sio.Result{})
			if first.decision() != Accepted || second.decision() != Accepted {
				t.Errorf("decisions %+v and %+v", first.decisions, second.decisions)
			}
			time.Sleep(o.ConnectHold)
			if synctest.Wait(); never.decision() != UnknownNamespace {
				t.Errorf("decisions %+v", never.decisions)
			}
			time.Sleep(time.Minute) // the deadline's timer
		})
	})
	t.Run("too many wait", func(t *testing.T) {
		f := newFixture(t, o)
		sockets := []*socket{f.connectTo("/x1", "1"), f.connectTo("/x2", "2")}
		attach(f)
		if n := sockets[0].decided() + sockets[1].decided(); n != 1 || value(f.m.NamespacesFull) != 1 {
			t.Errorf("%d decided", n)
		}
	})
}

// Sockets may come and go at once, while services do, and see every event that is theirs; nothing
// is left of any namespace.
func TestDispatcher_pattern_race(t *testing.T) {
	f := newFixture(t, Options{MaxDynamic: 1000})
	always := byPattern("/.*")
	always.Connect, always.Disconnect = false, false
	f.attach("always", "always", registering(always))
	stop := make(chan struct{})
	var services, sockets sync.WaitGroup
	services.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			f.attach("b", "b1", registering(sio.Registration{Namespace: sio.Namespace(fmt.Sprintf("/[%d-4]", n%4)), Pattern: true, Events: []string{"b"}},
				sio.Registration{Namespace: sio.Namespace(fmt.Sprint("/", n%3))})).a.Detach()
		}
	})
	for k := range 4 {
		sockets.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(k), 1))
			for range 2000 {
				s := f.connectTo(sio.Namespace(fmt.Sprint("/", rng.IntN(5))), "s")
				if s.decision() != Accepted {
					t.Errorf("decisions %+v", s.decisions)
				}
				if r := s.binding.routes(); len(r.find("x")) != 1 {
					t.Errorf("routes %+v", r)
				}
				s.binding.Disconnect(sio.ReasonTransportClose)
			}
		})
	}
	sockets.Wait()
	close(stop)
	services.Wait()
	same(t, "left", []string{f.left()}, nothingLeft)
}

// What changed between two looks is looked up again.
func TestPlaces_found(t *testing.T) {
	f := newFixture(t, Options{})
	old := f.routes.Load()
	f.attach("a", "a1", registering(byPattern("/.*"), sio.Registration{Namespace: "/x"}))
	if _, _, ok := f.namespaces.found("/x", old, nil); ok {
		t.Error("found in a table that is replaced")
	}
	s := f.connectTo("/x", "s")
	if _, _, ok := f.namespaces.found("/x", f.routes.Load(), nil); ok {
		t.Error("a second entry of the same namespace")
	}
	if other := f.connectTo("/y", "o"); other.binding.routes() != f.connectTo("/z", "z").binding.routes() {
		t.Error("equal routes are kept twice")
	}
	f.attach("b", "b1", registering(sio.Registration{Namespace: "/.", Pattern: true}))
	if y, z := f.namespaces.here["/y"].routes.Load(), f.namespaces.here["/z"].routes.Load(); y != z || y == s.binding.routes() {
		t.Error("equal unions are kept twice")
	}
}

// A connect is not held whose services came meanwhile, nor one whose socket left meanwhile.
func TestDispatcher_hold(t *testing.T) {
	f := newFixture(t, Options{})
	early := f.connect("early")
	f.attach("a", "a1", nil)
	if s := f.connect("s"); f.hold(s.binding) {
		t.Error("held, though its service is there")
	}
	if b := (&Binding{d: f.Dispatcher, socket: &socket{ns: "/x"}}); f.hold(b) {
		t.Error("held, though its namespace is unknown")
	}
	early.binding.Disconnect(sio.ReasonTransportClose)
	if f.admit(early.binding); len(f.held) != 0 {
		t.Error("a socket is held that left")
	}
	gone := &Binding{d: f.Dispatcher, socket: &socket{ns: "/"}}
	gone.Disconnect(sio.ReasonTransportClose)
	if f.admit(gone); len(f.held) != 0 || f.namespaces.here["/"].sockets != 1 {
		t.Error("a socket is admitted that left")
	}
}
