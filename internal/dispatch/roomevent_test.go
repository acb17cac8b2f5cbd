// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

func watching(r *sio.Register) { r.Namespaces[0].RoomEvents = true }

func (s *socket) joins(rooms ...sio.Room) {
	for _, r := range rooms {
		s.binding.RoomEvent(sio.RoomEvent{Change: sio.RoomJoined, Room: r})
	}
	s.binding.FlushRooms()
}

// Room events are handed to the services that asked for them, in order with the socket's other
// dispatches, and before its end, which tells the rooms.
func TestBinding_RoomEvent(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", watching)
	b := f.attach("b", "b1", nil)
	s := f.connect("s")
	if !s.binding.RoomsWatched() {
		t.Error("nobody watches")
	}
	s.joins("r")
	flushes := a.flushes
	s.emit(t, "chat", 1)
	s.joins("q")
	s.binding.Disconnect(sio.ReasonTransportClose, "s", "r", "q")
	s.joins("too late")
	same(t, "a", a.names(), "s:room event", "s:event chat", "s:room event", "s:disconnect")
	same(t, "b", b.names(), "s:event chat", "s:disconnect")
	if e := a.list[0].RoomEvent; e.Change != sio.RoomJoined || e.Room != "r" || !a.list[0].Introduce || flushes == 0 {
		t.Errorf("given %+v, flushed %d times", a.list[0], flushes)
	}
	if got := fmt.Sprint(a.last().Rooms, b.last().Rooms); got != "[s r q] [s r q]" {
		t.Errorf("rooms %s", got)
	}
	for n := range 4 {
		a.resolve(t, n, sio.Result{})
	}
	if value(f.m.RoomEvents) != 2 || value(f.m.Open) != 2 {
		t.Errorf("%d room events, %d open", value(f.m.RoomEvents), value(f.m.Open))
	}
}

// Without a service that subscribed nobody is notified, nor is one in another namespace.
func TestBinding_RoomEvent_unwatched(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", func(r *sio.Register) {
		r.Namespaces = append(r.Namespaces, sio.Registration{Namespace: "/watched", RoomEvents: true})
	})
	s := f.connect("s")
	s.joins("r")
	if s.binding.RoomsWatched() || len(a.names()) != 0 {
		t.Errorf("given %q", a.names())
	}
}

// What finds too many waiting is dropped and counted; the end of the socket is announced all the
// same.
func TestBinding_RoomEvent_bounded(t *testing.T) {
	f := newFixture(t, Options{MaxRoomEvents: 3})
	a := f.attach("a", "a1", func(r *sio.Register) {
		watching(r)
		r.Window = 1
	})
	s := f.connect("s")
	s.joins("open", "1", "2", "3", "4", "5")
	s.binding.Disconnect(sio.ReasonTransportClose)
	if got := value(f.m.DroppedRoom); got != 2 {
		t.Errorf("%d dropped", got)
	}
	for n := range 5 {
		a.resolve(t, n, sio.Result{})
	}
	same(t, "given", a.names(), "s:room event", "s:room event", "s:room event", "s:room event", "s:disconnect")
}
