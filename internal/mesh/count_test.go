// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// An emit that is counted reaches every replica's sockets, which are asked for nothing, and names the replicas that do not tell how many.
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
		b.link.set(func(f *faulty) { f.mute = true })
		if got, want := count(100*time.Millisecond, emit), fmt.Sprintf("2 0 0 [%s] true <nil>", b.id); got != want {
			t.Errorf("a replica is silent: %s, want %s", got, want)
		}
	})
}
