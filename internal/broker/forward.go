// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sessionproxy"
	"github.com/spanwire/spanwire/internal/sio"
)

// openForward opens the listener for requests that other replicas forward, if there can be others.
func (l *listeners) openForward(c *Cluster) (err error) {
	if c.HasOthers() && c.ForwardAddress != "" {
		l.forward, err = listen("forward-address", c.ForwardAddress)
	}
	return err
}

func (b *Broker) forwardOptions() sessionproxy.Options {
	c := b.config
	o := c.SessionProxy
	o.Replica, o.Cluster, o.Secret = b.replica, c.Cluster.NATS.Cluster, c.Cluster.SharedSecret()
	o.Find, o.Gone, o.Wake, o.DrainSession = b.findReplica, b.mesh.Departed, b.wake, b.drainSession
	o.WriteTimeout = c.Edge.Engine.WriteTimeout
	o.DrainSpread, o.DrainSettle = min(c.Run.DrainSpread, c.Run.DrainTimeout/2), share(settleShare, c.Run.DrainTimeout)
	if s := b.secured.cluster; s != nil {
		o.TLS = s.ClientConfig
	}
	return o
}

// wake and drainSession are asked for by other replicas.
func (b *Broker) wake(id sio.SessionID) { b.edge.Wake(id) }

func (b *Broker) drainSession(id sio.SessionID, within time.Duration) {
	b.edge.DrainSession(id, within)
}

// forwardedHeader is about what a forwarded request has more in its header than the browser's.
const forwardedHeader = 1 << 10

// forwarding puts the Forwarder before the browsers' entry point. Where there can be no other
// replicas it forwards nothing, and still tells requests of sessions that belong to another.
func (b *Broker) forwarding(browsers http.Handler) http.Handler {
	counters := metrics.NewSessionProxy(b.registry)
	if !b.config.Cluster.HasOthers() {
		o := b.forwardOptions()
		o.Find, o.Gone = func(sio.ReplicaID) (string, bool) { return "", false }, nil
		return sessionproxy.New(o, browsers, counters, b.log)
	}
	b.forward = sessionproxy.New(b.forwardOptions(), browsers, counters, b.log)
	if b.listeners.forward != nil {
		b.others = b.newHTTPServer("replicas", b.forward.Taken())
		b.others.MaxHeaderBytes += forwardedHeader
		unused := &unused{conns: make(map[net.Conn]struct{})}
		b.others.ConnState = unused.state
		b.others.RegisterOnShutdown(unused.close)
	}
	if b.forwardAddress() == "" {
		b.log.Warn("other replicas cannot forward requests of this replica's sessions: a balancer must keep each browser with one replica",
			"setting", "forward-address, forward-advertise-address")
	}
	return b.forward
}

// unused are connections on which nothing came yet. Other replicas may keep a few in store, and a
// server that shuts down would wait for them.
type unused struct {
	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func (u *unused) state(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state == http.StateNew {
		u.conns[c] = struct{}{}
	} else {
		delete(u.conns, c)
	}
}

func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		_ = c.Close() // the server notices
	}
}

// forwardAddress is where other replicas forward requests of this replica's sessions, or empty when
// they cannot.
func (b *Broker) forwardAddress() string {
	if b.listeners.forward == nil {
		return ""
	}
	return b.config.Cluster.AnnouncedForward(b.listeners.forward.Addr())
}

// findReplica tells where another replica takes requests of its sessions. A replica that has left
// the others still knows where they were: its browsers' listener stays open a little longer.
func (b *Broker) findReplica(id sio.ReplicaID) (address string, known bool) {
	if last := b.lastPeers.Load(); last != nil {
		address, known = (*last)[id]
		return address, known
	}
	r, known := b.mesh.Replica(id)
	return r.ForwardAddress, known
}

// drainForwards has other replicas drain the sessions whose WebSockets are forwarded here. The
// function that it gives is called before this replica leaves the others.
func (b *Broker) drainForwards(ctx context.Context) (leave func()) {
	var draining sync.WaitGroup
	if b.forward != nil {
		draining.Go(func() { b.forward.Drain(ctx) }) // ends with ctx
	}
	return func() {
		draining.Wait()
		last := make(map[sio.ReplicaID]string)
		for _, r := range b.mesh.Replicas()[1:] {
			last[r.ID] = r.ForwardAddress
		}
		b.lastPeers.Store(&last)
	}
}

// closeForwards ends what is forwarded still.
func (b *Broker) closeForwards() {
	if b.forward != nil {
		b.forward.Close()
	}
}
