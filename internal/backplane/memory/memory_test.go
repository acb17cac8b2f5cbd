// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/backplanetest"
	"github.com/spanwire/spanwire/internal/backplane/memory"
	"github.com/spanwire/spanwire/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The bus passes the suite.
func TestBackplane(t *testing.T) {
	backplanetest.Run(t, func(*testing.T) backplanetest.Medium {
		bus := memory.NewBus(memory.DefaultPending)
		return func(*testing.T) backplane.Backplane { return bus.New(metrics.NewBackplane(nil)) }
	})
}

// A replica that does not keep up loses what is too much, and holds up nobody.
func TestBackplane_SlowConsumer(t *testing.T) {
	bus := memory.NewBus(2)
	slow, from := bus.New(metrics.NewBackplane(nil)), bus.New(metrics.NewBackplane(nil))
	defer slow.Close()
	defer from.Close()
	busy, release := make(chan struct{}, 10), make(chan struct{})
	if _, err := slow.Subscribe("slow", func([]byte) { busy <- struct{}{}; <-release }); err != nil {
		t.Fatal(err)
	}
	publish := func() {
		t.Helper()
		if err := from.Publish("", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	<-busy
	for range 5 {
		publish()
	}
	close(release)
	<-busy
	<-busy
	select {
	case <-busy:
		t.Error("more came than may wait")
	default:
	}
}
