// SPDX-License-Identifier: Apache-2.0

// Package hub knows who is here: the sockets of this replica and their rooms. It delivers events to
// them, carries out joins, leaves and disconnects, and collects acks. The entry points add their
// sockets; callers with a command call Execute, which also publishes it to the other replicas; what
// another replica tells comes in through Apply (or Deliver), which never publishes, so nothing
// travels twice.
//
// The hub never blocks on a browser, and holds no lock while it calls a socket or the publisher.
package hub

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Socket is one client in one namespace, as the hub needs it. None of its methods blocks, and any
// may be called from several goroutines at a time; deliveries of one emitter come one after
// another.
type Socket interface {
	// ID names the socket. It never changes.
	ID() sio.SocketID
	// Deliver queues the event for the browser and flushes, unless d.Unflushed. When d.WantsAck,
	// exactly one of d.Acked and d.Left must follow sooner or later, also when the socket is closed
	// already.
	Deliver(d *Delivery)
	// Disconnect ends the socket, after what was delivered to it before.
	Disconnect(closeSession bool)
}

// Flusher is a Socket that is given deliveries with Unflushed: Flush follows when all receivers
// have queued them.
type Flusher interface{ Flush() }

// Publisher tells and asks the other replicas. Its methods may be called from several goroutines at
// a time.
type Publisher interface {
	// Publish sends the command to the other replicas, in order per calling goroutine. It does not
	// wait for them.
	Publish(cmd sio.Command) error
	// Ask sends the emit to the other replicas before it returns. collect, to be called once,
	// gathers the acks of their sockets until all came or ctx ended. What came is valid also beside
	// an error.
	Ask(ctx context.Context, emit *sio.Emit) (collect func() (sio.Acks, error))
	// Query sends the query to the other replicas before it returns. collect, to be called once,
	// gathers what they found until all answered or ctx ended; it is nil when nobody is to be
	// asked. What came is valid also beside an error.
	Query(ctx context.Context, q sio.Query) (collect func() (sio.Found, error))
	// Others counts the other replicas that a command for the target is sent to.
	Others(t *sio.Target) int
	// Certain tells whether this replica is known to have missed nothing of the others up to now.
	Certain() bool
}

// Hub is the registry of this replica's sockets.
type Hub struct {
	replica   sio.ReplicaID
	publisher Publisher
	metrics   *metrics.Hub
	workers   int // goroutines that share a wide delivery
	wide      int // receivers from which on a delivery is shared

	journal  JournalOptions
	patterns patterns
	tap      Tap // nil when nothing is traced

	ackIDs   atomic.Uint64 // the next id of a delivery that wants acks
	sequence atomic.Uint64 // of the last event that was given an offset
	// the sequence at which commands of other replicas were found missing last
	gap atomic.Uint64

	mu         sync.RWMutex
	namespaces map[sio.Namespace]*namespace // guarded by mu; only those with sockets
}

const (
	// wideReceivers and wideWorkers were measured with BenchmarkHub_Deliver: with a system call for
	// each receiver helpers pay from some 100 receivers on, and four are faster than two also where
	// there are two processors.
	wideReceivers = 128
	wideWorkers   = 4
)

// New makes an empty hub of the replica. The publisher may be Alone.
func New(replica sio.ReplicaID, p Publisher, m *metrics.Hub) *Hub {
	return NewWithJournal(replica, p, JournalOptions{}, m)
}

// NewWithJournal is New of a hub that keeps events for sockets that come back.
func NewWithJournal(replica sio.ReplicaID, p Publisher, o JournalOptions, m *metrics.Hub) *Hub {
	return &Hub{
		journal:    o,
		replica:    replica,
		publisher:  p,
		metrics:    m,
		workers:    wideWorkers,
		wide:       wideReceivers,
		namespaces: make(map[sio.Namespace]*namespace),
	}
}

// Add makes the socket reachable. A socket is added once, before anything may be delivered to it.
func (h *Hub) Add(ns sio.Namespace, s Socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.namespaces[ns]
	if n == nil {
		n = newNamespace()
		n.journal = h.newJournal()
		h.namespaces[ns] = n
		h.metrics.Namespaces.Inc()
	}
	added, ceased := n.add(s)
	if added {
		h.metrics.Sockets.Inc()
	}
	h.metrics.Rooms.Sub(float64(ceased))
}

// Remove takes the socket out of all its rooms and of the namespace, and tells in which rooms it
// was, its own first. Removing one that is not there does nothing.
func (h *Hub) Remove(ns sio.Namespace, id sio.SocketID) (rooms []sio.Room) {
	h.mu.Lock()
	rooms, notified := h.removeLocked(ns, id)
	h.mu.Unlock()
	flushRooms(notified)
	return rooms
}

func (h *Hub) removeLocked(ns sio.Namespace, id sio.SocketID) (rooms []sio.Room, notified []Watcher) {
	n := h.namespaces[ns]
	if n == nil {
		return nil, nil
	}
	rooms, ceased, empty, notified := n.remove(id)
	if rooms == nil {
		return nil, nil
	}
	h.metrics.Sockets.Dec()
	h.metrics.Rooms.Sub(float64(ceased))
	if empty {
		h.ceaseLocked(ns)
	}
	return rooms, notified
}

// ceaseLocked lets go of a namespace that is empty.
func (h *Hub) ceaseLocked(ns sio.Namespace) {
	if j := h.namespaces[ns].journal; j != nil {
		j.clear()
	}
	delete(h.namespaces, ns)
	h.metrics.Namespaces.Dec()
}

// Rooms lists the rooms that the socket is in, its own first. Nil when it is not here.
func (h *Hub) Rooms(ns sio.Namespace, id sio.SocketID) []sio.Room {
	n := h.namespace(ns)
	if n == nil {
		return nil
	}
	return n.roomsOf(id)
}

func (h *Hub) namespace(ns sio.Namespace) *namespace {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.namespaces[ns]
}

// Alone is the Publisher of a replica that has no others.
type Alone struct{}

// Publish implements Publisher: there is nobody to tell.
func (Alone) Publish(sio.Command) error { return nil }

// Ask implements Publisher: there is nobody to ask.
func (Alone) Ask(context.Context, *sio.Emit) func() (sio.Acks, error) {
	return func() (sio.Acks, error) { return sio.Acks{}, nil }
}

// Others implements Publisher: there are none.
func (Alone) Others(*sio.Target) int { return 0 }

// Certain implements Publisher: there is nothing to be missed.
func (Alone) Certain() bool { return true }

// Query implements Publisher: there is nobody to ask.
func (Alone) Query(context.Context, sio.Query) func() (sio.Found, error) { return nil }
