// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"testing"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// visitor is a browser in a namespace of its own.
type visitor struct {
	browser
	namespace sio.Namespace
}

func (v *visitor) Namespace() sio.Namespace { return v.namespace }

// Patterns and orders hold for instances of other replicas, and so does what an instance declares
// when it attaches again.
func TestLocal_patterns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dispatchers, nodes := twoReplicas(t)
		join := func(service sio.ServiceName, r sio.Registration) *handler {
			h := &handler{}
			a, err := dispatchers[1].Attach(&sio.Register{
				Service: service, Instance: sio.InstanceID(service), Window: 8, Namespaces: []sio.Registration{r},
			}, h, dispatch.Local)
			if err != nil {
				t.Fatal(err)
			}
			h.attachment = a
			eventually(t, "borrowed", func() bool {
				m := nodes[0].mesh
				m.changing.Lock()
				defer m.changing.Unlock()
				b := m.borrowed[sio.InstanceID(service)]
				return b != nil && b.generation == a.Generation()
			})
			return h
		}
		rooms := sio.Registration{Namespace: `/room-\d+`, Pattern: true, Connect: true, Disconnect: true, Events: []string{"one"}}
		later := rooms
		later.ConnectOrder = 1
		second := join("second", later)
		first := join("first", rooms)

		socket := &visitor{browser{id: sio.NewSocketID(nodes[0].id)}, "/room-7"}
		decision := make(chan dispatch.Decision, 1)
		binding := dispatchers[0].ConnectAfter(nil, socket, func(d dispatch.Decision) { decision <- d })
		eventually(t, "asked", func() bool { return len(first.seen()) == 1 })
		synctest.Wait()
		if got := second.seen(); len(got) != 0 {
			t.Errorf("the second was handed %q before its turn", got)
		}
		first.work()
		eventually(t, "asked", func() bool { return len(second.seen()) == 1 })
		second.work()
		if d := <-decision; d.Kind != dispatch.Accepted {
			t.Fatalf("decision %+v", d)
		}
		to := lentTo{"first", first.attachment.Generation()}
		if !nodes[1].mesh.wantsDisconnect(to, "/room-7") {
			t.Error("the first would not be notified of the end when its socket's replica died")
		}
		if nodes[1].mesh.wantsDisconnect(to, "/hall") {
			t.Error("the first would be notified of sockets of other namespaces")
		}

		rooms.Events = []string{"two"}
		again := join("first", rooms)
		for _, event := range []string{"one", "two"} {
			if err := binding.Dispatch(t.Context(), &sio.Event{Name: event}, 1, true); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "events", func() bool { return len(again.seen()) == 1 && len(second.seen()) == 2 })
		again.work()
		second.work()
		eventually(t, "acks", func() bool { return len(socket.seen()) == 2 })

		rooms.Events = []string{"three"} // without a new stream
		if err := again.attachment.Declare([]sio.Registration{rooms}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := binding.Dispatch(t.Context(), &sio.Event{Name: "three"}, 1, true); err != nil {
			t.Fatal(err)
		}
		eventually(t, "an event that was declared late", func() bool { return len(again.seen()) == 2 })
		again.work()

		rooms.Namespace = "/[h]all"
		join("first", rooms)
		unknown := &visitor{browser{id: sio.NewSocketID(nodes[0].id)}, "/cellar"}
		dispatchers[0].ConnectAfter(nil, unknown, func(d dispatch.Decision) { decision <- d })
		if d := <-decision; d.Kind != dispatch.UnknownNamespace {
			t.Errorf("decision %+v", d)
		}
		binding.Disconnect(sio.ReasonTransportClose)
		eventually(t, "the end", func() bool { return len(second.seen()) == 3 })
		second.work()
		second.attachment.Detach()
	})
}
