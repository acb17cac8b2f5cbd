// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// notified gives what the service got of rooms and disconnects of the namespace, "own" for the
// sockets' own rooms.
func (w *world) notified(ns sio.Namespace) (all []string) {
	for _, c := range w.service.of(ns) {
		name := strings.NewReplacer(string(c.socket.ID()), "own")
		switch c.kind {
		case dispatch.RoomEvent:
			all = append(all, []string{"", "created ", "deleted ", "joined ", "left "}[c.room.Change]+name.Replace(string(c.room.Room)))
		case dispatch.Disconnected:
			all = append(all, name.Replace(fmt.Sprint("gone ", c.rooms)))
		case dispatch.Connect:
			all = append(all, "connect")
		}
	}
	return all
}

// A service that asks for it hears of a socket's rooms from its connect to its end, and at last in
// which it was. Of one that was refused it hears nothing.
func TestSocket_RoomEvents(t *testing.T) {
	watched := func(s *setup) {
		s.register.Namespaces[1].RoomEvents = true
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Connect {
				s := c.socket.(*Socket)
				s.client.server.hub.Apply(&sio.Join{Target: sio.Target{Namespace: "/admin", Rooms: []sio.Room{s.id.Room()}}, Rooms: []sio.Room{"early"}})
				if string(c.socket.Introduction().Auth) == `{"no":1}` {
					return &sio.Result{Outcome: sio.Refused}
				}
			}
			return echo(c)
		}
	}
	bothTransports(t, watched, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.SendConnect("/admin", map[string]any{"no": 1})
		b.Refused("/admin")
		if got := w.notified("/admin"); !slices.Equal(got, []string{"connect"}) {
			t.Errorf("of one that was refused: %q", got)
		}
		s := b.Connect("/admin", nil)
		b.Connect("/", nil)
		w.hub.Apply(&sio.Join{Target: sio.Target{Namespace: "/admin"}, Rooms: []sio.Room{"r"}})
		s.Disconnect()
		synctest.Wait()
		want := []string{
			"connect", "connect", "created own", "joined own", "created early", "joined early", "created r", "joined r",
			"left own", "deleted own", "left early", "deleted early", "left r", "deleted r", "gone [own early r]",
		}
		if got := w.notified("/admin"); !slices.Equal(got, want) {
			t.Errorf("notified\n%q, want\n%q", got, want)
		}
		if got := w.notified("/"); !slices.Equal(got, []string{"connect"}) {
			t.Errorf("notified of another namespace %q", got)
		}
	})
}
