// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// An emit that is counted reaches every replica's sockets, which are asked for nothing, and names
// the replicas that do not tell how many.
func TestMesh_Count(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		for _, n := range nodes {
			n.socket.answer = func(d *hub.Delivery) {
				if d.WantsAck {
					t.Error("a socket was asked for an ack")
				}
			}
		}
		emit := &sio.Emit{Target: sio.Target{Namespace: sio.MainNamespace}, Event: sio.Event{Name: "count"}}
		count := func(timeout time.Duration, e *sio.Emit) string {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			collect, waits := a.hub.CountEveryone(ctx, e)
			acks, err := collect()
			return fmt.Sprint(acks.Sockets, acks.Missing, len(acks.Came), acks.Silent, waits, err)
		}
		const patience = 20 * time.Second
		if got := count(patience, emit); got != "3 0 0 [] true <nil>" {
			t.Errorf("everyone: %s", got)
		}
		one := *emit
		one.Target.Rooms = []sio.Room{b.socket.id.Room()}
		if got := count(patience, &one); got != "1 0 0 [] true <nil>" {
			t.Errorf("one socket of another replica: %s", got)
		}
		one.Target.Local, one.Target.Rooms = true, nil
		if got := count(patience, &one); got != "1 0 0 [] false <nil>" {
			t.Errorf("here: %s", got)
		}
		for _, n := range []*node{a, b} {
			n.socket.answer = func(d *hub.Delivery) { d.Dropped() }
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		full := *emit
		full.Tally = new(sio.Tally)
		collect, _ := a.hub.CountEveryone(ctx, &full)
		if acks, err := collect(); acks.Sockets != 3 || acks.Dropped != 2 || err != nil {
			t.Errorf("the queues of two are full: %+v, %v", acks, err)
		}
		b.link.set(func(f *faulty) { f.mute = true })
		if got, want := count(100*time.Millisecond, emit), fmt.Sprintf("2 0 0 [%s] true <nil>", b.id); got != want {
			t.Errorf("a replica is silent: %s, want %s", got, want)
		}
	})
}

// A command that is counted is carried out on every replica when its answer comes, and names the
// replicas that do not tell.
func TestMesh_Counted(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		count := func(timeout time.Duration, c sio.Command) string {
			found, err := ask(t, a, timeout, &sio.Counted{Command: c})
			return fmt.Sprint(found.Reached, found.Silent, err)
		}
		members := func() (n int) {
			for _, x := range nodes {
				n += x.hub.Apply(&sio.Leave{Target: sio.Target{Namespace: sio.MainNamespace, Rooms: []sio.Room{"room"}}, Rooms: []sio.Room{"none"}})
			}
			return n
		}
		const patience = 20 * time.Second
		join := &sio.Join{Target: sio.Target{Namespace: sio.MainNamespace}, Rooms: []sio.Room{"room"}}
		if got := count(patience, join); got != "3 [] <nil>" || members() != 3 {
			t.Errorf("everyone: %s, %d are in the room", got, members())
		}
		one := sio.Target{Namespace: sio.MainNamespace, Rooms: []sio.Room{b.socket.id.Room()}}
		if got := count(patience, &sio.Leave{Target: one, Rooms: []sio.Room{"room"}}); got != "1 [] <nil>" || members() != 2 {
			t.Errorf("one socket of another replica: %s, %d are in the room", got, members())
		}
		if got := count(patience, &sio.Leave{Target: sio.Target{Namespace: sio.MainNamespace, Local: true}, Rooms: []sio.Room{"room"}}); got != "1 [] <nil>" {
			t.Errorf("here: %s", got)
		}
		if got := count(patience, &sio.Disconnect{Target: one}); got != "1 [] <nil>" || !slices.Contains(b.socket.events(), "disconnect") {
			t.Errorf("disconnect: %s, %q", got, b.socket.events())
		}
		b.link.set(func(f *faulty) { f.mute = true })
		if got, want := count(100*time.Millisecond, join), fmt.Sprintf("2 [%s] <nil>", b.id); got != want {
			t.Errorf("a replica is silent: %s, want %s", got, want)
		}
		a.link.set(func(f *faulty) { f.refuse = true })
		if found, err := ask(t, a, patience, &sio.Counted{Command: join}); sio.CodeOf(err) != sio.CodeUnavailable || found.Reached != 1 {
			t.Errorf("nobody can be asked: %+v, %v", found, err)
		}
	})
}
