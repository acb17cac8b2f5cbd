// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// limit bounds every wait. It is generous, since machines that run suites are busy.
const limit = 20 * time.Second

// row is one behaviour.
type row struct {
	name string // its number
	says string
	test func(t *testing.T, w *world)
}

var binaries struct{ broker, handler, python, script string }

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "spanwire-rows-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	repository, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	b := &binaries
	if b.broker = os.Getenv("TEST_BROKER"); b.broker == "" {
		if b.broker, err = process.BuildBroker(repository, folder); err != nil {
			return 1, err
		}
	}
	if b.handler, err = process.BuildGo(repository, folder, "handler", "./test/interop/handlers/go"); err != nil {
		return 1, err
	}
	if b.python = os.Getenv("TEST_PYTHON"); b.python == "" {
		b.python = filepath.Join(repository, ".venv/bin/python")
	}
	if _, err := os.Stat(b.python); err != nil {
		return 1, fmt.Errorf("the handlers in Python need an environment: make setup, or name a Python in TEST_PYTHON: %w", err)
	}
	// Rows wait far more than they work.
	if err := flag.Set("test.parallel", "12"); err != nil {
		return 1, err
	}
	b.script = filepath.Join(repository, "test/interop/handlers/python/handler.py")
	return m.Run(), nil
}

// TestRows_Go runs every row with handlers in Go.
func TestRows_Go(t *testing.T) { runRows(t, &world{handler: []string{binaries.handler}}) }

// TestRows_Python runs every row with handlers in Python.
func TestRows_Python(t *testing.T) {
	runRows(t, &world{handler: []string{binaries.python, binaries.script}})
}

func runRows(t *testing.T, w *world) {
	t.Cleanup(w.stop)
	seen := map[string]bool{}
	for _, group := range [][]row{
		handshakeRows, pollingRows, websocketRows, upgradeRows, originRows, revision3Rows,
		namespaceRows, decoderRows, ackRows, disconnectRows, protocol4Rows, msgpackRows, recoveryRows, surfaceRows, flagRows, limitRows, hostileRows,
		leavingRows, burstRows, queryRows, hostRows, upstreamRows, operatorRows, silenceRows, framingRows, backlogRows, strictRows, replicaRows, unsendableRows,
	} {
		for _, r := range group {
			if seen[r.name] {
				t.Errorf("row %s stands twice", r.name)
			}
			seen[r.name] = true
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				t.Log(r.says)
				r.test(t, w)
			})
		}
	}
}

// world holds the brokers of one language of handlers, by their settings.
type world struct {
	handler []string

	mu      sync.Mutex
	servers map[string]*server
}

// server is a broker with a handler behind it.
type server struct {
	once    sync.Once
	err     error
	broker  *process.Broker
	handler *process.Process
}

// Settings under which no row waits long, each only for rows that wait for it: on a busy machine a
// step may take a second.
var (
	small     = []string{"--max-payload", "100000"}
	impatient = []string{"--connect-timeout", "2s", "--body-timeout", "1s"}
	pinging   = []string{"--ping-interval", "300ms", "--ping-timeout", "2s"}
)

// with gives the broker that runs with the settings, and starts it when it is asked for first.
func (w *world) with(t *testing.T, flags ...string) *server {
	t.Helper()
	key := strings.Join(flags, " ")
	w.mu.Lock()
	if w.servers == nil {
		w.servers = map[string]*server{}
	}
	s := w.servers[key]
	if s == nil {
		s = new(server)
		w.servers[key] = s
	}
	w.mu.Unlock()
	s.once.Do(func() { s.start(w.handler, flags) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log := s.broker.Log()
			t.Logf("the broker's last lines:\n%s", log[max(0, len(log)-1500):])
		}
	})
	return s
}

func (s *server) start(handler, flags []string) {
	if s.broker, s.err = process.StartBroker(binaries.broker, "broker", flags...); s.err != nil {
		return
	}
	s.handler, s.err = process.Start("handler", "", []string{"SPANWIRE_ADDRESS=" + s.broker.Services}, handler...)
	if s.err == nil {
		s.err = s.handler.WaitFor("attached", limit)
	}
}

// another starts a second instance of the handlers.
func (w *world) another(t *testing.T, s *server) *process.Process {
	t.Helper()
	p, err := process.Start("another handler", "", []string{"SPANWIRE_ADDRESS=" + s.broker.Services}, w.handler...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.WaitFor("attached", limit); err != nil {
		t.Fatal(err)
	}
	return p
}

// brokerSays runs the broker for as long as it takes to refuse its settings.
func brokerSays(arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, binaries.broker, arguments...).CombinedOutput()
	return string(out), err
}

func (w *world) stop() {
	for _, s := range w.servers {
		if s.handler != nil {
			s.handler.Kill()
		}
		if s.broker != nil {
			s.broker.Kill()
		}
	}
}
