// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/test/process"
)

// A broker is stopped under load: every event that a handler handled is acked to its browser,
// on WebSocket and on polling, before the session is closed.
func TestO03_BrokerDrain(t *testing.T) {
	for name, flags := range map[string][]string{
		"spread": {"--drain-timeout", "20s", "--drain-spread", "2s"},
		"laptop": {"--drain-timeout", "3s", "--drain-spread", "0"}, // as `broker dev` has it
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place) {
				w := newWorld(t, p, flags...)
				w.start("WORK=30ms")
				w.serving(1)
				page := w.openPage(w.front.HTTP, 40, 40)
				page.run()
				page.acked(400)
				w.terminate()
				page.wait()
				w.auditDrain(page)
			}, "go", "python")
		})
	}
}

// A replica is stopped that forwards WebSockets to the owner of their sessions: the owner acks
// every event that a handler handled, and closes them with its own word, before the replica is
// gone.
func TestO03_BrokerDrain_forwarded(t *testing.T) {
	for name, flags := range map[string][]string{
		"spread": {"--drain-timeout", "20s", "--drain-spread", "2s"},
		"short":  {"--drain-timeout", "3s", "--drain-spread", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place) {
				w := newWorldBehind(t, p, flags...)
				w.start("WORK=30ms")
				w.serving(1)
				w.await(w.owner, 1, "spanwire_dispatch_instances")
				page := w.openForwarded(w.owner.HTTP, w.front.HTTP, 20)
				own := w.openPage(w.front.HTTP, 4, 4)
				for _, b := range own.browsers {
					b.client += len(page.browsers)
				}
				page.run()
				own.run()
				page.acked(200)
				own.acked(50)
				w.terminate()
				page.wait()
				own.wait()
				page.browsers = append(page.browsers, own.browsers...)
				w.auditDrain(page)
				for _, b := range page.browsers {
					if b.transport == "websocket" && !websocket.IsCloseError(b.end, websocket.CloseGoingAway) {
						t.Errorf("the WebSocket of browser %d ended with %v", b.client, b.end)
					}
				}
			}, "go", "python")
		})
	}
}

// newWorldBehind starts an owner of sessions and a replica in front of it. Instances attach to the
// owner, or to a third replica.
func newWorldBehind(t *testing.T, p place, flags ...string) *behind {
	t.Helper()
	w := &behind{world: &world{t: t, place: p, folder: t.TempDir()}}
	t.Cleanup(w.tell)
	nats := w.freeAddress()
	// Instances learn of the others, but cannot reach them.
	w.owner = w.broker("owner", "127.0.0.1", append([]string{"--nats-listen", nats, "--advertise-address", w.freeAddress()}, flags...)...)
	w.front = w.broker("front", "127.0.0.1", append([]string{"--nats-url", "nats://" + nats, "--advertise-address", w.freeAddress()}, flags...)...)
	w.back = w.owner
	others := 1
	if p.backplane {
		w.back = w.broker("back", "127.0.0.1", append([]string{"--nats-url", "nats://" + nats}, flags...)...)
		others++
	}
	for _, b := range []*process.Broker{w.owner, w.front, w.back} {
		w.await(b, others, "spanwire_mesh_peers")
	}
	return w
}

// behind is a world whose front forwards to the owner of sessions.
type behind struct {
	*world
	owner *process.Broker
}

// terminate stops the browsers' replica with SIGTERM and waits for its end.
func (w *world) terminate() {
	w.t.Helper()
	if err := w.front.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if !w.front.Wait(limit) || w.front.Err() != nil {
		w.t.Fatalf("the broker ended with %v", w.front.Err())
	}
}

// auditDrain compares what handlers wrote down with the acks.
func (w *world) auditDrain(p *page) {
	w.t.Helper()
	handled, lost := 0, map[string]int{}
	for _, i := range w.instances {
		for _, e := range w.entries(i) {
			handled++
			if b := p.browsers[e.client]; !b.hasAck(e.number) {
				lost[b.transport]++
			}
		}
	}
	sent, acked := p.count()
	w.t.Logf("sent %d, handled %d, acked %d, lost %v", sent, handled, acked, lost)
	if len(lost) > 0 {
		w.t.Errorf("of %d events that were handled, these were not acked: %v", handled, lost)
	}
}
