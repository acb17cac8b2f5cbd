// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// echo answers each dispatch with the name of its event.
func echo(d *backplane.Dispatch) (sio.Result, bool) {
	return sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: []byte(d.Event.Name)}}, true
}

func silent(*backplane.Dispatch) (sio.Result, bool) { return sio.Result{}, false }

// borrow waits until the replica uses the instance of another.
func borrow(t testing.TB, n *node, id sio.InstanceID) *fakeAttachment {
	t.Helper()
	eventually(t, "instance borrowed: "+string(id), func() bool { return n.dispatcher.borrows(id) != nil })
	return n.dispatcher.borrows(id)
}

func resolved(t *testing.T, n *node, id sio.DispatchID) sio.Result {
	t.Helper()
	eventually(t, fmt.Sprint("dispatch resolved: ", id), func() bool { _, ok := n.dispatcher.result(id); return ok })
	r, _ := n.dispatcher.result(id)
	return r
}

// An instance of one replica serves the sockets of the other, in order, and what it commands takes
// effect before its result.
func TestMesh_Lend(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		var mu sync.Mutex
		var order []string
		b.dispatcher.attachLocal("i", func(d *backplane.Dispatch) (sio.Result, bool) {
			mu.Lock()
			order = append(order, d.Event.Name)
			mu.Unlock()
			if err := b.emit("during "+d.Event.Name, a.socket.id.Room()); err != nil {
				t.Error(err)
			}
			return echo(d)
		})
		i := borrow(t, a, "i")
		for n := range 200 {
			i.dispatch(event(sio.DispatchID(n), fmt.Sprint(n)))
		}
		for n := range 200 {
			if r := resolved(t, a, sio.DispatchID(n)); r.Outcome != sio.Answered || string(r.Ack.Args) != fmt.Sprint(n) {
				t.Fatalf("result %d: %+v", n, r)
			}
			if got := a.socket.events(); len(got) <= n || got[n] != fmt.Sprint("during ", n) {
				t.Fatalf("before result %d the socket had %d events", n, len(got))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for n, name := range order {
			if name != fmt.Sprint(n) {
				t.Fatalf("event %d was %s", n, name)
			}
		}
	})
}

// When the instance detaches, when it attaches again, and when its replica leaves, what was open is
// given elsewhere.
func TestMesh_Lend_Detach(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		gone := func(id sio.DispatchID) {
			t.Helper()
			eventually(t, fmt.Sprint("given elsewhere: ", id), func() bool {
				again := a.dispatcher.redelivered()
				return len(again) > 0 && again[len(again)-1] == id
			})
		}
		b.dispatcher.attachLocal("i", silent)
		borrow(t, a, "i").dispatch(event(1, "e"))
		b.dispatcher.attachLocal("i", silent) // again, a new generation
		gone(1)
		borrow(t, a, "i").dispatch(event(2, "e"))
		b.dispatcher.detachLocal("i")
		gone(2)
		if a.dispatcher.borrows("i") != nil {
			t.Error("an instance that detached is still used")
		}
		b.dispatcher.attachLocal("i", silent)
		borrow(t, a, "i").dispatch(event(3, "e"))
		b.stop()
		gone(3)
		if testutil.ToFloat64(a.mesh.metrics.Instances) != 0 {
			t.Errorf("%v instances borrowed of nobody", testutil.ToFloat64(a.mesh.metrics.Instances))
		}
	})
}

// A replica that dies without a bye gives its dispatches up when it is taken for dead.
func TestMesh_Lend_Death(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		b.dispatcher.attachLocal("i", silent)
		borrow(t, a, "i").dispatch(event(1, "e"))
		b.link.set(func(f *faulty) { f.mute = true })
		eventually(t, "given elsewhere", func() bool { return len(a.dispatcher.redelivered()) == 1 })
		b.link.set(func(f *faulty) { f.mute = false })
		borrow(t, a, "i")
	})
}

// An instance is used through one replica only, preferably none: one that is attached here is not
// borrowed.
func TestMesh_Lend_Moves(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		b.dispatcher.attachLocal("i", echo)
		c.dispatcher.attachLocal("i", echo)
		first := borrow(t, a, "i")
		first.dispatch(event(1, "e"))
		resolved(t, a, 1)
		a.dispatcher.attachLocal("i", echo)
		eventually(t, "its own is used", func() bool { return a.dispatcher.borrows("i") == nil })
		a.dispatcher.detachLocal("i")
		borrow(t, a, "i")
		provider := a.mesh.borrowedFrom("i")
		if provider != min(b.id, c.id) {
			t.Errorf("borrowed from %s", provider)
		}
		from, rest := b, c
		if provider == c.id {
			from, rest = c, b
		}
		from.stop()
		eventually(t, "the other replica's is used", func() bool { return a.mesh.borrowedFrom("i") == rest.id })
		borrow(t, a, "i").dispatch(event(2, "e"))
		resolved(t, a, 2)
	})
}

func (m *Mesh) borrowedFrom(id sio.InstanceID) sio.ReplicaID {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.borrowed[id]; b != nil {
		return b.replica
	}
	return ""
}

// The loss of dispatches, and of results, makes what is open be redelivered, also when nothing
// follows what was lost.
func TestMesh_Lend_Lost(t *testing.T) {
	for _, lossy := range []string{"dispatches", "results"} {
		t.Run(lossy, func(t *testing.T) {
			onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
				a, b := nodes[0], nodes[1]
				b.dispatcher.attachLocal("i", echo)
				i := borrow(t, a, "i")
				i.dispatch(event(1, "e"))
				resolved(t, a, 1)
				loser := a
				if lossy == "results" {
					loser = b
				}
				loser.link.set(func(f *faulty) { f.lose = 1 })
				i.dispatch(event(2, "e"))
				eventually(t, "redelivered", func() bool { return len(a.dispatcher.redelivered()) == 1 })
				if testutil.ToFloat64(a.mesh.metrics.Resets) == 0 {
					t.Error("not counted")
				}
				borrow(t, a, "i").dispatch(event(2, "e"))
				resolved(t, a, 2)
			})
		})
	}
}

// A backplane that refuses makes the instance unusable until the next heartbeat offers it again;
// results it refused are made up for.
func TestMesh_Lend_Refused(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		b.dispatcher.attachLocal("i", echo)
		i := borrow(t, a, "i")
		a.link.set(func(f *faulty) { f.refuse = true })
		i.dispatch(event(1, "e"))
		eventually(t, "given elsewhere", func() bool { return len(a.dispatcher.redelivered()) == 1 })
		a.link.set(func(f *faulty) { f.refuse = false })
		i = borrow(t, a, "i")
		b.link.set(func(f *faulty) { f.refuse = true })
		i.dispatch(event(2, "e"))
		eventually(t, "the result is refused", func() bool { return testutil.ToFloat64(b.metrics.PublishFailures) > 0 })
		b.link.set(func(f *faulty) { f.refuse = false })
		eventually(t, "redelivered", func() bool { return len(a.dispatcher.redelivered()) == 2 })
	})
}

// A dispatch that is too large for the backplane is given up, and no other with it; so is one too
// many.
func TestMesh_Lend_TooMuch(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		b.dispatcher.attachLocal("i", echo)
		i := borrow(t, a, "i")
		i.dispatch(event(1, strings.Repeat("x", 2*maxEnvelope)))
		if r := resolved(t, a, 1); r.Outcome != sio.Abandoned || !strings.Contains(r.Message, "max-payload") {
			t.Errorf("a large one: %+v", r)
		}
		i.dispatch(event(2, "e"))
		resolved(t, a, 2)
		for n := range 100 {
			d := event(1e6+sio.DispatchID(n), "e")
			if err := b.dispatcher.DispatchRemote("i", b.dispatcher.Attached()[0].Generation, &d, func(sio.DispatchID, sio.Result) {}); err != nil {
				t.Fatal(err)
			}
		}
		i.dispatch(event(3, "e"))
		if r := resolved(t, a, 3); r.Outcome != sio.Abandoned {
			t.Errorf("one too many: %+v", r)
		}
	})
}

// A dispatch that is redelivered while it is still open is not run twice, and its one result
// resolves it.
func TestMesh_Lend_Twice(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		var mu sync.Mutex
		runs := 0
		b.dispatcher.attachLocal("i", func(d *backplane.Dispatch) (sio.Result, bool) {
			mu.Lock()
			defer mu.Unlock()
			runs++
			return sio.Result{}, d.ID == 2
		})
		i := borrow(t, a, "i")
		i.dispatch(event(1, "e"))
		i.dispatch(event(1, "e"))
		i.dispatch(event(2, "e"))
		resolved(t, a, 2)
		mu.Lock()
		defer mu.Unlock()
		if runs != 2 {
			t.Errorf("%d runs of two dispatches", runs)
		}
		b.dispatcher.detachLocal("i")
		eventually(t, "nothing is kept", func() bool {
			b.mesh.lent.mu.Lock()
			defer b.mesh.lent.mu.Unlock()
			return len(b.mesh.lent.open) == 0
		})
	})
}

// An instance that the dispatcher does not take now is offered again later.
func TestMesh_Lend_Conflict(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		a.dispatcher.mu.Lock()
		a.dispatcher.refuse = true
		a.dispatcher.mu.Unlock()
		b.dispatcher.attachLocal("i", echo)
		eventually(t, "refused", func() bool { return testutil.ToFloat64(a.mesh.metrics.Rejected) == 1 })
		a.dispatcher.mu.Lock()
		a.dispatcher.refuse = false
		a.dispatcher.mu.Unlock()
		borrow(t, a, "i").dispatch(event(1, "e"))
		resolved(t, a, 1)
	})
}

// Results for what is not open here, from whomever they come, resolve nothing.
func TestMesh_Resolve_Foreign(t *testing.T) {
	onMemory(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		b.dispatcher.attachLocal("i", silent)
		borrow(t, a, "i").dispatch(event(1, "e"))
		generation := b.dispatcher.Attached()[0].Generation
		for _, batch := range []*backplane.ResultBatch{
			{Instance: "i", Generation: generation, Results: []backplane.Result{{ID: 1}}},
			{Instance: "j", Generation: generation, Results: []backplane.Result{{ID: 1}}},
		} {
			if err := c.publisher.Send(a.id, batch); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.publisher.Send(a.id, &backplane.ResultBatch{Instance: "i", Generation: generation, Results: []backplane.Result{{ID: 2}}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all three are refused", func() bool { return testutil.ToFloat64(a.mesh.metrics.Unresolved) == 3 })
		if _, ok := a.dispatcher.result(1); ok {
			t.Error("resolved by another instance")
		}
	})
}

// When a replica dies, the instances here that met its sockets are notified of their disconnect,
// once; not of those that were refused or had left, and not when the replica drains or when this
// one was cut off.
func TestMesh_Lend_OrphanedDisconnects(t *testing.T) {
	for _, end := range []string{"death", "bye", "cut off"} {
		t.Run(end, func(t *testing.T) {
			onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
				a, b := nodes[0], nodes[1]
				var mu sync.Mutex
				ended := map[sio.SocketID]int{}
				b.dispatcher.attachLocal("i", func(d *backplane.Dispatch) (sio.Result, bool) {
					mu.Lock()
					defer mu.Unlock()
					if d.Kind == backplane.KindDisconnected && d.ID > 10 {
						ended[d.Socket]++
					}
					if d.Socket == "refused" {
						return sio.Result{Outcome: sio.Refused}, true
					}
					return sio.Result{}, true
				})
				i := borrow(t, a, "i")
				for n, socket := range []sio.SocketID{"stays", "refused", "leaves"} {
					i.dispatch(backplane.Dispatch{
						ID: sio.DispatchID(n), Socket: socket, Namespace: "/", Kind: backplane.KindConnect, Introduction: &backplane.Introduction{},
					})
				}
				i.dispatch(backplane.Dispatch{ID: 3, Socket: "leaves", Namespace: "/", Kind: backplane.KindDisconnected})
				resolved(t, a, 3)
				switch end {
				case "death":
					a.link.set(func(f *faulty) { f.mute = true })
				case "bye":
					a.stop()
				case "cut off":
					a.link.set(func(f *faulty) { f.mute = true })
					b.link.set(func(f *faulty) { f.sick = true })
				}
				know(t, b, 1)
				again := time.NewTicker(30 * time.Second) // in the bubble's time
				defer again.Stop()
				<-again.C
				want := map[sio.SocketID]int{}
				if end == "death" {
					want["stays"] = 1
				}
				mu.Lock()
				defer mu.Unlock()
				if !maps.Equal(ended, want) {
					t.Errorf("notified of %v, want %v", ended, want)
				}
			})
		})
	}
}
