// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// A socket that goes to another instance of its service leaves nothing behind, also where both are
// of another replica.
func TestLocal_release(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dispatchers, nodes := twoReplicas(t)
		handlers := make(map[string]*handler)
		for _, event := range []string{"one", "two"} {
			h := &handler{}
			a, err := dispatchers[1].Attach(&sio.Register{
				Service: "mixed", Instance: sio.InstanceID(event), Window: 8,
				Namespaces: []sio.Registration{{Namespace: "/", Events: []string{event}, Disconnect: true}},
			}, h, dispatch.Local)
			if err != nil {
				t.Fatal(err)
			}
			h.attachment = a
			handlers[event] = h
			defer a.Detach()
		}
		eventually(t, "borrowed", func() bool {
			m := nodes[0].mesh
			m.changing.Lock()
			defer m.changing.Unlock()
			return len(m.borrowed) == 2
		})
		socket := &browser{id: sio.NewSocketID(nodes[0].id)}
		binding := dispatchers[0].ConnectAfter(nil, socket, func(dispatch.Decision) {})
		for n, event := range []string{"one", "two", "one"} {
			if err := binding.Dispatch(t.Context(), &sio.Event{Name: event}, sio.AckID(n), true); err != nil {
				t.Fatal(err)
			}
			h := handlers[event]
			eventually(t, event, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.queue) > 0 })
			h.work()
			eventually(t, "acks", func() bool { return len(socket.seen()) == n+1 })
		}
		synctest.Wait()
		released := "released " + string(socket.id)
		for event, want := range map[string]int{"one": 3, "two": 2} {
			if got := handlers[event].seen(); len(got) != want || got[1] != released {
				t.Errorf("%s saw %q", event, got)
			}
		}
		nodes[1].mesh.remoteLanes.mu.Lock()
		if got := fmt.Sprint(nodes[1].mesh.remoteLanes.here); got != fmt.Sprintf("map[%s:map[{{one %d} %s}:/]]", nodes[0].id, handlers["one"].attachment.Generation(), socket.id) {
			t.Errorf("remoteLanes %s", got)
		}
		nodes[1].mesh.remoteLanes.mu.Unlock()
		binding.Disconnect(sio.ReasonTransportClose)
		eventually(t, "the end", func() bool { return len(handlers["one"].seen()) == 4 })
		handlers["one"].work()
	})
}
