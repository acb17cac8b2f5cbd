// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/backplanetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// replica publishes emits, and notes those that come.
type replica struct {
	*Backplane
	id        sio.ReplicaID
	publisher *backplane.Publisher
	delivered chan string
}

func (r *replica) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-r.delivered:
		if got != want {
			t.Fatalf("%s got %q, want %q", r.id, got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not get %q", r.id, want)
	}
}

func startReplica(t *testing.T, o Options) *replica {
	t.Helper()
	r := &replica{Backplane: start(t, o), id: sio.NewReplicaID(), delivered: make(chan string, 1000)}
	r.publisher = backplane.NewPublisher(r, r.id, nil, o.MaxEnvelope, r.metrics)
	inbox := backplane.NewInbox(r.id, nil, r.metrics, slog.New(slog.DiscardHandler))
	_, err := r.Subscribe(r.id, func(data []byte) {
		if e, _, ok := inbox.Open(data); ok {
			r.delivered <- e.Body.(*backplane.Command).Command.(*sio.Emit).Event.Name
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replica) emit(name string) error {
	return r.publisher.Publish(&sio.Emit{Target: sio.Target{Namespace: sio.MainNamespace}, Event: sio.Event{Name: name}})
}

// external runs a server apart from any replica, on the address if it is not empty.
func external(t *testing.T, address string) (*embedded, string) {
	t.Helper()
	o := options()
	o.Listen = address
	server, err := startEmbedded(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.stop)
	return server, server.address()
}

// NATS dies and comes back: publishing fails meanwhile when the buffer is full, and replicas find
// each other again.
func TestBackplane_Restart(t *testing.T) {
	server, address := external(t, backplanetest.Address(t))
	o := options()
	o.URL, o.ReconnectBuffer = "nats://"+address, 200
	a, b := startReplica(t, o), startReplica(t, o)
	if err := a.emit("before"); err != nil {
		t.Fatal(err)
	}
	b.expect(t, "before")

	server.stop()
	eventually(t, "both notice", func() bool { return a.Healthy() != nil && b.Healthy() != nil })
	failed := 0
	for i := range 20 {
		err := a.emit(fmt.Sprint("away", i))
		if sio.CodeOf(err) != sio.CodeUnavailable {
			t.Fatalf("an emit while NATS is away: %v", err)
		}
		if !errors.Is(err, backplane.ErrKept) {
			failed++
		}
	}
	if failed == 0 || failed == 20 {
		t.Errorf("%d of 20 emits failed: some should fit the buffer, and most not", failed)
	}

	external(t, address)
	eventually(t, "both are back", func() bool { return a.Healthy() == nil && b.Healthy() == nil })
	eventually(t, "the outage is counted", func() bool {
		return testutil.ToFloat64(a.metrics.Disconnects) == 1 && testutil.ToFloat64(a.metrics.Reconnects) == 1 && testutil.ToFloat64(a.metrics.Connected) == 1
	})
	// What a buffered may have been sent before b listened again, so b gets some or none of it; it
	// gets what comes now.
	for _, r := range []*replica{a, b} {
		if err := r.conn.Flush(); err != nil {
			t.Fatal(err)
		}
		if r.Losses() != 1 {
			t.Errorf("%d losses are counted", r.Losses())
		}
	}
	if err := a.emit("too early"); sio.CodeOf(err) != sio.CodeUnavailable {
		t.Errorf("an emit before all are known to be back: %v", err)
	}
	a.publisher.Doubt(a.Losses(), nil, false, time.Now().Add(time.Minute))
	if err := a.emit("after"); err != nil {
		t.Fatal(err)
	}
	late := 0
	for got := ""; got != "after"; {
		select {
		case got = <-b.delivered:
			late++
		case <-time.After(20 * time.Second):
			t.Fatal("b is deaf after the restart")
		}
	}
	if lost := testutil.ToFloat64(b.metrics.Lost); int(lost)+late-2 != 20-failed {
		t.Errorf("of %d buffered emits %d came and %v were reported lost", 20-failed, late-2, lost)
	}
}

// What was sent while one replica's connection was broken is reported there as lost, with the
// number.
func TestBackplane_Gap(t *testing.T) {
	server, address := external(t, backplanetest.Address(t))
	o := options()
	o.URL = "nats://" + address
	a := startReplica(t, o)
	o.ReconnectWait = 3 * time.Second // long enough for a to send something meanwhile
	b := startReplica(t, o)
	if err := a.emit("before"); err != nil {
		t.Fatal(err)
	}
	b.expect(t, "before")
	id, err := b.conn.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.server.DisconnectClientByID(id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b notices", func() bool { return testutil.ToFloat64(b.metrics.Disconnects) == 1 })
	for range 3 {
		if err := a.emit("lost"); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b is back", func() bool { return b.Healthy() == nil })
	if err := b.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := a.emit("after"); err != nil {
		t.Fatal(err)
	}
	b.expect(t, "after")
	if gaps, lost := testutil.ToFloat64(b.metrics.Gaps), testutil.ToFloat64(b.metrics.Lost); gaps != 1 || lost != 3 {
		t.Errorf("%v gaps of %v envelopes reported, want 1 of 3", gaps, lost)
	}
}
