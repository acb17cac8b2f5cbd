// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// run sends heartbeats, looks after the others' and does the chores, until Stop.
func (m *Mesh) run() {
	ticks := time.NewTicker(m.options.Interval)
	defer ticks.Stop()
	// Between heartbeats too, since handlers wait to hear of a dead replica's sockets.
	looks := time.NewTicker(max(m.options.Interval/looksPerBeat, 1))
	defer looks.Stop()
	last := time.Now()
	// Who was suspended has not listened either: the others are not dead, and may take this one for
	// dead.
	slept := func(now time.Time) bool {
		slept := now.Sub(last) > m.options.Dead/2
		last = now
		return slept
	}
	for {
		select {
		case <-m.life.Done():
			return
		case <-m.backplane.Changes():
			m.linkChanged()
		case <-m.lifeline:
			m.doChores()
		case <-m.dispatcher.Changes():
			m.instancesChanged()
		case <-ticks.C:
			now := time.Now()
			m.tick(now, slept(now))
		case <-looks.C:
			now := time.Now()
			if slept(now) {
				m.tick(now, true)
			} else {
				m.look(now)
			}
		}
	}
}

// looksPerBeat is how often between two heartbeats the silence of others is looked at.
const looksPerBeat = 4

// look takes replicas for dead that have been silent for too long.
func (m *Mesh) look(now time.Time) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.expireLocked(now) {
		m.orphanedDisconnectsLocked(now)
		m.reconcileLocked()
	}
}

func (m *Mesh) tick(now time.Time, slept bool) {
	m.changing.Lock()
	m.lookLocked()
	if slept {
		m.suspectLocked()
	}
	if slept || len(m.doubt.awaited) > 0 {
		m.askLocked()
	} else {
		m.beat("", false, 0)
	}
	m.changing.Unlock()
	for _, to := range m.publisher.Owed() {
		m.send(to, &backplane.Lost{})
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if slept {
		m.log.Warn("process was paused longer than the heartbeat timeout; rediscovering peers", "setting", "replica-timeout")
		m.mu.Lock()
		for _, x := range m.members {
			x.lastSeen = now
		}
		m.mu.Unlock()
		m.healthy = time.Time{}
		return
	}
	m.expireLocked(now)
	m.settleLocked(now)
	m.orphanedDisconnectsLocked(now)
	m.reconcileLocked() // also tries again what the dispatcher refused before
}

// expireLocked removes the replicas that have been silent for too long, and tells whether there are
// any.
func (m *Mesh) expireLocked(now time.Time) (died bool) {
	for _, x := range m.members {
		m.mu.Lock()
		silent := now.Sub(x.lastSeen)
		m.mu.Unlock()
		if silent >= m.options.Dead {
			m.metrics.Died.Inc()
			m.log.Warn("peer timed out", "peer", x.id, "duration", silent)
			m.removeLocked(x, m.publisher.Died)
			m.diedLocked(x.id)
			died = true
		}
	}
	return died
}

func (m *Mesh) doChores() {
	m.mu.Lock()
	chores := m.chores
	m.chores = nil
	m.mu.Unlock()
	m.changing.Lock()
	defer m.changing.Unlock()
	for _, chore := range chores {
		chore()
	}
	m.reconcileLocked()
}

// instancesChanged follows the instances that attach to this replica and detach: peers
// learn it, and what is here need not be borrowed.
func (m *Mesh) instancesChanged() {
	// the others take an instance that has left for one that sends no more
	m.publisher.FlushResults()
	m.beat("", false, 0)
	m.forgetGone()
	m.changing.Lock()
	defer m.changing.Unlock()
	m.reconcileLocked()
}

// beat sends a heartbeat, to all when to is empty. One that asks is answered, and the answer
// repeats its id. While nobody can be reached none is sent: it would be out of date when it
// arrives.
func (m *Mesh) beat(to sio.ReplicaID, hello bool, answers uint64) {
	if m.backplane.Healthy() != nil {
		return
	}
	h := &backplane.Heartbeat{
		Cluster: m.options.Cluster, GRPCAddress: m.options.GRPCAddress, HTTPAddress: m.options.HTTPAddress,
		StartedMs: m.started.UnixMilli(), Instances: m.dispatcher.Attached(), Hello: hello, Sent: m.publisher.Sent(),
		ForwardAddress: m.options.ForwardAddress, HelloID: m.doubt.hello.Load(), Answers: answers,
	}
	if err := m.publisher.Send(to, h); err != nil {
		m.log.Warn("heartbeat not sent; peers may consider this replica dead", "err", err)
	}
}

func (m *Mesh) send(to sio.ReplicaID, body backplane.Body) {
	if err := m.publisher.Send(to, body); err != nil {
		m.log.Debug("envelope not sent", "peer", to, "err", err)
	}
}

// heard takes a member's heartbeat.
func (m *Mesh) heard(origin sio.ReplicaID, h *backplane.Heartbeat) {
	if h.Cluster != m.options.Cluster {
		m.metrics.Foreign.Inc()
		return
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.stopped {
		return
	}
	x := m.members[origin]
	fresh := x == nil
	if fresh {
		x = &member{id: origin, offers: make(map[sio.InstanceID]*offer)}
		m.publisher.Joined(origin)
		m.metrics.Joined.Inc()
		m.metrics.Peers.Inc()
		m.log.Info("peer joined", "peer", origin, "address", h.GRPCAddress, "url", h.HTTPAddress)
	}
	changed := fresh || x.heartbeat.GRPCAddress != h.GRPCAddress || x.heartbeat.HTTPAddress != h.HTTPAddress || len(x.heartbeat.Instances) != len(h.Instances)
	m.mu.Lock()
	m.members[origin] = x
	x.heartbeat, x.lastSeen = *h, time.Now()
	m.mu.Unlock()
	m.answeredLocked(origin, h.Answers)
	if _, awaited := m.doubt.awaited[origin]; h.Hello || fresh {
		m.beat(origin, awaited, h.HelloID)
	}
	x.offered(h.Instances)
	m.reconcileLocked()
	if fresh && time.Since(m.started) < m.options.Dead {
		m.learnAbsent()
	}
	if changed {
		m.notify()
	}
}

// offered takes the instances of a heartbeat over.
func (x *member) offered(instances []backplane.Instance) {
	old := x.offers
	x.offers = make(map[sio.InstanceID]*offer, len(instances))
	for _, i := range instances {
		id := i.Register.Instance
		if o := old[id]; o != nil && o.Generation == i.Generation {
			same := func(a, b sio.Registration) bool { return a.Equal(&b) }
			o.changed = o.changed || !slices.EqualFunc(o.Register.Namespaces, i.Register.Namespaces, same)
			o.Register, o.Draining = i.Register, i.Draining
			x.offers[id] = o
			continue
		}
		x.offers[id] = &offer{Instance: i}
	}
}

// left takes a member's bye.
func (m *Mesh) left(origin sio.ReplicaID) {
	m.changing.Lock()
	defer m.changing.Unlock()
	x := m.members[origin]
	if x == nil {
		return
	}
	m.metrics.Left.Inc()
	m.log.Info("peer left", "peer", origin)
	m.inbox.Left(origin)
	m.remoteLanes.forgetAll(origin)
	m.removeLocked(x, m.publisher.Left)
	delete(m.doubt.awaited, origin)
	m.tellDoubtLocked()
	m.reconcileLocked()
}

// removeLocked also says how the member went to those that wait for its answers.
func (m *Mesh) removeLocked(x *member, went func(sio.ReplicaID)) {
	m.mu.Lock()
	delete(m.members, x.id)
	m.departedLocked(x.id)
	m.mu.Unlock()
	went(x.id)
	m.lent.forget(x.id)
	m.metrics.Peers.Dec()
	m.notify()
}

// seen notes that the replica lives.
func (m *Mesh) seen(origin sio.ReplicaID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.members[origin]; x != nil {
		x.lastSeen = time.Now()
	}
}
