// SPDX-License-Identifier: Apache-2.0

// Package brokertest starts a broker, or a cluster of them, in one line of a test: in the test's
// own process, at free ports of the loopback, drained when the test ends.
package brokertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/metrics"
)

// patience is how long replicas may take to find each other.
const patience = 20 * time.Second

// Start starts a broker with the default settings and the changes.
func Start(t testing.TB, changes ...func(*broker.Config)) *broker.Broker {
	t.Helper()
	c := Config(changes...)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: c.Run.Level()}))
	b, err := broker.Start(c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Drain(); err != nil {
			t.Error(err)
		}
		if all, err := metrics.Undeclared(b.Metrics()); err != nil || len(all) > 0 {
			t.Errorf("metrics that are not declared: %q, %v", all, err)
		}
	})
	return b
}

// Config is the configuration that Start begins with.
func Config(changes ...func(*broker.Config)) *broker.Config {
	const free = "127.0.0.1:0"
	c := broker.DefaultConfig()
	c.Listen.HTTPAddress, c.Listen.ServiceAddress, c.Listen.OperatorAddress = free, free, free
	c.Run.LogLevel = "debug"
	c.Run.DrainTimeout, c.Run.DrainSpread = 2*time.Second, 0
	for _, change := range changes {
		change(c)
	}
	return c
}

// Cluster starts n brokers that know each other. The first embeds the NATS server of all.
func Cluster(t testing.TB, n int, changes ...func(*broker.Config)) []*broker.Broker {
	t.Helper()
	all := []*broker.Broker{Start(t, append(changes, func(c *broker.Config) { c.Cluster.NATS.Listen = "127.0.0.1:0" })...)}
	for len(all) < n {
		all = append(all, Start(t, append(changes, func(c *broker.Config) { c.Cluster.NATS.URL = "nats://" + all[0].NATSAddress() })...))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, b := range all {
		if err := b.Joined(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
