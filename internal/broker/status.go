// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spanwire/spanwire/internal/admin"
	"github.com/spanwire/spanwire/internal/dispatch"
)

// status is what operators see of the replica.
func (b *Broker) status() admin.Status {
	s := admin.Status{
		Replica: string(b.replica), Cluster: b.config.Cluster.NATS.Cluster, Version: Version(), Uptime: time.Since(b.started),
		Replicas: []string{}, Services: []admin.Service{}, // rather than null in JSON
	}
	if err := b.ready(); err != nil {
		s.Ready = err.Error()
	}
	for _, r := range b.mesh.Replicas()[1:] {
		s.Replicas = append(s.Replicas, string(r.ID))
	}
	for _, v := range b.dispatch.Load() {
		s.Services = append(s.Services, serviceStatus(&v))
	}
	return s
}

func serviceStatus(v *dispatch.Load) admin.Service {
	s := admin.Service{Name: string(v.Service), Instances: []string{}, Held: v.Held, Absent: !v.Absent.IsZero(), Queued: v.Queued, Unread: v.Unread}
	if s.Absent {
		s.AbsentSince = &v.Absent
	}
	for i := range v.Instances {
		if x := &v.Instances[i]; x.Distance == dispatch.Local {
			s.Instances = append(s.Instances, string(x.Register.Instance))
		} else {
			s.Elsewhere++
		}
	}
	return s
}

// ServiceAddress is where handlers on this machine dial in.
func (b *Broker) ServiceAddress() string { return dialable(b.listeners.services.Addr()) }

// HTTPAddress is where browsers on this machine connect.
func (b *Broker) HTTPAddress() string { return dialable(b.listeners.http.Addr()) }

// OperatorAddress is where operators on this machine look, or empty.
func (b *Broker) OperatorAddress() string {
	if b.listeners.operators == nil {
		return ""
	}
	return dialable(b.listeners.operators.Addr())
}

// NATSAddress is where other replicas reach the embedded NATS server, or empty.
func (b *Broker) NATSAddress() string { return b.bus.Address() }

// Metrics is what the operators' listener serves at /metrics.
func (b *Broker) Metrics() prometheus.Gatherer { return b.registry }

// Joined waits until the cluster, as this replica knows it, has n replicas or more.
func (b *Broker) Joined(ctx context.Context, n int) error {
	changes, unwatch := b.mesh.Watch()
	defer unwatch()
	for {
		known := len(b.mesh.Replicas())
		if known >= n {
			return nil
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return fmt.Errorf("replica %s knows %d replicas, not %d: %w", b.replica, known, n, ctx.Err())
		}
	}
}

// Greeting says in one line where to look.
func (b *Broker) Greeting() string {
	s := fmt.Sprintf("Spanwire is ready: open %s%s (services dial %s", scheme(b.secured.http), b.HTTPAddress(), b.ServiceAddress())
	if a := b.OperatorAddress(); a != "" {
		s += ", operators " + scheme(b.secured.operators) + a
	}
	return s + ")"
}
