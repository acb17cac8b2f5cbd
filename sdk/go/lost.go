// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"strings"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Sockets of a broken stream. While their replica lives, it assigns them to attached instances, and
// notifies one of these of each disconnect. When it is dead, no other process knows which sockets
// this instance served, so the instance calls its own disconnect handlers. The rules:
//
//  1. When a stream breaks, its replica is lost. The scheduler tracks the sockets that the replica
//     owns and whose handlers ran here.
//  2. A lost replica is found when a stream to it opens, over any address. Its sockets continue on
//     that stream; the replica releases those that it has assigned to other instances.
//  3. A lost replica is dead when another replica that knew it no longer does, when another replica
//     listens at its address, or when it was lost for its setting replica-timeout and no attached
//     replica knows it.
//  4. The disconnect handler of each socket of a dead replica runs, after the events of the socket
//     that are under way.
//  5. A socket that arrives over another stream is no longer tracked. A disconnect that arrives
//     over another stream is dropped when the handler of the socket has run.
//  6. A service that stops declares its lost replicas dead, except those that an attached replica
//     knows.

const (
	reasonLost = "transport error" // the reason that surviving replicas report
	// fallbackReplicaTimeout is for brokers that do not announce theirs.
	fallbackReplicaTimeout = 10 * time.Second
	// lostBackoff bounds the pause between attempts to attach to a lost replica.
	lostBackoff = time.Second
	// latest is the delay of a timer in a running process that still counts as in time. A process
	// that was paused for longer has not tried to attach meanwhile.
	latest = time.Second
	// maxNotified bounds the number of sockets that are remembered as notified.
	maxNotified = 1 << 16
)

// lostReplica is a replica whose stream broke. Its fields are guarded by the scheduler's mu.
type lostReplica struct {
	id       string
	via      string // the address that was dialled
	address  string // the one that it announces
	alone    bool   // it knew no other replica
	timeout  time.Duration
	due      time.Time
	overdue  bool
	timer    *time.Timer
	sockets  map[string]*Socket
	watchers map[*stream]struct{} // to replicas that have known it since
}

// addressesFromProto returns the addresses of a topology by replica.
func addressesFromProto(t *spanwirev1.Topology) map[string]string {
	all := make(map[string]string, len(t.GetReplicas()))
	for _, r := range t.GetReplicas() {
		all[r.GetId()] = r.GetAddress()
	}
	return all
}

// trackLostLocked tracks the sockets of a stream that broke.
func (p *scheduler) trackLostLocked(s *stream) {
	id := s.welcome.GetReplica()
	if id == "" || p.closed {
		return
	}
	for _, other := range p.streams {
		if other.welcome.GetReplica() == id && !other.ended.Load() {
			return
		}
	}
	sockets := map[string]*Socket{}
	p.eachNamespaceLocked(func(n *Namespace) {
		for _, socket := range n.sockets {
			if socket.stream.Load() == s && socket.served && !socket.disconnected && !socket.released && strings.HasPrefix(socket.id, id) {
				sockets[socket.id] = socket
			}
		}
	})
	if len(sockets) == 0 {
		return
	}
	if before := p.lost[id]; before != nil { // lost twice, without a stream between
		before.timer.Stop()
	}
	timeout := cmp.Or(time.Duration(s.welcome.GetReplicaTimeoutMs())*time.Millisecond, fallbackReplicaTimeout)
	l := &lostReplica{
		id: id, via: s.via, address: s.replicas[id], alone: len(s.replicas) <= 1, timeout: timeout, due: time.Now().Add(timeout),
		sockets: sockets, watchers: map[*stream]struct{}{},
	}
	l.timer = time.AfterFunc(timeout, func() { p.lossTimedOut(l) })
	if p.lost == nil {
		p.lost = map[string]*lostReplica{}
	}
	p.lost[id] = l
	p.judgeLocked(l)
}

func (p *scheduler) eachNamespaceLocked(f func(n *Namespace)) {
	for _, n := range p.service.namespaces {
		f(n)
	}
	for _, n := range p.children {
		f(n)
	}
}

// lossTimedOut runs when a replica was lost for its timeout.
func (p *scheduler) lossTimedOut(l *lostReplica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost[l.id] != l || p.closed {
		return
	}
	if now := time.Now(); now.Sub(l.due) > latest {
		l.due = now.Add(l.timeout)
		l.timer.Reset(l.timeout)
		return
	}
	l.overdue = true
	p.judgeLocked(l)
}

// topologyChanged stores the replicas that a broker announced on a stream.
func (p *scheduler) topologyChanged(s *stream, replicas map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.replicas = replicas
	for _, l := range p.lost {
		p.judgeLocked(l)
	}
}

// judgeLocked checks whether a lost replica is dead.
func (p *scheduler) judgeLocked(l *lostReplica) {
	known, denied := false, false
	for _, s := range p.streams {
		if s.ended.Load() {
			continue
		}
		_, knows := s.replicas[l.id]
		_, knew := l.watchers[s]
		if knows {
			l.watchers[s] = struct{}{}
		}
		known = known || knows
		denied = denied || knew && !knows
	}
	if denied || l.overdue && !known {
		p.declareDeadLocked(l)
	}
}

// introducedLocked handles a stream that opened: it may belong to a lost replica, or prove that one
// is dead.
func (p *scheduler) introducedLocked(s *stream) {
	id := s.welcome.GetReplica()
	for _, other := range p.streams {
		if other != s && other.welcome.GetReplica() == id { // this stream replaces it
			p.eachNamespaceLocked(func(n *Namespace) {
				for _, socket := range n.sockets {
					socket.stream.CompareAndSwap(other, s)
				}
			})
		}
	}
	if l := p.lost[id]; l != nil {
		l.timer.Stop()
		delete(p.lost, id)
		for _, socket := range l.sockets {
			p.restoreLocked(socket, s)
		}
	}
	address := s.replicas[id]
	for _, l := range p.lost {
		if l.via == s.via && (l.address != "" && l.address == address || l.alone && len(s.replicas) <= 1) {
			p.declareDeadLocked(l)
		} else {
			p.judgeLocked(l)
		}
	}
}

// restoreLocked moves a socket of a replica that was found to its new stream.
func (p *scheduler) restoreLocked(socket *Socket, s *stream) {
	n := socket.namespace
	if other := n.sockets[socket.id]; other != nil && other != socket {
		return
	}
	if n.dynamic {
		if other := p.children[n.name]; other != nil && other != n {
			return
		}
		p.children[n.name] = n
	}
	socket.gone = false
	n.sockets[socket.id] = socket
	socket.stream.Store(s)
}

// declareDeadAll declares the lost replicas dead that no attached replica knows, when the service
// stops.
func (p *scheduler) declareDeadAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lost {
		l.overdue = true
		p.judgeLocked(l)
	}
}

// declareDeadLocked queues the disconnects of the sockets of a dead replica.
func (p *scheduler) declareDeadLocked(l *lostReplica) {
	l.timer.Stop()
	delete(p.lost, l.id)
	p.service.options.Logger.Warn("replica is dead; its sockets count as disconnected", "peer", l.id, "sockets", len(l.sockets),
		"reason", reasonLost, "setting", "replica-timeout")
	for _, socket := range l.sockets {
		p.notified.add(socket.id)
		h := socket.namespace.live.disconnect
		if h == nil {
			continue
		}
		t := &task{
			kind: kindDisconnected, handler: h, namespace: socket.namespace, stream: socket.stream.Load(),
			reason: cmp.Or(socket.reason, reasonLost), orphaned: true,
		}
		t.Socket = socket
		socket.left.Store(new([]string))
		p.queueLocked(t, &socket.lane)
	}
	p.armLocked()
	if p.first != nil && p.busy.Load() == 0 {
		p.startLocked()
	}
}

// reclaimLocked returns a tracked socket to its namespace. It returns nil for a socket that is not
// tracked.
func (p *scheduler) reclaimLocked(n *Namespace, id string) *Socket {
	for _, l := range p.lost {
		if socket := l.sockets[id]; socket != nil {
			delete(l.sockets, id)
			if socket.namespace == n {
				socket.gone = false
				n.sockets[id] = socket
				return socket
			}
		}
	}
	return nil
}

// dropLostLocked stops tracking a socket.
func (p *scheduler) dropLostLocked(id string) {
	for _, l := range p.lost {
		delete(l.sockets, id)
	}
}

// hasLost reports whether the replica is lost with sockets of this instance.
func (p *scheduler) hasLost(replica string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost[replica] != nil
}

// notifiedSockets remembers the sockets whose disconnect handlers ran without a message from the
// broker.
type notifiedSockets struct {
	ids  map[string]struct{}
	ring []string // oldest first from next on
	next int
}

func (t *notifiedSockets) add(id string) {
	if _, ok := t.ids[id]; ok {
		return
	}
	if t.ids == nil {
		t.ids = map[string]struct{}{}
	}
	if len(t.ring) < maxNotified {
		t.ring = append(t.ring, id)
	} else {
		delete(t.ids, t.ring[t.next])
		t.ring[t.next] = id
		t.next = (t.next + 1) % maxNotified
	}
	t.ids[id] = struct{}{}
}

func (t *notifiedSockets) has(id []byte) bool {
	_, ok := t.ids[string(id)]
	return ok
}

func (t *notifiedSockets) forget(id string) { delete(t.ids, id) }
