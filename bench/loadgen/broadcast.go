// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// broadcastTimeout bounds one broadcast.
const broadcastTimeout = 30 * time.Second

// deliveries counts what arrived, and tells when a whole broadcast has.
type deliveries struct {
	count atomic.Uint64
	goal  atomic.Uint64
	met   chan struct{}
}

func (d *deliveries) ack(*client, uint64, []byte) {}

func (d *deliveries) event(*client) {
	if d.count.Add(1) == d.goal.Load() {
		d.met <- struct{}{}
	}
}

// Broadcast has the first client ask for one broadcast after the other, each when the one before
// has reached every client, the first included. Traffic.Events counts deliveries; Traffic.Latency
// holds the time from asking until the last client had it.
func (f *Fleet) Broadcast(ctx context.Context, w Window) (*Traffic, error) {
	d := &f.deliveries
	d.met = make(chan struct{}, 1)
	for _, c := range f.clients {
		c.on = d
	}
	var latency Histogram
	packet := newEvent("broadcast", Payload)
	ctx, stop := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { // ends with stop below
		asked <- f.ask(ctx, &packet, &latency)
	}()
	t, err := f.measure(ctx, w, &latency, d.count.Load)
	stop()
	if askErr := <-asked; err == nil {
		err = askErr
	}
	return t, err
}

// ask asks for broadcasts until ctx ends.
func (f *Fleet) ask(ctx context.Context, packet *event, latency *Histogram) error {
	d, c := &f.deliveries, f.clients[0]
	for id := uint64(0); ctx.Err() == nil; id++ {
		start := time.Now()
		d.goal.Store((id + 1) * uint64(len(f.clients)))
		packet.queue(c, id)
		if err := c.flush(); err != nil {
			return err
		}
		select {
		case <-d.met:
			latency.Record(time.Since(start))
		case <-ctx.Done():
		case <-f.broken:
			return f.Err()
		case <-time.After(broadcastTimeout):
			return fmt.Errorf("%w: %d of %d deliveries came", errStalled, d.count.Load(), d.goal.Load())
		}
	}
	return nil
}
