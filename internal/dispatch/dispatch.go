// SPDX-License-Identifier: Apache-2.0

// Package dispatch decides which instance gets what happens to a socket, and keeps every dispatch
// until it is resolved. The browsers' entry point calls Connect and then a Binding's Dispatch and
// Disconnect; the handlers' entry point calls Attach and then an Attachment's Resolve, Flush, Drain
// and Detach. The mesh attaches the instances of other replicas in the same way, and hands in their
// dispatches with DispatchRemote.
//
// The rules: one socket has one instance of each service, and its dispatches go there in the order
// in which they came. An instance has at most its window of dispatches open, shared fairly by
// sockets and by what its service handles; what does not fit waits in the socket's own bounded
// queue, and when that is full Dispatch blocks. When an instance detaches, what was open on it goes
// to another in the same order, or waits for one.
//
// Each service has one lock over its attachments and their sockets. It is held while Instance.Queue
// is called, so that the order of hand-outs is the order of the queue, and during no other call to
// the outside.
package dispatch

import (
	"encoding/binary"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Socket is one client in one namespace, as the dispatcher needs it. None of its methods blocks,
// and any may be called from several goroutines at a time.
type Socket interface {
	// ID names the socket. It never changes.
	ID() sio.SocketID
	// Namespace never changes.
	Namespace() sio.Namespace
	// Introduction tells what an instance must know of the socket. It is called under a lock and
	// must not call back.
	Introduction() Introduction
	// Acknowledge queues the ack for the browser. Its bytes are only valid during the call.
	Acknowledge(id sio.AckID, ack sio.Ack)
	// Flush writes what was queued.
	Flush()
}

// Introduction describes a socket to an instance that has no state of it.
type Introduction struct {
	Handshake *sio.Handshake
	Auth      []byte // of the connect: one JSON object, or nil
	Data      sio.Data
	Recovered bool // the socket came back under its old id, and is in its old rooms
}

// Instance takes the dispatches of one attachment.
type Instance interface {
	// Queue appends the dispatch to what will be sent. It is called under a lock: it must neither
	// block nor call back, and must not keep d.
	Queue(d *Dispatch)
	// Release says that the socket goes to another instance, as Queue does: nothing of it is open
	// here, and what is queued of it later introduces it again.
	Release(id sio.SocketID)
	// Flush sends what is queued, as far as it may be sent now. It does not block on the peer.
	Flush()
}

// Distance tells whether an instance is attached to this replica or to another.
type Distance uint8

const (
	// Local instances are attached to this replica.
	Local Distance = iota + 1
	// Remote instances are attached to another replica; they get sockets only while no local one is
	// there.
	Remote
)

// Options are the dispatcher's settings. A zero field takes its default.
type Options struct {
	// Replica is this replica's id; the ids of dispatches are tagged with its hash. Empty draws a
	// random tag.
	Replica sio.ReplicaID
	// QueueEvents and QueueBytes bound what waits for one socket and one service; beyond them
	// Binding.Dispatch blocks. One event is always taken. Defaults 128 and 1 MiB.
	QueueEvents int
	QueueBytes  int
	// ConnectHold is how long a connect waits for a service that is away. Default 20 s, below which
	// clients give up (setting connect-hold).
	ConnectHold time.Duration
	// HoldTimeout is how long events and disconnects wait for a service that is away. Default 5 min
	// (setting hold-timeout).
	HoldTimeout time.Duration
	// Retention is how long a service is known that is away; zero means without a limit (setting
	// service-retention).
	Retention time.Duration
	// RetainLast keeps a service beyond Retention until a connect waits for it alone (setting
	// retain-last-service).
	RetainLast bool
	// Connected tells whether other replicas can be heard. While they cannot, their instances are
	// not known to be away. Nil means always.
	Connected func() bool
	// HoldSockets bounds the sockets whose disconnects wait for one service that is away. Default
	// 10,000 (setting hold-sockets).
	HoldSockets int
	// AbsentBytes bounds what is queued for one service while it is absent, before QueueEvents and
	// QueueBytes hold; one socket may take half of what the others leave. Default 64 MiB; negative
	// means none (setting absent-service-bytes).
	AbsentBytes int
	// RebalanceRate is how many idle sockets of one service move in a second to instances that have
	// fewer. Default 10; negative means none (setting rebalance-rate).
	RebalanceRate int
	// RebalanceRatio is how many percent of the sockets of the least loaded instance the most
	// loaded one may have before sockets move. Default 125 (setting rebalance-ratio).
	RebalanceRatio int
	// MaxRedeliveries is how often a dispatch is handed out again whose instances go away; then it
	// is set aside. Default 5 (setting max-redeliveries).
	MaxRedeliveries int
	// DrainGrace is how long a draining instance stays at least, for what other replicas sent
	// before they heard of the drain (setting drain-grace).
	DrainGrace time.Duration
	// HandlerTimeout bounds the time to the result, from when a dispatch is the oldest open one of
	// its socket at its instance. Default 30 s; negative means without a limit (setting
	// handler-timeout).
	HandlerTimeout time.Duration
	// DefaultWindow bounds the open dispatches of an instance that names no window, MaxWindow those
	// of one that names more. Defaults 1,024 and 16,384.
	DefaultWindow int
	MaxWindow     int
	// WindowBytes bounds the bytes of an instance's open dispatches. One dispatch is always taken.
	// Default 32 MiB.
	WindowBytes int
	// RemoteEvents and RemoteBytes bound what other replicas may leave waiting for one instance.
	// Defaults 65,536 and 64 MiB.
	RemoteEvents int
	RemoteBytes  int
	// MaxRoomEvents bounds the dispatches that wait for one socket and one service when a room
	// event is added. Default 4,096 (setting max-room-events).
	MaxRoomEvents int
	// MaxServices bounds the services known. Default 1,024.
	MaxServices int
	// MaxDynamic bounds the namespaces with sockets that services registered by pattern only.
	// Default 10,000 (setting max-dynamic-namespaces).
	MaxDynamic int
	// Others reaches the instances of other replicas with messages. Nil means that there are none.
	Others Others
	// Tap gets the outcome of dispatches. Nil means that nobody does.
	Tap Tap
}

func (o Options) withDefaults() Options {
	config.Complete(o.Settings())
	return o
}

// Dispatcher knows the services and where their instances are.
type Dispatcher struct {
	// fixed at birth
	options      Options
	metrics      *metrics.Dispatch
	log          *slog.Logger
	tag          uint64
	changes      chan struct{}
	balanceDelay time.Duration // from a change to the first look at the loads

	counter    atomic.Uint64
	routes     atomic.Pointer[table] // stored by namespaces, under mu
	namespaces namespaces
	unhandled  unhandled
	drops      loglimit.Limiter // lines about dropped dispatches
	failures   loglimit.Limiter // lines about failed handlers
	lates      loglimit.Limiter // lines about results that came too late
	full       loglimit.Limiter // lines about connects refused for lack of room

	mu          sync.Mutex // guards what follows; taken before a service's lock
	services    map[sio.ServiceName]*service
	local       map[sio.InstanceID]*Attachment
	remote      map[sio.InstanceID]*Attachment
	held        map[*Binding]held // connects whose namespace has no instance at all
	generations uint64
}

const (
	counterBits = 44
	tagBits     = 20
)

// New makes a dispatcher that knows no service.
func New(o Options, m *metrics.Dispatch, log *slog.Logger) *Dispatcher {
	d := &Dispatcher{
		options:      o.withDefaults(),
		metrics:      m,
		log:          log,
		tag:          newTag(o.Replica),
		changes:      make(chan struct{}, 1),
		balanceDelay: balanceDelay,
		services:     map[sio.ServiceName]*service{},
		local:        map[sio.InstanceID]*Attachment{},
		remote:       map[sio.InstanceID]*Attachment{},
		held:         map[*Binding]held{},
	}
	d.routes.Store(&table{})
	d.namespaces = namespaces{max: d.options.MaxDynamic, gauge: m.DynamicNamespaces, tables: &d.routes, here: map[sio.Namespace]*namespace{}}
	return d
}

// newTag makes it improbable that two replicas, or two lives of one, give out the same dispatch id.
func newTag(r sio.ReplicaID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(r))
	if r == "" {
		h.Write(binary.LittleEndian.AppendUint64(nil, rand.Uint64()))
	}
	return h.Sum64() >> (64 - tagBits) << counterBits
}

func (d *Dispatcher) nextID() sio.DispatchID {
	return sio.DispatchID(d.tag | d.counter.Add(1)&(1<<counterBits-1))
}

// Close follows the end of all sockets and instances: what still waits for a service that is away
// is not looked after any more.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.services {
		s.mu.Lock()
		s.closeLocked()
		left := s.backlog.events
		s.mu.Unlock()
		if left > 0 {
			d.log.Warn("dispatches dropped: the broker stopped while they waited for a service that is absent", "service", s.name, "count", left)
		}
	}
}

// Options tells the settings in force.
func (d *Dispatcher) Options() Options { return d.options }

// Changes is sent to, without blocking, whenever a local instance attaches, drains or detaches. It
// has one reader.
func (d *Dispatcher) Changes() <-chan struct{} { return d.changes }

func (d *Dispatcher) changed(distance Distance) {
	if distance != Local {
		return
	}
	select {
	case d.changes <- struct{}{}:
	default:
	}
}

// Attached describes one local instance.
type Attached struct {
	// as in force, the window cut down; never changed, but replaced when its registrations change
	Register *sio.Register
	// grows with every attach, so that an instance that attached again is distinguished from its
	// former self
	Generation uint64
	Draining   bool
}

// Attached lists the local instances, in no order.
func (d *Dispatcher) Attached() []Attached {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Attached, 0, len(d.local))
	for _, a := range d.local {
		list = append(list, Attached{Register: a.declared, Generation: a.generation, Draining: a.isDraining()})
	}
	return list
}
