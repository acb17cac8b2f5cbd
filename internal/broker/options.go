// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"net"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/nats"
	"github.com/spanwire/spanwire/internal/bridge"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge"
	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/memory"
	"github.com/spanwire/spanwire/internal/mesh"
	"github.com/spanwire/spanwire/internal/sio"
	"github.com/spanwire/spanwire/internal/trace"
)

// Each room has options of its own and knows nothing of settings; this is where settings become
// options.

func (b *Broker) busOptions() nats.Options {
	c := &b.config.Cluster
	o := nats.Default()
	o.URL, o.Listen, o.Token, o.Cluster = c.NATSURL, c.NATSListen, c.NATSToken, c.Name
	if s := b.secured.cluster; s != nil {
		o.ServerTLS, o.ClientTLS = s.Config(), s.ClientConfig
	}
	o.MaxEnvelope, o.Pending, o.ReconnectBuffer = c.MaxEnvelope, c.MaxBacklog, c.ReconnectBuffer
	// A NATS that hangs is noticed before the replicas behind it are taken for dead: it is the link
	// that is in doubt then.
	const shortest, longest, part = time.Second, 5 * time.Second, 4
	o.PingInterval = max(shortest, min(longest, c.ReplicaTimeout/part))
	return o
}

// envelopeSecret authenticates what replicas say to each other. One that has no others needs none.
func (b *Broker) envelopeSecret() *backplane.Secret {
	c := &b.config.Cluster
	if !c.HasOthers() {
		return nil
	}
	if c.OpenNATS() {
		b.log.Warn("NATS asks for no credentials, and envelopes of replicas are not authenticated: whoever reaches it can forge emits to every browser",
			"setting", "cluster-secret, nats-token")
	}
	return backplane.NewSecret(c.SharedSecret(), c.Name)
}

func dispatchOptions(all *config.Config, replica sio.ReplicaID) dispatch.Options {
	c := &all.Services
	var grace time.Duration
	if all.Cluster.HasOthers() {
		grace = c.DrainGrace
	}
	return dispatch.Options{
		DrainGrace:      grace,
		Replica:         replica,
		QueueEvents:     c.QueueEvents,
		QueueBytes:      c.QueueBytes,
		ConnectHold:     c.ConnectHold,
		HoldTimeout:     c.HoldTimeout,
		HoldSockets:     c.HoldSockets,
		AbsentBytes:     orNone(c.AbsentBytes),
		RebalanceRate:   orNone(c.RebalanceRate),
		RebalanceRatio:  c.RebalanceRatio,
		Retention:       c.ServiceRetention,
		RetainLast:      c.RetainLastService,
		MaxRedeliveries: c.MaxRedeliveries,
		HandlerTimeout:  c.HandlerTimeout,
		DefaultWindow:   c.InstanceWindow,
		MaxWindow:       c.MaxWindow,
		WindowBytes:     c.WindowBytes,
		ForwardEvents:   all.Cluster.ForwardEvents,
		ForwardBytes:    all.Cluster.ForwardBytes,
		MaxServices:     c.MaxServices,
		MaxDynamic:      c.MaxDynamic,
		MaxRoomEvents:   c.MaxRoomEvents,
	}
}

// orNone translates a setting whose 0 turns something off, for options whose 0 is the default.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func (b *Broker) meshOptions() mesh.Options {
	o := mesh.Default()
	o.Replica, o.Cluster = b.replica, b.config.Cluster.Name
	o.GRPCAddress, o.HTTPAddress, o.ForwardAddress = b.advertised(), b.HTTPAddress(), b.forwardAddress()
	o.Interval, o.Dead = b.config.Cluster.ReplicaHeartbeat, b.config.Cluster.ReplicaTimeout
	o.MaxGathers = b.config.Cluster.MaxGathers
	o.MaxQueryResults = b.config.Services.MaxQueryResults
	return o
}

// advertised is where handlers elsewhere reach this replica, or empty when nobody can tell.
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

func edgeOptions(c *config.Config, replica sio.ReplicaID) edge.Options {
	e := engineio.DefaultOptions()
	e.Paths = c.Engine.Paths
	e.PingInterval, e.PingTimeout, e.UpgradeTimeout = c.Engine.PingInterval, c.Engine.PingTimeout, c.Engine.UpgradeTimeout
	e.MaxPayload, e.MaxPacketsPerPayload = int64(c.Engine.MaxPayload), c.Engine.MaxPacketsPerPayload
	e.ExplainTooLarge = c.Engine.ExplainTooLarge
	e.MaxPacketsPerAnswer, e.PacketLimitedAgents = c.Engine.MaxPacketsPerAnswer, c.Engine.PacketLimitedAgents
	e.MaxPacketRate, e.MaxOutbound = c.Engine.MaxPacketRate, c.Engine.MaxOutbound
	e.MaxOutboundTotal = outboundTotal(c)
	e.MaxSessions, e.MaxSessionsPerAddress = c.Engine.MaxSessions, c.Engine.MaxSessionsPerAddr
	e.PollingCompression, e.WebSocketCompression = c.Engine.PollingCompression, c.Engine.WebSocketCompression
	e.CompressionThreshold = c.Engine.CompressionThreshold
	e.TrustedProxies, _ = c.Listen.Proxies() // Validate has read them
	e.Cookie = engineio.Cookie{
		Name: c.Engine.Cookie.Name, Path: c.Engine.Cookie.Path, Domain: c.Engine.Cookie.Domain, MaxAge: c.Engine.Cookie.MaxAge,
		Secure: c.Engine.Cookie.Secure, HTTPOnly: c.Engine.Cookie.HTTPOnly, SameSite: c.Engine.Cookie.SameSiteMode(),
	}
	e.Transports = nil
	for _, t := range c.Engine.Transports {
		e.Transports = append(e.Transports, engineio.Transport(t))
	}
	e.AllowUpgrades, e.AllowEIO3, e.AllowJSONP = c.Engine.AllowUpgrades, c.Engine.AllowEIO3, c.Engine.AllowJSONP
	e.Origins, e.RequireOrigin, e.CORSMaxAge = c.Engine.AllowedOrigins, c.Engine.RequireOrigin, c.Engine.CORSMaxAge
	e.CloseTimeout, e.BodyTimeout, e.WriteTimeout = c.Engine.CloseTimeout, c.Engine.BodyTimeout, c.Engine.WriteTimeout
	e.Replica = replica
	e.DrainSpread = min(c.Run.DrainSpread, c.Run.DrainTimeout/2)
	e.DrainSettle = share(settleShare, c.Run.DrainTimeout)
	return edge.Options{
		Engine:             e,
		ConnectTimeout:     c.Socket.ConnectTimeout,
		AttachmentTimeout:  c.Socket.AttachmentTimeout,
		MaxNamespaces:      c.Socket.MaxNamespaces,
		ConnectRate:        c.Socket.ConnectRate,
		MaxAttachments:     c.Socket.MaxAttachments,
		MaxDepth:           c.Socket.MaxJSONDepth,
		MaxNamespaceLength: c.Socket.MaxNamespaceLength,
		MaxEventNameLength: c.Socket.MaxEventNameLength,
		MaxEventRate:       c.Socket.MaxEventRate,
		MaxUnfinished:      int64(c.Socket.MaxUnfinished),
		MaxOutstandingAcks: c.Socket.MaxOutstandingAcks,
		Recovery:           c.Socket.Recovery,
		RecoverySessions:   c.Socket.RecoverySessions,
		ServeClient:        c.Socket.ServeClient,
	}
}

// outboundTotal is the setting max-outbound-total, or a part of the memory that the process may
// have.
func outboundTotal(c *config.Config) int64 {
	const part, most = 4, 256 << 20
	if n := c.Engine.MaxOutboundTotal; n > 0 {
		return int64(n)
	}
	return min(memory.Limit()/part, most)
}

// journalOptions keep events for as long as a socket may come back that was cut off when the loss
// of its connection was noticed, and for as long as that may take.
func journalOptions(c *config.Config) (o hub.JournalOptions) {
	if c.Socket.Recovery > 0 {
		o.Retention = c.Socket.Recovery + c.Engine.PingInterval + c.Engine.PingTimeout
	}
	o.MaxEvents, o.MaxBytes = c.Socket.RecoveryPackets, c.Socket.RecoveryBytes
	return o
}

func (b *Broker) bridgeOptions() bridge.Options {
	c := &b.config.Services
	return bridge.Options{
		Rejected:    b.rejections().rejected,
		Replica:     b.replica,
		Cluster:     b.config.Cluster.Name,
		Version:     Version(),
		Topology:    b.topology,
		Whereabouts: func() map[sio.InstanceID][]sio.ReplicaID { return b.mesh.Whereabouts() },
		PublicURL:   scheme(b.secured.http) + b.HTTPAddress(),
		MaxFrame:    c.MaxFrame,

		Commands: commands.Options{
			AckTimeout: c.AckTimeout, QueryTimeout: c.QueryTimeout, MaxQueryResults: c.MaxQueryResults, MaxSocketData: c.MaxSocketData,
			MaxDepth: b.config.Socket.MaxJSONDepth, AllowSocketIDRooms: c.AllowSocketIDRooms,
		},

		StallTimeout:    c.StallTimeout,
		RegisterTimeout: c.RegisterTimeout,
		HandlerTimeout:  c.HandlerTimeout,
		ReplicaTimeout:  b.config.Cluster.ReplicaTimeout,
		MaxAckWaits:     c.MaxAckWaits,
		MaxAnswers:      c.MaxAnswers,
		MaxStreams:      c.MaxStreams,
		Callers:         b.callers,
		Keepalive:       c.Keepalive,
	}
}

func (b *Broker) onceOptions() idempotency.Options {
	c := &b.config.Services
	return idempotency.Options{
		Replica: b.replica, Window: c.IdempotencyWindow, MaxKeys: c.MaxIdempotencyKeys, MaxBytes: c.MaxIdempotencyBytes, Patience: c.QueryTimeout,
	}
}

func (b *Broker) tailOptions() trace.Options {
	return trace.Options{MaxTails: b.config.Services.MaxTails, Backlog: b.config.Services.TailBacklog}
}

func (b *Broker) httpOptions() bridge.HTTPOptions {
	c := b.config
	o := bridge.HTTPOptions{MaxBody: c.Services.MaxCallBody, BodyTimeout: c.Engine.BodyTimeout, Loopback: c.Listen.OperatorsOnLoopback()}
	if host, _, err := net.SplitHostPort(c.Listen.OperatorAddress); err == nil {
		o.Host = host
	}
	return o
}

// topology is what handlers are told of the cluster.
func (b *Broker) topology() []bridge.Replica {
	replicas := b.mesh.Replicas()
	all := make([]bridge.Replica, len(replicas))
	for i, r := range replicas {
		all[i] = bridge.Replica{ID: r.ID, Address: r.GRPCAddress}
	}
	return all
}
