// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"context"
	"sync/atomic"
	"time"
)

// Payload is the argument of the events that are echoed: a small object, as chats and dashboards
// send.
const Payload = `{"data":"the quick brown fox jumps over the lazy dog","number":12345}`

// Window measures what happens between two moments; the caller reads the processor times of the
// servers at both.
type Window struct {
	// Begin and End are called at the two ends of the measurement.
	Begin, End func()
	// WarmUp passes before Begin.
	WarmUp time.Duration
	// Length passes between Begin and End.
	Length time.Duration
}

// Traffic is what was measured in a window.
type Traffic struct {
	Events  uint64
	Elapsed time.Duration
	Latency *Histogram
	// Late is by how much events left after they were due, in an open loop; nil in a closed one.
	Late *Histogram
}

// PerSecond is the rate.
func (t *Traffic) PerSecond() float64 { return float64(t.Events) / t.Elapsed.Seconds() }

// echo is the closed loop: each ack leads to the next event.
type echo struct {
	outstanding uint64
	packet      event
	clients     []echoClient
	done        atomic.Uint64
	start       time.Time
	latency     Histogram
}

type echoClient struct {
	next uint64
	sent []time.Duration // by id modulo outstanding
	_    [32]byte        // keeps neighbours out of one cache line
}

// Echo has every client keep a number of events outstanding. Each is acked by the server and then
// followed by another.
func (f *Fleet) Echo(ctx context.Context, outstanding int, w Window) (*Traffic, error) {
	e := &echo{
		outstanding: uint64(outstanding), packet: newEvent("echo", Payload), clients: make([]echoClient, len(f.clients)), start: time.Now(),
	}
	for i, c := range f.clients {
		e.clients[i].sent = make([]time.Duration, outstanding)
		c.on = e
		for range outstanding {
			e.send(c)
		}
	}
	for _, c := range f.clients {
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	return f.measure(ctx, w, &e.latency, e.done.Load)
}

func (e *echo) send(c *client) {
	state := &e.clients[c.index]
	id := state.next
	state.next++
	state.sent[id%e.outstanding] = time.Since(e.start)
	e.packet.queue(c, id)
}

func (e *echo) ack(c *client, id uint64, _ []byte) {
	e.latency.Record(time.Since(e.start) - e.clients[c.index].sent[id%e.outstanding])
	e.done.Add(1)
	e.send(c)
}

func (e *echo) event(*client) {}

// measure waits through a window and counts what was done in it.
func (f *Fleet) measure(ctx context.Context, w Window, latency *Histogram, done func() uint64) (*Traffic, error) {
	if err := f.wait(ctx, w.WarmUp); err != nil {
		return nil, err
	}
	latency.Reset()
	w.Begin()
	before, start := done(), time.Now()
	if err := f.wait(ctx, w.Length); err != nil {
		return nil, err
	}
	t := &Traffic{Events: done() - before, Elapsed: time.Since(start), Latency: latency}
	w.End()
	if t.Events == 0 {
		return nil, errStalled
	}
	return t, nil
}
