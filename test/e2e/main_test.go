// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/test/process"
)

// limit bounds every wait. It is generous, since machines that run suites are busy.
const limit = 20 * time.Second

// shared is what all tests use, built once.
var shared struct {
	broker  *process.Broker
	handler *process.Process
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "spanwire-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	repository, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	binary := os.Getenv("TEST_BROKER") // a binary that is there already
	if binary == "" {
		if binary, err = process.BuildBroker(repository, folder); err != nil {
			return 1, err
		}
	}
	handler, err := process.BuildGo(repository, folder, "handler", "./test/interop/handlers/go")
	if err != nil {
		return 1, err
	}
	// Small limits, so that they are passed cheaply.
	shared.broker, err = process.StartBroker(binary, "broker", "--log-level", "debug", "--max-payload", "100000",
		"--body-timeout", "2s", "--register-timeout", "2s", "--stall-timeout", "2s", "--handler-timeout", "15s", "--connect-timeout", "3s")
	if err != nil {
		return 1, err
	}
	defer shared.broker.Kill()
	shared.handler, err = process.Start("handler", "", []string{"SPANWIRE_ADDRESS=" + shared.broker.Services}, handler)
	if err != nil {
		return 1, err
	}
	defer shared.handler.Kill()
	if err := shared.handler.WaitFor("attached", limit); err != nil {
		return 1, err
	}
	code = m.Run()
	if shared.broker.Ended() {
		return 1, fmt.Errorf("the broker ended (%v):\n%s", shared.broker.Err(), shared.broker.Log())
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "--- the broker's log\n%.20000s\n", shared.broker.Log())
	}
	return code, nil
}

// bystander is a client that talks all the time; whatever a test does, it must not notice.
type bystander struct {
	t       *testing.T
	c       *client
	stop    chan struct{}
	done    sync.WaitGroup
	answers int // these three are read when talk has ended
	slowest time.Duration
	err     error
}

// watch starts a bystander. When the test ends, it must have been answered all the time.
func watch(t *testing.T) {
	t.Helper()
	b := &bystander{t: t, c: connect(t), stop: make(chan struct{})}
	b.done.Go(b.talk) // ends with the test
	t.Cleanup(func() {
		close(b.stop)
		b.done.Wait()
		if b.err != nil {
			t.Errorf("another client was harmed: %v", b.err)
		}
		if b.answers == 0 {
			t.Error("the other client was never answered")
		}
		t.Logf("the other client had %d answers, the slowest after %v", b.answers, b.slowest)
	})
}

func (b *bystander) talk() {
	for i := 0; ; i++ {
		start := time.Now()
		if err := b.c.echo(i); err != nil {
			b.err = err
			return
		}
		b.answers++
		b.slowest = max(b.slowest, time.Since(start))
		select {
		case <-b.stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// rises tells that a metric is higher at the end of the test, by at least one, than it was now.
func rises(t *testing.T, name string, labels ...string) {
	t.Helper()
	before := metric(t, name, labels...)
	t.Cleanup(func() {
		var now float64
		for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if now = metric(t, name, labels...); now > before {
				return
			}
		}
		t.Errorf("metric %s%v is still %v", name, labels, now)
	})
}

func metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	v, err := shared.broker.Metric(name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
