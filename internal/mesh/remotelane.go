// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// remoteLanes are the sockets of other replicas that instances here have met and whose disconnect
// they subscribe to. When a replica dies, only this one can notify them. A replica that leaves
// after a drain has notified them itself.
type remoteLanes struct {
	mu   sync.Mutex
	here map[sio.ReplicaID]map[remoteLane]sio.Namespace // guarded by mu
}

type remoteLane struct {
	lentTo
	socket sio.SocketID
}

// met follows a dispatch that was handed to an instance. wants is asked for sockets that are new to
// it.
func (g *remoteLanes) met(origin sio.ReplicaID, who remoteLane, d *backplane.Dispatch, wants func(lentTo, sio.Namespace) bool) {
	switch {
	case d.Kind == backplane.KindDisconnected:
		g.forget(origin, who)
	case d.Introduction != nil && wants(who.lentTo, d.Namespace):
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.here[origin] == nil {
			g.here[origin] = make(map[remoteLane]sio.Namespace)
		}
		g.here[origin][who] = d.Namespace
	}
}

func (g *remoteLanes) forget(origin sio.ReplicaID, who remoteLane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.here[origin], who)
	if len(g.here[origin]) == 0 {
		delete(g.here, origin)
	}
}

func (g *remoteLanes) forgetAll(origin sio.ReplicaID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.here, origin)
}

// of gives the remoteLanes of the replicas for which gone is true.
func (g *remoteLanes) of(gone func(sio.ReplicaID) bool) map[sio.ReplicaID]map[remoteLane]sio.Namespace {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := make(map[sio.ReplicaID]map[remoteLane]sio.Namespace)
	for origin, all := range g.here {
		if gone(origin) {
			found[origin] = maps.Clone(all)
		}
	}
	return found
}

// wantsDisconnect tells whether the instance registered for disconnects in the namespace.
func (m *Mesh) wantsDisconnect(to lentTo, ns sio.Namespace) bool {
	for _, a := range m.dispatcher.Attached() {
		if a.Register.Instance != to.instance || a.Generation != to.generation {
			continue
		}
		return slices.ContainsFunc(a.Register.Namespaces, func(r sio.Registration) bool { return r.Disconnect && r.Covers(ns) })
	}
	return false
}

// orphanedDisconnectsLocked notifies instances that the sockets of dead replicas are gone. It
// trusts a silence only when this replica has itself been connected all the while: else it is this
// one that is cut off, and the others' sockets live.
func (m *Mesh) orphanedDisconnectsLocked(now time.Time) {
	if m.backplane.Healthy() != nil {
		m.healthy = time.Time{}
		return
	}
	if m.healthy.IsZero() {
		m.healthy = now
	}
	if now.Sub(m.healthy) < m.options.Dead {
		return
	}
	dead := m.remoteLanes.of(func(origin sio.ReplicaID) bool { return m.members[origin] == nil })
	for origin, all := range dead {
		touched := make(map[sio.InstanceID]struct{})
		for who, ns := range all {
			err := m.dispatcher.DispatchRemote(who.instance, who.generation, &backplane.Dispatch{
				ID: sio.DispatchID(rand.Uint64()), Socket: who.socket, Namespace: ns,
				Kind: backplane.KindDisconnected, Reason: sio.ReasonTransportError,
			}, func(sio.DispatchID, sio.Result) {})
			if sio.CodeOf(err) == sio.CodeTooLarge {
				continue // too many wait for the instance just now; the next tick tries again
			}
			m.remoteLanes.forget(origin, who)
			if err == nil {
				m.metrics.OrphanedDisconnects.Inc()
				touched[who.instance] = struct{}{}
			}
		}
		for instance := range touched {
			m.dispatcher.Flush(instance)
		}
	}
}

// forgetGone drops what is known of instances that are not attached here any more: the replicas
// that own the sockets give them elsewhere.
func (m *Mesh) forgetGone() {
	here := make(map[lentTo]bool)
	for _, a := range m.dispatcher.Attached() {
		here[lentTo{a.Register.Instance, a.Generation}] = true
	}
	m.lent.keep(here)
	for origin, all := range m.remoteLanes.of(func(sio.ReplicaID) bool { return true }) {
		for who := range all {
			if !here[who.lentTo] {
				m.remoteLanes.forget(origin, who)
			}
		}
	}
}
