// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"strings"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// What becomes of sockets when a stream breaks. While their replica lives, the replica gives them
// to instances that are attached, and tells one of them of each disconnect. When it is dead, nobody
// else knows which sockets this instance served, so it tells its own handlers. The rules:
//
// 1. A stream that breaks leaves the sockets behind that its replica owns and whose handlers ran
// here: the replica is lost. 2. A lost replica is found when a stream to it opens, over whichever
// address. Nothing is said then, and the sockets go on with that stream:
//     the replica releases those that it gave to other instances meanwhile.
// 3. It is dead when another replica that knew it does not any more; when another one listens at
// its address; or when it was lost for
//     as long as its setting replica-timeout says, and no attached replica knows it.
// 4. Handlers of a dead replica's sockets are told of the disconnect, behind what still runs of the
// socket. 5. A socket that comes over another stream is not left behind any more. A disconnect that
// comes over another stream of a socket whose
//     handler was told is dropped.
// 6. A service that leaves tells what it would not live to tell, unless an attached replica knows
// the lost one.

const (
	reasonLost = "transport error" // what surviving replicas say of a dead one's sockets
	// fallbackReplicaTimeout is for brokers that do not tell theirs.
	fallbackReplicaTimeout = 10 * time.Second
	// lostBackoff bounds the pause between attempts to attach to a lost replica.
	lostBackoff = time.Second
	// latest is by how much a timer may be late in a process that runs. One that was paused has not
	// tried to attach meanwhile.
	latest = time.Second
	// maxNotified bounds the ids of sockets whose handlers were told.
	maxNotified = 1 << 16
)

// lostReplica is a replica whose stream broke. Its fields are guarded by the scheduler's mu.
type lostReplica struct {
	id       string
	via      string // the address that was dialled
	address  string // the one that it told the others
	alone    bool   // it knew no other replica
	timeout  time.Duration
	due      time.Time
	overdue  bool
	timer    *time.Timer
	sockets  map[string]*Socket
	watchers map[*stream]struct{} // of replicas that have known it since
}

// addressesFromProto gives the addresses of a topology by the replicas' names.
func addressesFromProto(t *spanwirev1.Topology) map[string]string {
	all := make(map[string]string, len(t.GetReplicas()))
	for _, r := range t.GetReplicas() {
		all[r.GetId()] = r.GetAddress()
	}
	return all
}

// trackLostLocked follows the loss of a stream.
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
	if before := p.lost[id]; before != nil { // no stream opened in between
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

// lossTimedOut is called when a replica was lost for its timeout.
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

// topologyChanged follows the list of replicas that a stream told.
func (p *scheduler) topologyChanged(s *stream, replicas map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.replicas = replicas
	for _, l := range p.lost {
		p.judgeLocked(l)
	}
}

// judgeLocked finds out whether a lost replica is dead.
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

// introducedLocked follows a stream that opened.
func (p *scheduler) introducedLocked(s *stream) {
	id := s.welcome.GetReplica()
	for _, other := range p.streams {
		if other != s && other.welcome.GetReplica() == id { // this stream takes its place
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

// restoreLocked has a socket of a replica that was found go on.
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

// declareDeadAll tells of all lost replicas that no attached one knows, since the service leaves.
func (p *scheduler) declareDeadAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lost {
		l.overdue = true
		p.judgeLocked(l)
	}
}

// declareDeadLocked has handlers told that the sockets of a dead replica are gone.
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

// reclaimLocked takes a socket back that was left behind; it gives nil when it was not.
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

// dropLostLocked forgets that a socket was left behind.
func (p *scheduler) dropLostLocked(id string) {
	for _, l := range p.lost {
		delete(l.sockets, id)
	}
}

// hasLost tells whether sockets of the replica wait for it to be found.
func (p *scheduler) hasLost(replica string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost[replica] != nil
}

// notifiedSockets remembers the sockets whose handlers were told without the broker.
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
