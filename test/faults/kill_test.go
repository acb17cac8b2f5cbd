// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/loadgen"
)

const (
	// work is how long handlers take.
	work = "WORK=20ms"
	// longWork is how long those take that are killed, so that events are open then even when the
	// load has paused for a moment.
	longWork = "WORK=400ms"
)

// absence is how long all instances are away.
func absence() time.Duration {
	if testing.Short() {
		return 2 * time.Second
	}
	return 10 * time.Second
}

// One of two instances is killed under load: what it had open goes to the other.
func TestKill_One(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p)
		doomed, other := w.start(longWork), w.start(work)
		w.serving(2)
		l := w.emit(200, 1000)
		l.acked(1500)
		doomed.Kill()
		l.acked(2000)
		l.settle()
		if b := w.audit(); b.redelivered == 0 {
			t.Error("the instance had nothing open when it was killed")
		}
		if len(w.entries(doomed)) == 0 || len(w.entries(other)) == 0 {
			t.Error("the load did not reach both instances")
		}
	}, "go", "python")
}

// All instances are killed under load, and started again after a while: connected browsers stay and
// lose nothing, those that connect meanwhile are accepted afterwards. More events come than the
// absent service's budget and the sockets' queues take, so that the broker stops reading.
func TestKill_All(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p, "--socket-queue-events", "16", "--absent-service-bytes", "100000", "--connect-hold", "60s")
		first := []*instance{w.start(longWork), w.start(longWork)}
		w.serving(2)
		l := w.emit(200, 500)
		l.acked(500)
		for _, i := range first {
			i.Kill()
		}
		w.serving(0)
		late := w.connectLate()
		time.Sleep(absence())
		w.await(w.front, 1, "spanwire_dispatch_held_connects")
		w.until("a socket's queue to be full", func() bool { return w.metric(w.front, "spanwire_dispatch_blocked_sockets") > 0 })
		w.start(work)
		w.start(work)
		if err := <-late; err != nil {
			t.Errorf("a browser that connected while no instance was there: %v", err)
		}
		l.acked(1000)
		l.settle()
		if b := w.audit(); b.redelivered == 0 {
			t.Error("the instances had nothing open when they were killed")
		}
	}, "go", "python")
}

// connectLate connects one browser and tells how that ended.
func (w *world) connectLate() <-chan error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	done, ended := make(chan error, 1), make(chan struct{})
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
	go func() { // ends when the broker answers, at the latest with ctx
		defer close(ended)
		f, err := loadgen.Connect(ctx, loadgen.Options{Address: w.front.HTTP, Clients: 1})
		if err == nil {
			f.Close()
		}
		done <- err
	}()
	return done
}
