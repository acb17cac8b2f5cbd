// SPDX-License-Identifier: Apache-2.0

// Package mesh is the entry point of the other replicas. It knows which of them are there, carries
// their commands out on this replica's sockets, asks those for acks on their behalf, and lends
// instances both ways: an instance that is attached to another replica only is offered to this
// one's dispatcher, and dispatches of other replicas are handed to the instances here.
//
// Replicas find each other by heartbeats. A new one says hello, and the others answer at once; one
// that leaves says bye; one that is silent for too long is taken for dead. Nothing here publishes
// what came from the backplane, so nothing travels twice.
package mesh

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Options of a mesh.
type Options struct {
	Replica     sio.ReplicaID
	Cluster     string
	GRPCAddress string // where instances reach this replica from elsewhere; may be empty
	HTTPAddress string // where other replicas reach the browsers' entry point; may be empty
	// where they hand over requests of this replica's sessions; may be empty
	ForwardAddress string
	Interval       time.Duration // between heartbeats
	Dead           time.Duration // after which a silent replica is taken for dead
	MaxGathers     int           // emits, messages and queries of others that wait here at a time

	MaxQueryResults int // sockets or rooms in the answer to a query of others

	Calls Calls // nil when no calls with idempotency keys are taken
}

// Calls knows what was called with idempotency keys here.
type Calls interface {
	Find(caller sio.ReplicaID, q *sio.FindCall) sio.Found
}

// Replica is one replica of the cluster.
type Replica struct {
	ID             sio.ReplicaID
	GRPCAddress    string
	HTTPAddress    string
	ForwardAddress string // where it takes requests of its sessions; empty when it takes none
	Started        time.Time
	Instances      int // attached to it; zero for this replica itself, which needs no count
}

// Mesh is this replica's place among the others.
type Mesh struct {
	options    Options
	backplane  backplane.Backplane
	publisher  *backplane.Publisher
	inbox      *backplane.Inbox
	hub        *hub.Hub
	dispatcher Dispatcher
	metrics    *metrics.Mesh
	log        *slog.Logger
	started    time.Time

	// life ends the goroutines; stop waits for them.
	quiet      loglimit.ByReason
	challenges loglimit.Limiter

	life       context.Context // the mesh is the life of its link to the others
	end        context.CancelFunc
	goroutines sync.WaitGroup
	unlisten   func()
	lifeline   chan struct{} // wakes the goroutine of the heartbeats

	// changing serializes all that alters who is there and what is borrowed. It is held while the
	// dispatcher is called, which calls back into borrowed instances only; those never take it.
	changing sync.Mutex
	members  map[sio.ReplicaID]*member // written under changing and mu
	// guarded by changing; since when the backplane is, zero when it is not
	healthy time.Time
	stopped bool   // guarded by changing
	doubt   doubt  // guarded by changing
	leases  uint64 // guarded by changing; counts what was borrowed

	remoteLanes remoteLanes
	lent        lent
	results     chan struct{} // wakes the goroutine that sends results

	mu       sync.Mutex
	borrowed map[sio.InstanceID]*borrowed // written under changing and mu
	departed map[sio.ReplicaID]time.Time  // guarded by mu; when members were removed
	watchers map[chan struct{}]struct{}   // guarded by mu
	chores   []func()                     // guarded by mu; for the goroutine of the heartbeats
	gathers  int                          // guarded by mu
}

// member is another replica.
type member struct {
	id        sio.ReplicaID
	heartbeat backplane.Heartbeat // the last one
	lastSeen  time.Time           // guarded by Mesh.mu
	offers    map[sio.InstanceID]*offer
}

// offer is an instance that a member announced.
type offer struct {
	backplane.Instance
	refused bool // by the dispatcher, and said
	changed bool // it declares something else than the dispatcher knows
}

// New makes a mesh; Start joins the others.
func New(o Options, b backplane.Backplane, p *backplane.Publisher, in *backplane.Inbox, h *hub.Hub, d Dispatcher, m *metrics.Mesh,
	log *slog.Logger,
) *Mesh {
	life, end := context.WithCancel(context.Background())
	mesh := &Mesh{
		options: o, backplane: b, publisher: p, inbox: in, hub: h, dispatcher: d, metrics: m, log: log,
		life: life, end: end, lifeline: make(chan struct{}, 1),
		quiet:       loglimit.ByReason{PerSecond: 1},
		challenges:  loglimit.Limiter{PerSecond: 100}, // more than replicas that are new
		doubt:       doubt{awaited: make(map[sio.ReplicaID]struct{})},
		members:     make(map[sio.ReplicaID]*member),
		borrowed:    make(map[sio.InstanceID]*borrowed),
		departed:    make(map[sio.ReplicaID]time.Time),
		watchers:    make(map[chan struct{}]struct{}),
		lent:        lent{open: make(map[lentTo]map[sio.DispatchID]struct{}), leases: make(map[borrower]*lease)},
		results:     make(chan struct{}, 1),
		remoteLanes: remoteLanes{here: make(map[sio.ReplicaID]map[remoteLane]sio.Namespace)},
	}
	mesh.newQuestion()
	return mesh
}

// Start listens to the other replicas and says hello. It is called once.
func (m *Mesh) Start() error {
	m.started = time.Now()
	unlisten, err := m.backplane.Subscribe(m.options.Replica, m.receive)
	if err != nil {
		return err
	}
	m.unlisten = unlisten
	m.linkChanged()
	m.goroutines.Go(m.run)         // ended by Stop
	m.goroutines.Go(m.sendResults) // ended by Stop
	return nil
}

// Stop says bye, gives back what was borrowed, and returns when nothing of the mesh runs any more.
// It is called once, after Start.
func (m *Mesh) Stop() {
	m.end()
	m.unlisten() // before the wait: what is received may start goroutines
	m.goroutines.Wait()
	if err := m.publisher.Send("", &backplane.Bye{Sent: m.publisher.Sent()}); err != nil {
		m.log.Warn("leave not announced to peers", "err", err)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	m.stopped = true
	for _, x := range m.members {
		m.removeLocked(x, m.publisher.Left)
	}
	m.reconcileLocked()
}

// Replicas lists the replicas that are there, this one first, the others by age.
func (m *Mesh) Replicas() []Replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Replica, 0, len(m.members)+1)
	all = append(all, Replica{
		ID: m.options.Replica, GRPCAddress: m.options.GRPCAddress, HTTPAddress: m.options.HTTPAddress, ForwardAddress: m.options.ForwardAddress,
		Started: m.started,
	})
	for _, x := range m.members {
		all = append(all, x.replica())
	}
	slices.SortFunc(all[1:], func(a, b Replica) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return all
}

// Watch gives a channel that holds a value whenever what Replicas says has changed since it was
// last read. stop ends that.
func (m *Mesh) Watch() (changes <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[c] = struct{}{}
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, c)
	}
}

// Replica tells one of the other replicas, for requests that must go there.
func (m *Mesh) Replica(id sio.ReplicaID) (r Replica, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x, ok := m.members[id]
	if !ok {
		return Replica{}, false
	}
	return x.replica(), true
}

// Departed tells how long ago a replica that was there left or was taken for dead.
func (m *Mesh) Departed(id sio.ReplicaID) (ago time.Duration, was bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, was := m.departed[id]
	return time.Since(at), was
}

// maxDeparted bounds the replicas that are remembered after they have gone.
const maxDeparted = 256

// departedLocked remembers a member that has gone. Mesh.mu is held.
func (m *Mesh) departedLocked(id sio.ReplicaID) {
	if len(m.departed) >= maxDeparted {
		oldest := id
		for other, at := range m.departed {
			if before, ok := m.departed[oldest]; !ok || at.Before(before) {
				oldest = other
			}
		}
		delete(m.departed, oldest)
	}
	m.departed[id] = time.Now()
}

// replica is what the member announced of itself. Mesh.mu is held.
func (x *member) replica() Replica {
	return Replica{
		ID: x.id, GRPCAddress: x.heartbeat.GRPCAddress, HTTPAddress: x.heartbeat.HTTPAddress, ForwardAddress: x.heartbeat.ForwardAddress,
		Started: time.UnixMilli(x.heartbeat.StartedMs), Instances: len(x.heartbeat.Instances),
	}
}

func (m *Mesh) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.watchers {
		wake(c)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// later has the chore done by the goroutine of the heartbeats, where it may call the dispatcher.
func (m *Mesh) later(chore func()) {
	m.mu.Lock()
	m.chores = append(m.chores, chore)
	m.mu.Unlock()
	wake(m.lifeline)
}
