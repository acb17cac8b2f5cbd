// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

// model is the hub as a table of who is in what, by namespace and socket.
type model map[sio.Namespace]map[*fakeSocket]map[sio.Room]bool

func (m model) choose(t sio.Target) []*fakeSocket {
	var chosen []*fakeSocket
	for s, rooms := range m[t.Namespace] {
		in := func(r sio.Room) bool { return rooms[r] }
		if (len(t.Rooms) == 0 || slices.ContainsFunc(t.Rooms, in)) && !slices.ContainsFunc(t.Except, in) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func (m model) rooms() int {
	type key struct {
		ns sio.Namespace
		r  sio.Room
	}
	all := map[key]bool{}
	for ns, sockets := range m {
		for s, rooms := range sockets {
			for r := range rooms {
				if r != s.id.Room() {
					all[key{ns, r}] = true
				}
			}
		}
	}
	return len(all)
}

// Whatever sockets come and go, join and leave, the hub agrees with the plain table on who gets an
// emit and who is where.
func TestHub_Model(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			h := newHub(Alone{})
			h.wide = 4
			m := model{"/": {}, "/a": {}}
			for range 400 {
				step(t, r, h, m)
			}
			for ns, sockets := range m {
				for s := range sockets {
					h.Remove(ns, s.id)
				}
			}
			if len(h.namespaces) != 0 || testutil.ToFloat64(h.metrics.Rooms) != 0 || testutil.ToFloat64(h.metrics.Sockets) != 0 {
				t.Error("something is left of removed sockets")
			}
		})
	}
}

func step(t *testing.T, r *rand.Rand, h *Hub, m model) {
	t.Helper()
	target := randomTarget(r, m)
	chosen := m.choose(target)
	rooms := randomRooms(r, m, target.Namespace)
	switch action := r.IntN(10); action {
	case 0, 1:
		s := addSocket(h, target.Namespace)
		m[target.Namespace][s] = map[sio.Room]bool{s.id.Room(): true}
	case 2:
		if len(chosen) > 0 {
			h.Remove(target.Namespace, chosen[0].id)
			delete(m[target.Namespace], chosen[0])
		}
	case 3, 4, 5:
		if n := h.Apply(&sio.Join{Target: target, Rooms: rooms}); n != len(chosen) {
			t.Fatalf("join of %+v reached %d, want %d", target, n, len(chosen))
		}
		for _, s := range chosen {
			for _, room := range rooms {
				m[target.Namespace][s][room] = true
			}
		}
	case 6:
		h.Apply(&sio.Leave{Target: target, Rooms: rooms})
		for _, s := range chosen {
			for _, room := range rooms {
				if room != s.id.Room() {
					delete(m[target.Namespace][s], room)
				}
			}
		}
	default:
		checkEmit(t, h, m, target, chosen)
	}
	if got := testutil.ToFloat64(h.metrics.Rooms); int(got) != m.rooms() {
		t.Fatalf("%v rooms counted, want %d", got, m.rooms())
	}
}

func checkEmit(t *testing.T, h *Hub, m model, target sio.Target, chosen []*fakeSocket) {
	t.Helper()
	if n := h.Deliver(&sio.Emit{Target: target}); n != len(chosen) {
		t.Fatalf("emit to %+v reached %d, want %d", target, n, len(chosen))
	}
	for ns, sockets := range m {
		for s, rooms := range sockets {
			want := 0
			if ns == target.Namespace && slices.Contains(chosen, s) {
				want = 1
			}
			if len(s.got) != want {
				t.Fatalf("emit to %+v: a socket got it %d times, want %d", target, len(s.got), want)
			}
			s.got = nil
			got := h.Rooms(ns, s.id)
			slices.Sort(got)
			if want := slices.Sorted(maps.Keys(rooms)); !slices.Equal(got, want) {
				t.Fatalf("rooms %q, want %q", got, want)
			}
		}
	}
}

func randomTarget(r *rand.Rand, m model) sio.Target {
	t := sio.Target{Namespace: []sio.Namespace{"/", "/a"}[r.IntN(2)]}
	if r.IntN(4) > 0 {
		t.Rooms = randomRooms(r, m, t.Namespace)
	}
	if r.IntN(3) == 0 {
		t.Except = randomRooms(r, m, t.Namespace)
	}
	return t
}

// randomRooms draws common names and ids of sockets; now and then more than fewRooms.
func randomRooms(r *rand.Rand, m model, ns sio.Namespace) []sio.Room {
	rooms := make([]sio.Room, 1+r.IntN(3)+r.IntN(2)*r.IntN(2*fewRooms))
	sockets := slices.SortedFunc(maps.Keys(m[ns]), func(a, b *fakeSocket) int { return compare(a.id, b.id) })
	for i := range rooms {
		rooms[i] = sio.Room(fmt.Sprint("room", r.IntN(6)))
		if len(sockets) > 0 && r.IntN(3) == 0 {
			rooms[i] = sockets[r.IntN(len(sockets))].id.Room()
		}
	}
	return rooms
}

func compare(a, b sio.SocketID) int {
	if a < b {
		return -1
	}
	return 1
}

// Sockets that come and go while others emit, join and collect leave nothing behind and race with
// nothing.
func TestHub_Concurrent(t *testing.T) {
	h := newHub(Alone{})
	h.wide = 8
	var churn sync.WaitGroup
	for w := range 8 {
		churn.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 2))
			for range 200 {
				s := &fakeSocket{id: sio.NewSocketID(replica)}
				s.deliver = func(d *Delivery) { d.Acked(s.id, sio.Ack{}) }
				h.Add(main, s)
				room := sio.Room(fmt.Sprint(r.IntN(4)))
				h.Apply(&sio.Join{Target: sio.Target{Namespace: main, Rooms: []sio.Room{s.id.Room()}}, Rooms: []sio.Room{room}})
				h.Deliver(emit(main, room))
				if n, acks := collect(t.Context(), h, emit(main, room)); len(acks.Came) != n {
					t.Errorf("%d of %d acks", len(acks.Came), n)
				}
				h.Apply(&sio.Leave{Target: sio.Target{Namespace: main, Rooms: []sio.Room{room}}, Rooms: []sio.Room{room}})
				h.Remove(main, s.id)
			}
		})
	}
	churn.Wait()
	if len(h.namespaces) != 0 || testutil.ToFloat64(h.metrics.Rooms) != 0 {
		t.Error("something is left")
	}
}
