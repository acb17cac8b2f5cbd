// SPDX-License-Identifier: Apache-2.0

// Package memory is the backplane of replicas that live in one process: in tests, and where there
// is only one. The replicas share a Bus.
package memory

import (
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// DefaultPending is how many envelopes wait for a replica at most.
const DefaultPending = 16384

// Bus joins the backplanes of one process.
type Bus struct {
	pending int

	mu        sync.Mutex
	receivers map[*subscription]struct{} // guarded by mu
}

// NewBus makes a bus on which at most pending envelopes wait for each replica; what comes while so
// many wait is dropped for it, as NATS does with a slow consumer.
func NewBus(pending int) *Bus {
	return &Bus{pending: pending, receivers: make(map[*subscription]struct{})}
}

// Backplane is one replica's end of a bus.
type Backplane struct {
	bus     *Bus
	metrics *metrics.Backplane
	losses  atomic.Uint64
	changes chan struct{}

	mu     sync.Mutex
	subs   []*subscription // guarded by mu
	closed bool            // guarded by mu
}

// subscription is one consumer and what waits for it.
type subscription struct {
	owner *Backplane
	self  sio.ReplicaID
	queue chan []byte
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
}

// New makes a replica's end.
func (b *Bus) New(m *metrics.Backplane) *Backplane {
	m.Connected.Set(1)
	return &Backplane{bus: b, metrics: m, changes: make(chan struct{}, 1)}
}

// Publish implements backplane.Backplane.
func (b *Backplane) Publish(to sio.ReplicaID, data []byte) error {
	if err := b.Healthy(); err != nil {
		return err
	}
	b.bus.mu.Lock()
	defer b.bus.mu.Unlock()
	for s := range b.bus.receivers {
		if s.owner == b || to != "" && to != s.self {
			continue
		}
		select {
		case s.queue <- data:
		default:
			s.owner.metrics.SlowConsumer.Inc()
			s.owner.losses.Add(1)
			select {
			case s.owner.changes <- struct{}{}:
			default: // it is known that there is one
			}
		}
	}
	return nil
}

// Losses implements backplane.Backplane. What does not fit into a queue is lost.
func (b *Backplane) Losses() uint64 { return b.losses.Load() }

// Changes implements backplane.Backplane.
func (b *Backplane) Changes() <-chan struct{} { return b.changes }

// Subscribe implements backplane.Backplane.
func (b *Backplane) Subscribe(self sio.ReplicaID, receive func(data []byte)) (stop func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed("subscribe")
	}
	s := &subscription{
		owner: b, self: self, queue: make(chan []byte, b.bus.pending), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	b.subs = append(b.subs, s)
	b.bus.mu.Lock()
	b.bus.receivers[s] = struct{}{}
	b.bus.mu.Unlock()
	go s.run(receive) // ended by stop, which waits
	return s.stop, nil
}

// Healthy implements backplane.Backplane.
func (b *Backplane) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed("publish")
	}
	return nil
}

// Close implements backplane.Backplane.
func (b *Backplane) Close() {
	b.mu.Lock()
	subs := b.subs
	b.subs, b.closed = nil, true
	b.mu.Unlock()
	b.metrics.Connected.Set(0)
	for _, s := range subs {
		s.stop()
	}
}

// run gives one copy of each envelope to receive: it owns what it gets, and the bus shares one
// among all.
func (s *subscription) run(receive func([]byte)) {
	defer close(s.ended)
	for {
		select {
		case <-s.quit:
			return
		case data := <-s.queue:
			receive(append([]byte(nil), data...))
		}
	}
}

func (s *subscription) stop() {
	s.once.Do(func() {
		s.owner.bus.mu.Lock()
		delete(s.owner.bus.receivers, s)
		s.owner.bus.mu.Unlock()
		close(s.quit)
	})
	<-s.ended
}

func errClosed(op string) error { return sio.E(sio.CodeClosed, op, "the backplane is closed") }
