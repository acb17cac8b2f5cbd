// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/backplanetest"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "correct horse"

func options() Options {
	o := Default()
	o.MaxEnvelope = backplanetest.MaxEnvelope
	o.ReconnectWait = 20 * time.Millisecond
	o.Token = secret
	return o
}

func start(t *testing.T, o Options) *Backplane {
	t.Helper()
	b, err := New(o, metrics.NewBackplane(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func startListening(t *testing.T) *Backplane {
	t.Helper()
	o := options()
	o.Listen = "127.0.0.1:0"
	return start(t, o)
}

// join connects to the server that another replica embeds.
func join(t *testing.T, owner *Backplane) *Backplane {
	t.Helper()
	o := options()
	o.URL = "nats://" + owner.Address()
	return start(t, o)
}

// eventually waits for what the network brings.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("waited in vain for: " + what)
		case <-again.C:
		}
	}
}

// Replicas that use the embedded server of another pass the suite.
func TestBackplane(t *testing.T) {
	backplanetest.Run(t, func(t *testing.T) backplanetest.Medium {
		owner := startListening(t)
		return func(t *testing.T) backplane.Backplane { return join(t, owner) }
	})
}

// The replica that embeds the server takes part like any, over its connection within the process.
func TestBackplane_Owner(t *testing.T) {
	owner := startListening(t)
	ends := []*Backplane{owner, join(t, owner)}
	medium := func(*testing.T) backplane.Backplane {
		end := ends[0]
		ends = ends[1:]
		return end
	}
	a, b := backplanetest.Join(t, medium), backplanetest.Join(t, medium)
	large := strings.Repeat("x", backplanetest.MaxEnvelope)
	for _, data := range []string{"one", large, "three"} {
		if err := a.Publish(b.ID, []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got := b.Expect(t); string(got) != data {
			t.Fatalf("got %.20q, want %.20q", got, data)
		}
		if err := b.Publish("", []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got := a.Expect(t); string(got) != data {
			t.Fatalf("got %.20q, want %.20q", got, data)
		}
	}
}

// A lone replica embeds a server that listens nowhere.
func TestBackplane_Alone(t *testing.T) {
	b := start(t, options())
	if b.Address() != "" {
		t.Errorf("listens on %s", b.Address())
	}
	if err := b.Healthy(); err != nil {
		t.Error(err)
	}
	if err := b.Publish("", []byte("x")); err != nil {
		t.Error(err)
	}
}

// Clusters on one server do not hear each other, whatever they are called.
func TestBackplane_Clusters(t *testing.T) {
	owner := startListening(t)
	o := options()
	o.URL, o.Cluster = "nats://"+owner.Address(), "other"
	ends := []*Backplane{join(t, owner), start(t, o), join(t, owner)}
	medium := func(*testing.T) backplane.Backplane {
		end := ends[0]
		ends = ends[1:]
		return end
	}
	a, foreign, b := backplanetest.Join(t, medium), backplanetest.Join(t, medium), backplanetest.Join(t, medium)
	if err := foreign.Publish("", []byte("foreign")); err != nil {
		t.Fatal(err)
	}
	if err := foreign.Publish(b.ID, []byte("foreign")); err != nil {
		t.Fatal(err)
	}
	if err := foreign.Backplane.(*Backplane).conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish("", []byte("ours")); err != nil {
		t.Fatal(err)
	}
	if got := b.Expect(t); string(got) != "ours" {
		t.Errorf("got %q", got)
	}
}

// Options that cannot work are refused with the reason.
func TestNew_ErrInvalid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, test := range map[string]struct {
		change func(*Options)
		code   sio.Code
		says   string
	}{
		"cluster with dots":  {func(o *Options) { o.Cluster = "a.>" }, sio.CodeInvalid, "a.>"},
		"no cluster":         {func(o *Options) { o.Cluster = "" }, sio.CodeInvalid, "cluster"},
		"address":            {func(o *Options) { o.Listen = "nonsense" }, sio.CodeInvalid, "nonsense"},
		"port":               {func(o *Options) { o.Listen = "127.0.0.1:x" }, sio.CodeInvalid, "x"},
		"address taken":      {func(o *Options) { o.Listen = taken.Addr().String() }, sio.CodeUnavailable, "in use"},
		"envelope too large": {func(o *Options) { o.MaxEnvelope = 1 << 30 }, sio.CodeInvalid, "1073741824"},
		"url":                {func(o *Options) { o.URL = "nats://[" }, sio.CodeUnavailable, "NATS"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			test.change(&o)
			b, err := New(o, metrics.NewBackplane(nil), slog.New(slog.DiscardHandler))
			if err == nil {
				b.Close()
			}
			if sio.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An envelope that the server does not take is refused with what to do.
func TestBackplane_Publish_ErrTooLarge(t *testing.T) {
	b := start(t, options())
	err := b.Publish("", make([]byte, backplanetest.MaxEnvelope+1))
	if sio.CodeOf(err) != sio.CodeTooLarge || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("got %v", err)
	}
}

// A wrong token is always rejected, and the replica says that it is not connected.
func TestBackplane_ErrToken(t *testing.T) {
	owner := startListening(t)
	o := options()
	o.URL, o.Token = "nats://"+owner.Address(), "wrong"
	b := start(t, o)
	if b.Healthy() == nil {
		t.Error("accepted with a wrong token")
	}
	if err := b.Healthy(); err != nil && strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error shows the token: %v", err)
	}
}

// A replica that does not keep up logs that and is counted; the others are not held up.
func TestBackplane_SlowConsumer(t *testing.T) {
	owner := startListening(t)
	o := options()
	o.URL, o.Pending = "nats://"+owner.Address(), 4
	slow := start(t, o)
	busy, release := make(chan struct{}, 100), make(chan struct{})
	if _, err := slow.Subscribe("slow", func([]byte) { busy <- struct{}{}; <-release }); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := owner.Publish("slow", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a slow consumer", func() bool { return testutil.ToFloat64(slow.metrics.SlowConsumer) > 0 })
	close(release)
}
