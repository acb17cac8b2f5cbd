// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// witness is a socket that writes down what happens to its rooms.
type witness struct {
	*fakeSocket
	idle    bool
	seen    []string
	flushed int // of seen
	log     *[]sio.RoomEvent
}

func (w *witness) RoomsWatched() bool { return !w.idle }
func (w *witness) FlushRooms()        { w.flushed = len(w.seen) }
func (w *witness) RoomChanged(e sio.RoomEvent) {
	room := string(e.Room)
	if e.Room == w.id.Room() {
		room = "own"
	}
	w.seen = append(w.seen, []string{"", "created", "deleted", "joined", "left"}[e.Change]+" "+room)
	if w.log != nil {
		*w.log = append(*w.log, e)
	}
}

// take gives what was notified and flushed since the last time.
func (w *witness) take() []string {
	seen := w.seen[:w.flushed]
	w.seen, w.flushed = w.seen[w.flushed:], 0
	return seen
}

func newWitness() *witness { return &witness{fakeSocket: &fakeSocket{id: sio.NewSocketID(replica)}} }

func (h *Hub) put(w *witness, rooms ...sio.Room) {
	h.Apply(&sio.Join{Target: sio.Target{Namespace: main, Rooms: []sio.Room{w.id.Room()}}, Rooms: rooms})
}

// A watcher is notified of each room as the socket is admitted, joins, leaves and goes, and of the
// first and the last of each room.
func TestHub_RoomEvents(t *testing.T) {
	h := newHub(Alone{})
	a, b := newWitness(), newWitness()
	check := func(what string, w *witness, want ...string) {
		t.Helper()
		if got := w.take(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	h.Add(main, a)
	h.put(a, "early")
	check("before it is admitted", a)
	h.Admit(main, a)
	h.Admit(main, a)
	check("admitted", a, "created own", "joined own", "created early", "joined early")
	h.put(a, "early", "r", a.id.Room())
	check("join", a, "created r", "joined r")
	h.Add(main, b)
	h.Admit(main, b)
	b.take()
	h.put(b, "r", a.id.Room())
	check("second", b, "joined r", "joined "+string(a.id))
	h.Apply(&sio.Leave{Target: sio.Target{Namespace: main}, Rooms: []sio.Room{"early", "none"}})
	check("leave", a, "left early", "deleted early")
	check("leave", b)
	if rooms := h.Remove(main, a.id); !slices.Equal(rooms, []sio.Room{a.id.Room(), "r"}) {
		t.Errorf("was in %q", rooms)
	}
	check("gone", a, "left own", "left r")
	h.Remove(main, b.id)
	check("gone", b, "left own", "deleted own", "left r", "deleted r", "left "+string(a.id), "deleted "+string(a.id))
}

// A socket that is not admitted makes and ends no room for who watches, and neither does one that
// nobody watches.
func TestHub_RoomEvents_Pending(t *testing.T) {
	h := newHub(Alone{})
	pending, idle, a := newWitness(), newWitness(), newWitness()
	idle.idle = true
	for _, w := range []*witness{pending, idle, a} {
		h.Add(main, w)
	}
	h.put(pending, "r")
	h.Admit(main, a)
	h.Admit(main, idle)
	a.take()
	h.put(a, "r")
	if got := a.take(); !slices.Equal(got, []string{"created r", "joined r"}) {
		t.Errorf("joined: %q", got)
	}
	h.Remove(main, a.id)
	if got := a.take(); !slices.Equal(got[2:], []string{"left r", "deleted r"}) {
		t.Errorf("gone: %q", got)
	}
	h.Admit(main, newWitness())
	h.Admit("/none", a)
	h.Remove(main, pending.id)
	h.Remove(main, idle.id)
	if len(pending.seen)+len(idle.seen) != 0 {
		t.Errorf("notified %q, %q", pending.seen, idle.seen)
	}
}

// Whatever happens, the events notified add up to who is where: rooms are created before they are
// joined, deleted after all left, and never twice in a row.
func TestHub_RoomEvents_Model(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		h := newHub(Alone{})
		var log []sio.RoomEvent
		var sockets []*witness
		rooms := []sio.Room{"a", "b", "c"}
		for range 500 {
			room := rooms[r.IntN(len(rooms))]
			target := sio.Target{Namespace: main}
			if r.IntN(2) == 0 {
				target.Rooms = []sio.Room{rooms[r.IntN(len(rooms))]}
			} else if len(sockets) > 0 {
				target.Rooms = []sio.Room{sockets[r.IntN(len(sockets))].id.Room()}
			}
			switch r.IntN(6) {
			case 0:
				w := newWitness()
				w.log = &log
				sockets = append(sockets, w)
				rooms = append(rooms, w.id.Room())
				h.Add(main, w)
			case 1:
				if len(sockets) > 0 {
					h.Admit(main, sockets[r.IntN(len(sockets))])
				}
			case 2:
				if len(sockets) > 0 {
					i := r.IntN(len(sockets))
					h.Remove(main, sockets[i].id)
					sockets = slices.Delete(sockets, i, i+1)
				}
			case 3:
				h.Apply(&sio.Leave{Target: target, Rooms: []sio.Room{room}})
			default:
				h.Apply(&sio.Join{Target: target, Rooms: []sio.Room{room}})
			}
			checkLog(t, h, log)
		}
	}
}

func checkLog(t *testing.T, h *Hub, log []sio.RoomEvent) {
	t.Helper()
	there := map[sio.Room]int{} // how many are in the room
	exists := map[sio.Room]bool{}
	for _, e := range log {
		switch e.Change {
		case sio.RoomCreated:
			if exists[e.Room] {
				t.Fatalf("%s was created twice", e.Room)
			}
			exists[e.Room] = true
		case sio.RoomJoined:
			there[e.Room]++
		case sio.RoomLeft:
			there[e.Room]--
		case sio.RoomDeleted:
			if !exists[e.Room] || there[e.Room] != 0 {
				t.Fatalf("%s was deleted with %d in it", e.Room, there[e.Room])
			}
			delete(exists, e.Room)
			delete(there, e.Room)
		}
	}
	want := map[sio.Room]int{}
	if n := h.namespace(main); n != nil {
		for _, m := range n.sockets {
			for _, r := range m.roomsLocked() {
				if m.admitted {
					want[r]++
				}
			}
		}
	}
	if fmt.Sprint(there) != fmt.Sprint(want) || len(exists) != len(want) {
		t.Fatalf("notified %v, %d rooms; there are %v", there, len(exists), want)
	}
}
