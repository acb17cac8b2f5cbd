// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/backplanetest"
	"github.com/spanwire/spanwire/internal/backplane/memory"
	"github.com/spanwire/spanwire/internal/backplane/nats"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// cluster is a test on n replicas that know each other.
type cluster func(t *testing.T, nodes []*node, more func() *node)

// onMemory runs the test on a bus in a bubble, where time is not real.
func onMemory(t *testing.T, n int, test cluster) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bus := memory.NewBus(memory.DefaultPending)
		more := func() *node { return newNode(t, bus.New(metrics.NewBackplane(nil))) }
		test(t, gathered(t, n, more), more)
	})
}

// onNATS runs the test on the embedded server of one replica.
func onNATS(t *testing.T, n int, test cluster) {
	t.Helper()
	o := nats.Default()
	o.Listen, o.MaxEnvelope = "127.0.0.1:0", maxEnvelope
	log := slog.New(slog.DiscardHandler)
	server, err := nats.New(o, metrics.NewBackplane(nil), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	o.URL, o.Listen = "nats://"+server.Address(), ""
	more := func() *node {
		b, err := nats.New(o, metrics.NewBackplane(nil), log)
		if err != nil {
			t.Fatal(err)
		}
		return newNode(t, b)
	}
	test(t, gathered(t, n, more), more)
}

func onBoth(t *testing.T, n int, test cluster) {
	t.Run("Memory", func(t *testing.T) { onMemory(t, n, test) })
	t.Run("NATS", func(t *testing.T) { onNATS(t, n, test) })
}

func gathered(t testing.TB, n int, more func() *node) []*node {
	t.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = more()
	}
	for _, x := range nodes {
		know(t, x, n)
	}
	return nodes
}

// know waits until the replica knows of n, itself included.
func know(t testing.TB, x *node, n int) {
	t.Helper()
	eventually(t, fmt.Sprint("replicas known: ", n), func() bool { return len(x.mesh.Replicas()) == n })
}

// Replicas find each other at once, tell their addresses, and say bye.
func TestMesh_Membership(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, nodes []*node, more func() *node) {
		a, b := nodes[0], nodes[1]
		changes, stop := a.mesh.Watch()
		defer stop()
		c := more()
		<-changes
		for _, x := range []*node{a, b, c} {
			know(t, x, 3)
			if first := x.mesh.Replicas()[0]; first.ID != x.id || first.GRPCAddress != "grpc-"+string(x.id) {
				t.Errorf("first of the list is %+v", first)
			}
		}
		if r, ok := a.mesh.Replica(c.id); !ok || r.HTTPAddress != "http-"+string(c.id) || r.GRPCAddress != "grpc-"+string(c.id) || r.ForwardAddress != "forward-"+string(c.id) {
			t.Errorf("a knows of c: %+v, %v", r, ok)
		}
		b.stop()
		<-changes
		know(t, a, 2)
		know(t, c, 2)
		if testutil.ToFloat64(a.mesh.metrics.Left) != 1 || testutil.ToFloat64(a.mesh.metrics.Died) != 0 {
			t.Error("a bye was not taken for one")
		}
	})
}

// A replica that falls silent is dropped after a while, not before, and is taken back when it
// speaks again.
func TestMesh_Death(t *testing.T) {
	onMemory(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		c.link.set(func(f *faulty) { f.mute = true })
		start := time.Now()
		know(t, a, 2)
		know(t, b, 2)
		if took := time.Since(start); took < 8*time.Second || took > 13*time.Second {
			t.Errorf("took %v", took)
		}
		if testutil.ToFloat64(a.mesh.metrics.Died) != 1 {
			t.Error("not counted")
		}
		know(t, c, 3) // it still hears the others
		c.link.set(func(f *faulty) { f.mute = false })
		know(t, a, 3)
		if testutil.ToFloat64(a.metrics.Lost) == 0 {
			t.Error("what it said meanwhile is not reported as lost")
		}
	})
}

// A replica that was suspended does not take the others for dead, and asks who is there.
func TestMesh_Suspended(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		b.link.set(func(f *faulty) { f.mute = true })
		time.Sleep(9 * time.Second) // in the bubble's time
		a.mesh.tick(time.Now().Add(time.Minute), true)
		if len(a.mesh.Replicas()) != 2 {
			t.Error("the other is taken for dead")
		}
	})
}

// Commands reach the sockets of every replica, in order, and each once; one for a single socket
// goes to its replica alone.
func TestMesh_Commands(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		before := testutil.ToFloat64(c.metrics.Received)
		run := func(cmd sio.Command) {
			t.Helper()
			if _, err := a.hub.Execute(cmd); err != nil {
				t.Fatal(err)
			}
		}
		toB := sio.Target{Namespace: sio.MainNamespace, Rooms: []sio.Room{b.socket.id.Room()}}
		run(&sio.Join{Target: toB, Rooms: []sio.Room{"room"}})
		for i := range 50 {
			run(&sio.Emit{Target: toB, Event: sio.Event{Name: fmt.Sprint(i)}})
		}
		_ = a.emit("room", "room")
		_ = a.emit("all")
		run(&sio.Leave{Target: toB, Rooms: []sio.Room{"room"}})
		_ = a.emit("nobody", "room")
		run(&sio.Disconnect{Target: toB})
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
		}
		want = append(want, "room", "all", "disconnect")
		eventually(t, "b has all", func() bool { return len(b.socket.events()) == len(want) })
		if got := b.socket.events(); !slices.Equal(got, want) {
			t.Errorf("b got %q", got)
		}
		eventually(t, "c has its own", func() bool { return len(c.socket.events()) == 1 })
		if n := testutil.ToFloat64(c.metrics.Received) - before; n >= 50 {
			t.Errorf("c received %v envelopes though most were for b", n)
		}
		if got := a.socket.events(); !slices.Equal(got, []string{"all"}) {
			t.Errorf("a got %q", got)
		}
	})
}

// Acks come from all replicas; a socket that leaves, one that is silent and a replica that dies are
// missing.
func TestMesh_Gather(t *testing.T) {
	ask := &sio.Emit{Target: sio.Target{Namespace: sio.MainNamespace}, Event: sio.Event{Name: "ask"}}
	answers := func(n *node) {
		n.socket.answer = func(d *hub.Delivery) { d.Acked(n.socket.id, sio.Ack{Args: []byte("[1]")}) }
	}
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		answers(a)
		answers(b)
		answers(c)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		n, acks, err := emitWithAcks(ctx, a.hub, ask)
		if n != 1 || len(acks.Came) != 3 || acks.Missing != 0 || err != nil {
			t.Errorf("all answer: %d, %+v, %v", n, acks, err)
		}
		c.socket.answer = func(d *hub.Delivery) { d.Left(c.socket.id) }
		_, acks, err = emitWithAcks(ctx, a.hub, ask)
		if len(acks.Came) != 2 || acks.Missing != 1 || err != nil {
			t.Errorf("one leaves: %+v, %v", acks, err)
		}
		one := *ask
		one.Target.Rooms = []sio.Room{b.socket.id.Room()}
		_, acks, err = emitWithAcks(ctx, a.hub, &one)
		if len(acks.Came) != 1 || acks.Came[0].Socket != b.socket.id || string(acks.Came[0].Ack.Args) != "[1]" || err != nil {
			t.Errorf("one socket of another: %+v, %v", acks, err)
		}
		// silent, and the other replica leaves meanwhile
		b.socket.answer = func(*hub.Delivery) { go c.stop() }
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, acks, err = emitWithAcks(short, a.hub, ask)
		if len(acks.Came) != 1 || acks.Missing == 0 || err != nil {
			t.Errorf("one is silent: %+v, %v", acks, err)
		}
		know(t, a, 2)
		b.socket.answer = nil
		b.link.set(func(f *faulty) { f.mute = true })
		short, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, _, err = emitWithAcks(short, a.hub, ask); sio.CodeOf(err) != sio.CodeUnavailable {
			t.Errorf("a replica is silent: %v", err)
		}
		eventually(t, "no gather is left", func() bool { return testutil.ToFloat64(b.mesh.metrics.Gathers) == 0 })
	})
}

// Many large acks come back in parts, and one that is too large is missing.
func TestMesh_Gather_Large(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		for i := range 40 {
			s := &fakeSocket{id: sio.NewSocketID(b.id)}
			size := 100_000
			if i == 0 {
				size = 2 * maxEnvelope
			}
			s.answer = func(d *hub.Delivery) { d.Acked(s.id, sio.Ack{Args: make([]byte, size)}) }
			b.hub.Add("/large", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, acks, err := emitWithAcks(ctx, a.hub, &sio.Emit{Target: sio.Target{Namespace: "/large"}, Event: sio.Event{Name: "ask"}})
		// The large one takes down the answer that it travels in, and no other.
		if err != nil || len(acks.Came)+acks.Missing != 40 || acks.Missing == 0 || acks.Missing > 3 {
			t.Errorf("came %d, missing %d, %v", len(acks.Came), acks.Missing, err)
		}
	})
}

// More gathers than the bound are answered at once with what is there.
func TestMesh_Gather_Bounded(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		b.mesh.mu.Lock()
		b.mesh.gathers = b.mesh.options.MaxGathers
		b.mesh.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		acks, err := a.publisher.Ask(ctx, &sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "ask"}})()
		if err != nil || acks.Missing != 1 || time.Since(start) != 0 {
			t.Errorf("%+v, %v, after %v", acks, err, time.Since(start))
		}
	})
}

// Garbage on the backplane and heartbeats of other clusters change nothing, also where nothing is
// authenticated.
func TestMesh_Garbage(t *testing.T) {
	shared := secret
	secret = nil
	defer func() { secret = shared }()
	onBoth(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		for _, data := range []string{"", "x", "\x08\x01", string(make([]byte, 1000))} {
			if err := a.link.Publish("", []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		foreign, err := backplane.Encode(&backplane.Envelope{
			Origin: "FFFFFF", Epoch: 1, Sequence: 1, Body: &backplane.Heartbeat{Cluster: "elsewhere"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.link.Publish("", foreign); err != nil {
			t.Fatal(err)
		}
		if err := a.emit("after"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "b goes on", func() bool { return slices.Equal(b.socket.events(), []string{"after"}) })
		if len(b.mesh.Replicas()) != 2 || testutil.ToFloat64(b.mesh.metrics.Foreign) != 1 {
			t.Errorf("replicas: %+v", b.mesh.Replicas())
		}
	})
}

// NATS dies and comes back: sockets of the replica itself are served all the while, and those of
// the others again afterwards.
func TestMesh_NATS_Restart(t *testing.T) {
	o := nats.Default()
	o.Listen, o.MaxEnvelope, o.ReconnectWait = backplanetest.Address(t), maxEnvelope, 20*time.Millisecond
	log := slog.New(slog.DiscardHandler)
	serve := func() *nats.Backplane {
		t.Helper()
		server, err := nats.New(o, metrics.NewBackplane(nil), log)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		return server
	}
	server := serve()
	o.Listen = server.Address()
	nodes := gathered(t, 2, func() *node {
		own := o
		own.URL, own.Listen = "nats://"+server.Address(), ""
		b, err := nats.New(own, metrics.NewBackplane(nil), log)
		if err != nil {
			t.Fatal(err)
		}
		return newNode(t, b)
	})
	a, b := nodes[0], nodes[1]
	server.Close()
	eventually(t, "a notices", func() bool { return a.link.Healthy() != nil })
	for i := range 10 {
		_ = a.emit(fmt.Sprint("away", i))
		if got := a.socket.events(); len(got) != i+1 {
			t.Fatalf("a's socket got %q", got)
		}
	}
	serve()
	eventually(t, "both are back", func() bool { return a.link.Healthy() == nil && b.link.Healthy() == nil })
	eventually(t, "b is reached", func() bool {
		if err := a.emit("after"); err != nil {
			return false
		}
		return slices.Contains(b.socket.events(), "after")
	})
}

// BenchmarkMesh_Lend measures a dispatch to an instance of another replica and its result, 64 at a
// time.
func BenchmarkMesh_Lend(b *testing.B) {
	bus := memory.NewBus(memory.DefaultPending)
	o := nats.Default()
	o.Listen, o.MaxEnvelope = "127.0.0.1:0", maxEnvelope
	log := slog.New(slog.DiscardHandler)
	server, err := nats.New(o, metrics.NewBackplane(nil), log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Close)
	o.URL, o.Listen = "nats://"+server.Address(), ""
	for name, link := range map[string]func() (backplane.Backplane, error){
		"Memory": func() (backplane.Backplane, error) { return bus.New(metrics.NewBackplane(nil)), nil },
		"NATS":   func() (backplane.Backplane, error) { return nats.New(o, metrics.NewBackplane(nil), log) },
	} {
		b.Run(name, func(b *testing.B) {
			nodes := gathered(b, 2, func() *node {
				l, err := link()
				if err != nil {
					b.Fatal(err)
				}
				return newNode(b, l)
			})
			nodes[1].dispatcher.attachLocal("i", echo)
			i := borrow(b, nodes[0], "i")
			done := make(chan struct{}, 64)
			for range cap(done) {
				done <- struct{}{}
			}
			i.dispatcher.mu.Lock()
			i.dispatcher.done = done
			i.dispatcher.mu.Unlock()
			id := sio.DispatchID(0)
			b.ReportAllocs()
			for b.Loop() {
				<-done
				id++
				i.dispatch(event(id, "event"))
			}
			for range cap(done) {
				<-done
			}
		})
	}
}

// emitWithAcks delivers the emit in the whole cluster and waits for the acks.
func emitWithAcks(ctx context.Context, h *hub.Hub, e *sio.Emit) (sockets int, acks sio.Acks, err error) {
	sockets, collect := h.AskEveryone(ctx, e)
	acks, err = collect()
	return sockets, acks, err
}
