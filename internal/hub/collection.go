// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"sync"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Collection gathers the acks of one delivery on this replica. It is settled when each receiver
// answered or left.
type Collection struct {
	metrics *metrics.Hub
	sockets int
	settled chan struct{}

	mu      sync.Mutex
	pending map[sio.SocketID]struct{} // guarded by mu; nil once nobody waits any more
	came    []sio.SocketAck           // guarded by mu
}

func newCollection(m *metrics.Hub, one Socket, all []Socket) *Collection {
	c := &Collection{metrics: m, settled: make(chan struct{})}
	switch {
	case one != nil:
		c.pending = map[sio.SocketID]struct{}{one.ID(): {}}
	case len(all) > 0:
		c.pending = make(map[sio.SocketID]struct{}, len(all))
		for _, s := range all {
			c.pending[s.ID()] = struct{}{}
		}
	default:
		close(c.settled)
	}
	c.sockets = len(c.pending)
	m.Collections.Inc()
	return c
}

// Sockets counts those that were asked.
func (c *Collection) Sockets() int { return c.sockets }

// Wait gives what came until the collection was settled or ctx ended. It must be called once; what
// comes later is dropped.
func (c *Collection) Wait(ctx context.Context) sio.Acks {
	select {
	case <-c.settled:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.AcksTimedOut.Add(float64(len(c.pending)))
	c.pending = nil
	came := c.came
	c.came = nil
	c.metrics.Collections.Dec()
	return sio.Acks{Came: came, Missing: c.sockets - len(came), Sockets: c.sockets}
}

func (c *Collection) acked(id sio.SocketID, ack sio.Ack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settleLocked(id) {
		c.metrics.AcksLate.Inc()
		return
	}
	c.metrics.AcksReceived.Inc()
	c.came = append(c.came, sio.SocketAck{Socket: id, Ack: ack})
}

func (c *Collection) left(id sio.SocketID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settleLocked(id) {
		c.metrics.AcksDisconnected.Inc()
	}
}

// settleLocked tells whether the socket was still awaited. Wait takes the lock before it reads, so
// that it sees what the caller adds after the last one has settled.
func (c *Collection) settleLocked(id sio.SocketID) bool {
	if _, awaited := c.pending[id]; !awaited {
		return false
	}
	delete(c.pending, id)
	if len(c.pending) == 0 {
		close(c.settled)
	}
	return true
}
