// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const main = sio.MainNamespace

// fakeSocket notes what it was given.
type fakeSocket struct {
	id      sio.SocketID
	deliver func(*Delivery) // may be nil

	mu     sync.Mutex
	got    []*Delivery
	ended  int
	closed bool
}

func (s *fakeSocket) ID() sio.SocketID { return s.id }

func (s *fakeSocket) Deliver(d *Delivery) {
	s.mu.Lock()
	s.got = append(s.got, d)
	s.mu.Unlock()
	if s.deliver != nil {
		s.deliver(d)
	}
}

func (s *fakeSocket) Disconnect(closeSession bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
	s.closed = closeSession
}

func (s *fakeSocket) deliveries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// fakePublisher notes what it was given.
type fakePublisher struct {
	err    error
	gather func(context.Context) (sio.Acks, error)
	found  func() (sio.Found, error)

	uncertain bool

	mu        sync.Mutex
	published []sio.Command
	asked     []sio.Query
}

func (p *fakePublisher) Publish(cmd sio.Command) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.published = append(p.published, cmd)
	return p.err
}

func (p *fakePublisher) Query(_ context.Context, q sio.Query) func() (sio.Found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, q)
	return p.found
}

func (p *fakePublisher) Ask(ctx context.Context, _ *sio.Emit) func() (sio.Acks, error) {
	return func() (sio.Acks, error) {
		if p.gather == nil {
			return sio.Acks{}, p.err
		}
		return p.gather(ctx)
	}
}

func (p *fakePublisher) Others(*sio.Target) int { return 1 }

func (p *fakePublisher) Certain() bool { return !p.uncertain }

const replica = sio.ReplicaID("AAAAAA")

func newHub(p Publisher) *Hub { return New(replica, p, metrics.NewHub(nil)) }

func addSocket(h *Hub, ns sio.Namespace) *fakeSocket {
	s := &fakeSocket{id: sio.NewSocketID(replica)}
	h.Add(ns, s)
	return s
}

func emit(ns sio.Namespace, rooms ...sio.Room) *sio.Emit {
	return &sio.Emit{Target: sio.Target{Namespace: ns, Rooms: rooms}, Event: sio.Event{Name: "e"}}
}

// A target chooses each of its sockets once, whatever the overlap of its rooms, and none of the
// excepted.
func TestHub_Deliver_Target(t *testing.T) {
	h := newHub(Alone{})
	a, b, c := addSocket(h, main), addSocket(h, main), addSocket(h, main)
	other := addSocket(h, "/other")
	join := func(s *fakeSocket, rooms ...sio.Room) {
		h.Apply(&sio.Join{Target: sio.Target{Namespace: main, Rooms: []sio.Room{s.id.Room()}}, Rooms: rooms})
	}
	join(a, "r1", "r2")
	join(b, "r2", "x.*> \x00")
	join(c, a.id.Room())
	many := make([]sio.Room, 0, 20)
	for i := range 20 {
		many = append(many, sio.Room(fmt.Sprint("none", i)))
	}
	for name, test := range map[string]struct {
		rooms, except []sio.Room
		want          []*fakeSocket
	}{
		"whole namespace":        {nil, nil, []*fakeSocket{a, b, c}},
		"own room":               {[]sio.Room{b.id.Room()}, nil, []*fakeSocket{b}},
		"own room joined by one": {[]sio.Room{a.id.Room()}, nil, []*fakeSocket{a, c}},
		"room":                   {[]sio.Room{"r2"}, nil, []*fakeSocket{a, b}},
		"union":                  {[]sio.Room{"r1", "r2", a.id.Room(), "r1"}, nil, []*fakeSocket{a, b, c}},
		"union of many":          {append(slices.Clone(many), "r1", "r2", a.id.Room(), "r1"), nil, []*fakeSocket{a, b, c}},
		"odd name":               {[]sio.Room{"x.*> \x00"}, nil, []*fakeSocket{b}},
		"except room":            {nil, []sio.Room{"r1"}, []*fakeSocket{b, c}},
		"except socket":          {[]sio.Room{"r2"}, []sio.Room{a.id.Room()}, []*fakeSocket{b}},
		"unknown room":           {[]sio.Room{"nobody"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := map[*fakeSocket]int{}
			for _, s := range []*fakeSocket{a, b, c, other} {
				before[s] = s.deliveries()
			}
			n := h.Deliver(&sio.Emit{Target: sio.Target{Namespace: main, Rooms: test.rooms, Except: test.except}})
			if n != len(test.want) {
				t.Errorf("delivered to %d sockets, want %d", n, len(test.want))
			}
			for s, old := range before {
				want := 0
				if slices.Contains(test.want, s) {
					want = 1
				}
				if got := s.deliveries() - old; got != want {
					t.Errorf("%s got %d deliveries, want %d", s.id, got, want)
				}
			}
		})
	}
}

// Removing a socket takes it out of every room, and empty rooms and namespaces leave nothing
// behind.
func TestHub_Remove(t *testing.T) {
	h := newHub(Alone{})
	a, b := addSocket(h, "/n"), addSocket(h, "/n")
	h.Apply(&sio.Join{Target: sio.Target{Namespace: "/n"}, Rooms: []sio.Room{"r", a.id.Room()}})
	if got := h.Rooms("/n", b.id); !slices.Equal(got, []sio.Room{b.id.Room(), "r", a.id.Room()}) {
		t.Errorf("rooms of b: %q", got)
	}
	h.Remove("/n", a.id)
	h.Remove("/n", a.id)
	if n := h.Deliver(emit("/n", "r")); n != 1 {
		t.Errorf("room has %d sockets after one of two left, want 1", n)
	}
	if got := h.Rooms("/n", a.id); got != nil {
		t.Errorf("rooms of a removed socket: %q", got)
	}
	h.Remove("/n", b.id)
	if len(h.namespaces) != 0 {
		t.Errorf("%d namespaces left", len(h.namespaces))
	}
	h.Remove("/n", b.id)
}

// A socket stays in its own room whatever it is asked to leave, and a leave ends only what it
// names.
func TestHub_Leave(t *testing.T) {
	h := newHub(Alone{})
	a := addSocket(h, main)
	all := sio.Target{Namespace: main}
	h.Apply(&sio.Join{Target: all, Rooms: []sio.Room{"r1", "r2", "r1", a.id.Room()}})
	if n := h.Apply(&sio.Leave{Target: sio.Target{Namespace: main, Rooms: []sio.Room{"r1"}}, Rooms: []sio.Room{"r1", a.id.Room(), "none"}}); n != 1 {
		t.Errorf("leave reached %d sockets, want 1", n)
	}
	if got := h.Rooms(main, a.id); !slices.Equal(got, []sio.Room{a.id.Room(), "r2"}) {
		t.Errorf("rooms: %q", got)
	}
}

// A disconnect reaches the target's sockets after the events before it.
func TestHub_Disconnect(t *testing.T) {
	h := newHub(Alone{})
	a, b := addSocket(h, main), addSocket(h, main)
	if n := h.Apply(&sio.Disconnect{Target: sio.Target{Namespace: main, Rooms: []sio.Room{a.id.Room()}}, CloseSession: true}); n != 1 {
		t.Errorf("disconnect reached %d sockets, want 1", n)
	}
	if a.ended != 1 || !a.closed || b.ended != 0 {
		t.Errorf("a ended %d times (session closed: %v), b %d", a.ended, a.closed, b.ended)
	}
	if n := h.Apply(&sio.Disconnect{Target: sio.Target{Namespace: main}}); n != 2 || b.ended != 1 || b.closed {
		t.Errorf("disconnect of all reached %d; b ended %d times", n, b.ended)
	}
}

// A command is published unless no other replica can have a socket of its target.
func TestHub_Execute_Publishes(t *testing.T) {
	p := &fakePublisher{}
	h := newHub(p)
	a := addSocket(h, main)
	foreign := sio.NewSocketID("BBBBBB").Room()
	for name, test := range map[string]struct {
		target sio.Target
		want   int
	}{
		"namespace":            {sio.Target{Namespace: main}, 1},
		"room":                 {sio.Target{Namespace: main, Rooms: []sio.Room{"r"}}, 1},
		"local flag":           {sio.Target{Namespace: main, Local: true}, 0},
		"own socket":           {sio.Target{Namespace: main, Rooms: []sio.Room{a.id.Room()}}, 0},
		"own socket, gone":     {sio.Target{Namespace: main, Rooms: []sio.Room{sio.NewSocketID(replica).Room()}}, 0},
		"foreign socket":       {sio.Target{Namespace: main, Rooms: []sio.Room{foreign}}, 1},
		"own and foreign":      {sio.Target{Namespace: main, Rooms: []sio.Room{a.id.Room(), foreign}}, 1},
		"except does not bind": {sio.Target{Namespace: main, Except: []sio.Room{a.id.Room()}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, cmd := range []sio.Command{&sio.Emit{Target: test.target}, &sio.Join{Target: test.target},
				&sio.Leave{Target: test.target}, &sio.Disconnect{Target: test.target}} {
				p.published = nil
				if _, err := h.Execute(cmd); err != nil {
					t.Fatal(err)
				}
				if len(p.published) != test.want {
					t.Errorf("%T published %d times, want %d", cmd, len(p.published), test.want)
				}
				p.published = nil
				h.Apply(cmd)
				if len(p.published) != 0 {
					t.Errorf("Apply of %T published", cmd)
				}
			}
		})
	}
}

// A backplane that fails is reported, and stops no local delivery.
func TestHub_Emit_ErrUnavailable(t *testing.T) {
	h := newHub(&fakePublisher{err: errors.New("down")})
	a := addSocket(h, main)
	n, err := h.Execute(emit(main))
	if n != 1 || a.deliveries() != 1 || sio.CodeOf(err) != sio.CodeUnavailable {
		t.Errorf("reached %d, delivered %d, err %v", n, a.deliveries(), err)
	}
}

// A delivery is encoded once per kind, however many sockets write it at a time, and each of them
// gets it once.
func TestHub_Deliver_Wide(t *testing.T) {
	h := newHub(Alone{})
	var mu sync.Mutex
	encodes := map[int]int{}
	sockets := make([]*fakeSocket, 3*wideReceivers)
	for i := range sockets {
		sockets[i] = addSocket(h, main)
		sockets[i].deliver = func(d *Delivery) {
			got := d.Encoded(i%Kinds, func() any {
				mu.Lock()
				defer mu.Unlock()
				encodes[i%Kinds]++
				return i % Kinds
			})
			if got != i%Kinds || d.Receivers != len(sockets) {
				t.Errorf("encoding %v of kind %d, %d receivers", got, i%Kinds, d.Receivers)
			}
		}
	}
	for round := 1; round <= 3; round++ {
		if n := h.Deliver(emit(main)); n != len(sockets) {
			t.Fatalf("reached %d", n)
		}
		for _, s := range sockets {
			if s.deliveries() != round {
				t.Fatalf("a socket has %d deliveries after %d emits", s.deliveries(), round)
			}
		}
	}
	for kind, n := range encodes {
		if n != 3 {
			t.Errorf("kind %d was encoded %d times in 3 emits", kind, n)
		}
	}
}

// Delivering to one socket costs the delivery and nothing else.
func TestHub_Deliver_Allocations(t *testing.T) {
	h := newHub(Alone{})
	s := &silentSocket{id: sio.NewSocketID(replica)}
	h.Add(main, s)
	h.Add(main, &silentSocket{id: sio.NewSocketID(replica)})
	e := emit(main, s.id.Room())
	if n := testing.AllocsPerRun(200, func() { h.Deliver(e) }); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

type silentSocket struct{ id sio.SocketID }

func (s *silentSocket) ID() sio.SocketID  { return s.id }
func (s *silentSocket) Deliver(*Delivery) {}
func (s *silentSocket) Disconnect(bool)   {}
