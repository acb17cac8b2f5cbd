// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/backplane/memory"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// browser is a socket whose browser notes its acks.
type browser struct {
	id sio.SocketID

	mu   sync.Mutex
	acks []string
}

func (b *browser) ID() sio.SocketID         { return b.id }
func (b *browser) Namespace() sio.Namespace { return sio.MainNamespace }
func (b *browser) Flush()                   {}

func (b *browser) Introduction() dispatch.Introduction {
	return dispatch.Introduction{Handshake: &sio.Handshake{URL: "/socket.io/"}, Auth: []byte(`{"token":"t"}`), Recovered: true, Data: sio.Data{Value: []byte("7"), Version: 3}}
}

func (b *browser) Acknowledge(id sio.AckID, ack sio.Ack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks = append(b.acks, fmt.Sprintf("%d%s", id, ack.Args))
}

func (b *browser) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.acks...)
}

// handler is an instance that answers each dispatch with what it was, in a goroutine's stead: when
// the test says so.
type handler struct {
	mu         sync.Mutex
	attachment *dispatch.Attachment
	queue      []handed
	log        []string
}

type handed struct {
	id     sio.DispatchID
	answer string
}

func (h *handler) Release(id sio.SocketID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, "released "+string(id))
}

func (h *handler) Queue(d *dispatch.Dispatch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what := ""
	switch d.Kind {
	case dispatch.Connect:
		what = "connect"
		if d.Socket.Introduction().Recovered {
			what = "recovered"
		}
	case dispatch.Event:
		what = d.Event.Name + string(d.Event.Args)
	case dispatch.Disconnected:
		what = fmt.Sprint("disconnected ", d.Reason, d.Rooms)
	case dispatch.RoomEvent:
		what = fmt.Sprint("room ", d.RoomEvent)
	}
	if d.Introduce {
		introduction := d.Socket.Introduction()
		what += " introduced " + introduction.Handshake.URL + string(introduction.Auth) + string(introduction.Data.Value)
	}
	if d.Redeliveries > 0 {
		what += " again"
	}
	h.log = append(h.log, what)
	h.queue = append(h.queue, handed{d.ID, fmt.Sprintf("[%q]", what)})
}

func (h *handler) Flush() {}

// work resolves what waits.
func (h *handler) work() {
	h.mu.Lock()
	queue := h.queue
	h.queue = nil
	h.mu.Unlock()
	for _, x := range queue {
		_ = h.attachment.Resolve(x.id, sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: []byte(x.answer)}})
	}
	h.attachment.Flush()
}

func (h *handler) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.log...)
}

func attach(t *testing.T, d *dispatch.Dispatcher, id sio.InstanceID) *handler {
	t.Helper()
	h := &handler{}
	a, err := d.Attach(&sio.Register{
		Service: "s", Instance: id, Window: 8,
		Namespaces: []sio.Registration{{Namespace: "/", CatchAll: true, Connect: true, Disconnect: true, RoomEvents: true}},
	}, h, dispatch.Local)
	if err != nil {
		t.Fatal(err)
	}
	h.attachment = a
	return h
}

// twoReplicas gives two with real dispatchers, the first of which knows the second.
func twoReplicas(t *testing.T) ([]*dispatch.Dispatcher, []*node) {
	t.Helper()
	bus := memory.NewBus(memory.DefaultPending)
	dispatchers := make([]*dispatch.Dispatcher, 2)
	nodes := make([]*node, 2)
	for i := range nodes {
		dispatchers[i] = dispatch.New(dispatch.Options{}, metrics.NewDispatch(nil), slog.New(slog.DiscardHandler))
		nodes[i] = newNodeWith(t, bus.New(metrics.NewBackplane(nil)), ForDispatcher(dispatchers[i]))
	}
	know(t, nodes[0], 2)
	return dispatchers, nodes
}

// Between real dispatchers a socket of one replica is served by an instance of the other: it
// connects, its events are answered in order, what is open when the instance goes is given to the
// next, and its end is announced.
func TestLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dispatchers, nodes := twoReplicas(t)
		first := attach(t, dispatchers[1], "first")
		eventually(t, "borrowed", func() bool { return nodes[0].mesh.borrowedFrom("first") == nodes[1].id })

		socket := &browser{id: sio.NewSocketID(nodes[0].id)}
		decision := make(chan dispatch.Decision, 1)
		binding := dispatchers[0].ConnectAfter(nil, socket, func(d dispatch.Decision) { decision <- d })
		eventually(t, "asked", func() bool { return len(first.seen()) == 1 })
		first.work()
		if d := <-decision; d.Kind != dispatch.Accepted {
			t.Fatalf("decision %+v", d)
		}
		var want []string
		for i := range 30 {
			args := fmt.Sprintf("[%d]", i)
			if err := binding.Dispatch(t.Context(), &sio.Event{Name: "e", Args: []byte(args)}, sio.AckID(i), true); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf(`%d["e%s"]`, i, args))
		}
		eventually(t, "acks", func() bool { first.work(); return len(socket.seen()) == 30 })
		if got := socket.seen(); !reflect.DeepEqual(got, want) {
			t.Errorf("acks %q", got)
		}
		if got := first.seen()[0]; got != `recovered introduced /socket.io/{"token":"t"}7` {
			t.Errorf("the first was handed %q", got)
		}

		if err := binding.Dispatch(t.Context(), &sio.Event{Name: "open"}, 99, true); err != nil {
			t.Fatal(err)
		}
		eventually(t, "open", func() bool { return len(first.seen()) == 32 })
		second := attach(t, dispatchers[1], "second")
		eventually(t, "borrowed", func() bool { return nodes[0].mesh.borrowedFrom("second") == nodes[1].id })
		first.attachment.Detach()
		eventually(t, "given to the second", func() bool { return len(second.seen()) == 1 })
		if got := second.seen()[0]; got != `open introduced /socket.io/{"token":"t"}7 again` {
			t.Errorf("the second was handed %q", got)
		}
		second.work()
		eventually(t, "the ack", func() bool { return len(socket.seen()) == 31 })
		binding.RoomEvent(sio.RoomEvent{Change: sio.RoomJoined, Room: "r"})
		binding.FlushRooms()
		binding.Disconnect(sio.ReasonTransportClose, "own", "r")
		eventually(t, "its end", func() bool { return len(second.seen()) == 3 })
		if got := second.seen()[1:]; !reflect.DeepEqual(got, []string{"room {3 r}", "disconnected transport close[own r]"}) {
			t.Errorf("the second was notified of %q", got)
		}
		second.work()
		second.attachment.Detach()
	})
}
