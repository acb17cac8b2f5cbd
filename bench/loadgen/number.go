// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// beat is how often numbered events leave; those that are due leave together.
const beat = 5 * time.Millisecond

// Numbers says what numbered events are like.
type Numbers struct {
	// Event is the name of all events. Each has the arguments client, number and padding; its
	// handler must answer with the number alone.
	Event string
	// PerSecond is how many leave, of all clients in turn. A server that does not read makes them
	// late.
	PerSecond int
	// First is the number of the first client in the events' arguments.
	First int
	// Padding is how many bytes each event carries besides.
	Padding int
	// Most is how many leave at all. Zero means that only Stop ends them.
	Most int
}

// Numbering sends numbered events and keeps the books of their acks: it is for faults, where
// nothing may be lost or come twice. The events of each client count from 0.
type Numbering struct {
	fleet   *Fleet
	numbers Numbers
	padding string
	clients []numbered
	quit    chan struct{}
	paced   chan struct{} // closed when the last event has left
	stop    sync.Once

	sent, acked, repeated, wrong atomic.Int64
}

type numbered struct {
	mu    sync.Mutex // guards all below: the pacer appends, the reader ticks off
	acked []bool     // by number
}

// Number starts to send numbered events, until Stop.
func (f *Fleet) Number(numbers Numbers) *Numbering {
	n := &Numbering{
		fleet: f, numbers: numbers, padding: strings.Repeat("x", numbers.Padding), clients: make([]numbered, len(f.clients)),
		quit: make(chan struct{}), paced: make(chan struct{}),
	}
	for _, c := range f.clients {
		c.on = n
	}
	go n.pace() // ends with Stop
	return n
}

func (n *Numbering) pace() {
	defer close(n.paced)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	perBeat := float64(n.numbers.PerSecond) * beat.Seconds()
	for due := perBeat; ; due += perBeat {
		for ; due >= 1; due-- {
			if most := int64(n.numbers.Most); most > 0 && n.sent.Load() == most {
				return
			}
			n.send(n.fleet.clients[n.sent.Load()%int64(len(n.fleet.clients))])
		}
		select {
		case <-ticker.C:
		case <-n.quit:
			return
		}
	}
}

func (n *Numbering) send(c *client) {
	state := &n.clients[c.index]
	state.mu.Lock()
	id := uint64(len(state.acked))
	state.acked = append(state.acked, false)
	state.mu.Unlock()
	n.sent.Add(1)
	args := fmt.Sprintf("%d,%d,%q", n.numbers.First+c.index, id, n.padding)
	packet := newEvent(n.numbers.Event, args)
	packet.queue(c, id)
	_ = c.flush() // the reader reports a connection that was lost
}

func (n *Numbering) ack(c *client, id uint64, args []byte) {
	state := &n.clients[c.index]
	state.mu.Lock()
	defer state.mu.Unlock()
	switch {
	case id >= uint64(len(state.acked)), !bytes.Equal(args, append(strconv.AppendUint([]byte{'['}, id, 10), ']')):
		n.wrong.Add(1)
	case state.acked[id]:
		n.repeated.Add(1)
	default:
		state.acked[id] = true
		n.acked.Add(1)
	}
}

func (n *Numbering) event(*client) {}

// Sent counts the events that left.
func (n *Numbering) Sent() int { return int(n.sent.Load()) }

// Acked counts the events that were acked.
func (n *Numbering) Acked() int { return int(n.acked.Load()) }

// Repeated counts the acks of events that were acked before.
func (n *Numbering) Repeated() int { return int(n.repeated.Load()) }

// Wrong counts the acks that answer no event of theirs.
func (n *Numbering) Wrong() int { return int(n.wrong.Load()) }

// Stop sends nothing more. It may be called more than once.
func (n *Numbering) Stop() {
	n.stop.Do(func() { close(n.quit) })
	<-n.paced
}

// Reach waits until a counter of the numbering has a value, or a client was lost.
func (n *Numbering) Reach(ctx context.Context, count func() int, value int) error {
	for count() < value {
		if err := n.fleet.wait(ctx, beat); err != nil {
			return fmt.Errorf("at %d of %d: %w", count(), value, err)
		}
	}
	return nil
}

// Settle sends nothing more and waits until everything is acked, or a client was lost.
func (n *Numbering) Settle(ctx context.Context) error {
	n.Stop()
	return n.Reach(ctx, n.Acked, n.Sent())
}
