// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"net"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/nats"
	"github.com/spanwire/spanwire/internal/bridge"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge"
	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/memory"
	"github.com/spanwire/spanwire/internal/mesh"
	"github.com/spanwire/spanwire/internal/sio"
)

// The options of each package hold its settings; what else they need, and settings of one package
// that another needs too, are set here.

func (b *Broker) busOptions() nats.Options {
	o := b.config.Cluster.NATS
	if s := b.secured.cluster; s != nil {
		o.ServerTLS, o.ClientTLS = s.Config(), s.ClientConfig
	}
	// A NATS that hangs is noticed before the replicas behind it time out: the link is in doubt
	// then, not they.
	const shortest, longest, part = time.Second, 5 * time.Second, 4
	o.PingInterval = max(shortest, min(longest, b.config.Mesh.Dead/part))
	return o
}

// envelopeSecret authenticates what replicas send to each other. One that has no others needs none.
func (b *Broker) envelopeSecret() *backplane.Secret {
	c := &b.config.Cluster
	if !c.HasOthers() {
		return nil
	}
	if c.OpenNATS() {
		b.log.Warn("NATS asks for no credentials and envelopes of replicas are not authenticated: every program that reaches it can forge emits to every browser",
			"setting", "cluster-secret, nats-token")
	}
	return backplane.NewSecret(c.SharedSecret(), c.NATS.Cluster)
}

func (b *Broker) dispatchOptions() dispatch.Options {
	o := b.config.Dispatch
	o.Replica = b.replica
	if !b.config.Cluster.HasOthers() {
		o.DrainGrace = 0
	}
	return o
}

func (b *Broker) meshOptions() mesh.Options {
	o := b.config.Mesh
	o.Replica, o.Cluster = b.replica, b.config.Cluster.NATS.Cluster
	o.GRPCAddress, o.HTTPAddress, o.ForwardAddress = b.advertised(), b.HTTPAddress(), b.forwardAddress()
	o.MaxQueryResults = b.config.Bridge.Commands.MaxQueryResults
	return o
}

// advertised is where handlers elsewhere reach this replica, or empty when that is unknown.
func (b *Broker) advertised() string {
	if a := b.config.Listen.AdvertiseAddress; a != "" {
		return a
	}
	address := b.listeners.services.Addr().String()
	if host, _, err := net.SplitHostPort(address); err != nil || net.ParseIP(host).IsUnspecified() {
		return ""
	}
	return address
}

func (b *Broker) edgeOptions() edge.Options {
	c := b.config
	o := c.Edge
	e := &o.Engine
	if e.MaxOutboundTotal == 0 {
		const part = 4
		e.MaxOutboundTotal = min(memory.Limit()/part, engineio.DefaultOutboundTotal)
	}
	e.TrustedProxies, _ = c.Listen.Proxies() // Validate has read them
	e.Replica = b.replica
	e.DrainSpread = min(c.Run.DrainSpread, c.Run.DrainTimeout/2)
	e.DrainSettle = share(settleShare, c.Run.DrainTimeout)
	return o
}

// journalOptions keep events for as long as a socket may be recovered whose connection was lost:
// from the loss to its detection, and for the time of the recovery.
func (c *Config) journalOptions() hub.JournalOptions {
	o := c.Journal
	if c.Edge.Recovery > 0 {
		o.Retention = c.Edge.Recovery + c.Edge.Engine.PingInterval + c.Edge.Engine.PingTimeout
	}
	return o
}

func (b *Broker) bridgeOptions() bridge.Options {
	c := b.config
	o := c.Bridge
	o.Replica, o.Cluster, o.Version = b.replica, c.Cluster.NATS.Cluster, Version()
	o.Rejected, o.Callers = b.rejections().rejected, b.callers
	o.Topology = b.topology
	o.Whereabouts = func() map[sio.InstanceID][]sio.ReplicaID { return b.mesh.Whereabouts() }
	o.PublicURL = scheme(b.secured.http) + b.HTTPAddress()
	o.HandlerTimeout, o.ReplicaTimeout, o.Commands.MaxDepth = c.Dispatch.HandlerTimeout, c.Mesh.Dead, c.Edge.MaxDepth
	return o
}

func (b *Broker) idempotencyOptions() idempotency.Options {
	o := b.config.Idempotency
	o.Replica, o.Patience = b.replica, b.config.Bridge.Commands.QueryTimeout
	return o
}

func (b *Broker) httpOptions() bridge.HTTPOptions {
	c := b.config
	o := c.API
	o.BodyTimeout, o.Loopback = c.Edge.Engine.BodyTimeout, c.Listen.OperatorsOnLoopback()
	if host, _, err := net.SplitHostPort(c.Listen.OperatorAddress); err == nil {
		o.Host = host
	}
	return o
}

// topology is what is announced to handlers about the cluster.
func (b *Broker) topology() []bridge.Replica {
	replicas := b.mesh.Replicas()
	all := make([]bridge.Replica, len(replicas))
	for i, r := range replicas {
		all[i] = bridge.Replica{ID: r.ID, Address: r.GRPCAddress}
	}
	return all
}
