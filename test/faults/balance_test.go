// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/spanwire/spanwire/bench/loadgen"
	"github.com/spanwire/spanwire/test/process"
)

// ratio is the default of rebalance-ratio.
const ratio = 1.25

// sockets tells how many sockets of a replica each instance of the handlers has, by its id.
func (w *world) sockets(b *process.Broker) map[string]int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	text, err := exec.CommandContext(ctx, built.broker, "services", "--json", "--address", b.Services).Output()
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]int{}
	for line := range bytes.Lines(text) {
		var service struct {
			Instances []struct {
				ID      string `json:"instance_id"`
				Sockets int    `json:"sockets"`
			} `json:"instances"`
		}
		if err := json.Unmarshal(line, &service); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		for _, i := range service.Instances {
			all[i.ID] += i.Sockets
		}
	}
	return all
}

// even tells whether all sockets are assigned, to so many instances, and their loads are within the
// ratio or differ by one socket.
func even(loads map[string]int, instances, sockets int) bool {
	least, most, sum := sockets, 0, 0
	for _, n := range loads {
		least, most, sum = min(least, n), max(most, n), sum+n
	}
	return len(loads) == instances && sum == sockets && (float64(most) <= ratio*float64(least) || most-least <= 1)
}

// One of two instances is killed and started again while events flow: idle sockets move to it until
// the loads are even again, and nothing is lost, doubled or reordered.
func TestO04_Return(t *testing.T) {
	const browsers = 200
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p, "--rebalance-rate", "50")
		doomed := w.start(work)
		w.start(work)
		w.serving(2)
		l := w.emit(browsers, 400)
		l.acked(1000)
		doomed.Kill()
		w.serving(1)
		l.acked(2000) // of each browser, so that all its sockets are with the other
		w.start(work)
		w.serving(2)
		w.until("the loads to be even", func() bool { return even(w.sockets(w.front), 2, browsers) })
		l.acked(2000)
		l.settle()
		w.audit()
		if loads := w.sockets(w.front); !even(loads, 2, browsers) {
			t.Errorf("the loads are %v", loads)
		}
		moved := w.metric(w.front, "spanwire_dispatch_moved_sockets_total", `reason="rebalance"`)
		if moved < browsers/3 || moved > browsers*2/3 {
			t.Errorf("%d sockets moved", moved)
		}
		if got := len(w.entries(w.instances[2])); got == 0 {
			t.Error("the instance that came back handled nothing")
		}
	}, "go", "python")
}

// Moves can be turned off.
func TestO04_Off(t *testing.T) {
	w := newWorld(t, place{language: "go"}, "--rebalance-rate", "0")
	w.start(work)
	w.serving(1)
	l := w.emit(20, 200)
	l.acked(200)
	w.start(work)
	w.serving(2)
	l.acked(1000)
	l.settle()
	w.audit()
	if n := w.metric(w.front, "spanwire_dispatch_moved_sockets_total"); n != 0 {
		t.Errorf("%d sockets moved", n)
	}
}

// With instances that are attached to each of three replicas, each replica balances its own
// sockets, and none moves back and forth.
func TestO04_Replicas(t *testing.T) {
	const browsers = 60 // of each replica
	w := &world{t: t, place: place{language: "go"}, folder: t.TempDir()}
	t.Cleanup(w.tell)
	nats := w.freeAddress()
	replicas := []*process.Broker{w.broker("broker-0", "127.0.0.1", "--nats-listen", nats, "--rebalance-rate", "50")}
	for n := range 2 {
		replicas = append(replicas, w.broker(fmt.Sprintf("broker-%d", n+1), "127.0.0.1", "--nats-url", "nats://"+nats, "--rebalance-rate", "50"))
	}
	for _, b := range replicas {
		w.await(b, 2, "spanwire_mesh_peers")
	}
	w.front, w.back = replicas[0], replicas[0]
	serving := func(n int) {
		for _, b := range replicas {
			w.await(b, n, "spanwire_dispatch_instances", `location="local"`)
		}
	}
	doomed := w.start(work, "EVERY_REPLICA=1")
	w.start(work, "EVERY_REPLICA=1")
	serving(2)
	for _, b := range replicas {
		w.front = b
		l := w.emitNumbers(browsers, loadgen.Numbers{Event: "number", PerSecond: 120})
		l.acked(200)
	}
	doomed.Kill()
	serving(1)
	for _, l := range w.loads {
		l.acked(browsers * 5)
	}
	w.start(work, "EVERY_REPLICA=1")
	serving(2)
	for _, b := range replicas {
		w.until("the loads of "+b.Name+" to be even", func() bool { return even(w.sockets(b), 2, browsers) })
	}
	moved := func() (sum int) {
		for _, b := range replicas {
			sum += w.metric(b, "spanwire_dispatch_moved_sockets_total")
		}
		return sum
	}
	for _, l := range w.loads {
		l.acked(100) // the last moves have been made
	}
	before := moved()
	for _, l := range w.loads {
		l.acked(500)
		l.settle()
	}
	if after := moved(); after != before {
		t.Errorf("%d sockets moved although the loads were even", after-before)
	}
	w.audit()
}

// All instances of a service are killed under load: the broker goes on reading from the browsers,
// and hands all that came out in order when an instance is back.
func TestO05_Absent(t *testing.T) {
	const browsers, each = 20, 400 // events of each browser; far more than socket-queue-events
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p)
		doomed := w.start("CONNECTS=no")
		w.serving(1)
		l := w.emitNumbers(browsers, loadgen.Numbers{Event: "number", PerSecond: 2000, Most: each * browsers})
		l.acked(5 * browsers)
		doomed.Kill()
		w.serving(0)
		l.reach(l.Sent, each*browsers)
		w.until("all that was sent to be handled or queued", func() bool {
			return w.metric(w.front, "spanwire_dispatch_queued_dispatches")+l.Acked() >= each*browsers
		})
		if n := w.metric(w.front, "spanwire_dispatch_queued_dispatches"); n <= browsers*128 {
			t.Errorf("%d events wait, no more than socket-queue-events allow", n)
		}
		if n := w.metric(w.front, "spanwire_dispatch_blocked_sockets"); n != 0 {
			t.Errorf("%d sockets are not read", n)
		}
		w.start("CONNECTS=no")
		l.settle()
		w.audit()
	}, "go", "python")
}
