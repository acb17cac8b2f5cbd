// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// freeAddress gives one that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// pair starts two brokers, the first with a NATS that the second uses, and handlers at the first.
// The flags are for the second.
func (w *world) pair(t *testing.T, both []string, second ...string) (a, b *server) {
	t.Helper()
	nats := freeAddress(t)
	a = alone(t, append([]string{"--nats-listen", nats}, both...)...)
	b = alone(t, append(append([]string{"--nats-url", "nats://" + nats}, both...), second...)...)
	handler, err := process.Start("handler", "", []string{"SPANWIRE_ADDRESS=" + a.broker.Services}, w.handler...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(handler.Kill)
	if err := handler.WaitFor("attached", limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("first:\n%s\nsecond:\n%s", a.broker.Log(), b.broker.Log())
		}
	})
	return a, b
}

// tied is pair of brokers that know each other.
func (w *world) tied(t *testing.T, both ...string) (a, b *server) {
	t.Helper()
	a, b = w.pair(t, both)
	for _, s := range []*server{a, b} {
		s.metric(t, 1, "spanwire_mesh_peers")
	}
	return a, b
}

// id is how the replica calls itself.
func (s *server) id(t *testing.T) string {
	t.Helper()
	_, after, found := strings.Cut(s.says(t, "replica="), "replica=")
	if !found {
		t.Fatal("the broker does not tell its name")
	}
	return strings.Fields(after)[0]
}

// sessionOf opens a session at a broker, and gives its id.
func (s *server) sessionOf(t *testing.T) string {
	t.Helper()
	p := s.polling(t)
	_, sid, _ := strings.Cut(p.query, "sid=")
	return sid
}

// command runs the broker's binary, and gives what it said and its exit code.
func command(t *testing.T, arguments ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, binaries.broker, arguments...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(out), code
}

// said expects words in what a command said, and its exit code.
func said(t *testing.T, want int, words []string, arguments ...string) string {
	t.Helper()
	out, code := command(t, arguments...)
	if code != want {
		t.Errorf("%q ended with %d, not %d: %s", arguments, code, want, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("%q lacks %q: %s", arguments, word, out)
		}
	}
	return out
}

// asks calls the operators' API.
func (s *server) asks(t *testing.T, path, body string) (status int, text string) {
	t.Helper()
	client := &http.Client{Timeout: 3 * limit}
	r, err := client.Post("http://"+s.broker.Operators+"/api/v1/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data)
}

// hang stops a broker as a machine does that swaps, until the test ends or the function is called.
func (s *server) hang(t *testing.T) (resume func()) {
	t.Helper()
	if err := s.broker.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// its threads stop one after another
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.broker.PID()))
		if err != nil || strings.Contains(string(stat), ") T ") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the broker does not stop")
		}
	}
	resume = func() { _ = s.broker.Signal(syscall.SIGCONT) }
	t.Cleanup(resume)
	return resume
}

var replicaRows = []row{
	{"O27", "a session of a replica without a common NATS is named, once a minute", func(t *testing.T, w *world) {
		a, b := w.leaving(t, nil, "one").server, alone(t)
		sid := a.sessionOf(t)
		for range 3 {
			refusedWith(t, b.do(t, "GET", polling4+"&sid="+sid, ""), 400, unknownSession)
		}
		b.saysOnce(t, "level=WARN", "session unknown", "nats-url", "cluster", "peer="+a.id(t))
	}},
	{"O27b", "clusters of different names on one NATS name each other, and are counted", func(t *testing.T, w *world) {
		a, b := w.pair(t, nil, "--cluster", "other")
		a.saysOnce(t, "level=WARN", "cluster=spanwire", "peer=other", "setting=cluster")
		b.saysOnce(t, "level=WARN", "cluster=other", "peer=spanwire", "setting=cluster")
		for _, s := range []*server{a, b} {
			s.metric(t, 1, "spanwire_backplane_foreign_clusters")
		}
		refusedWith(t, b.do(t, "GET", polling4+"&sid="+a.sessionOf(t), ""), 400, unknownSession)
		b.says(t, "level=WARN", "session unknown", "nats-url", "cluster", "peer="+a.id(t))
	}},
	{"O27c", "a session of a replica that has left is no fault of the settings", func(t *testing.T, w *world) {
		a, b := w.tied(t)
		sid := b.sessionOf(t)
		b.broker.Kill()
		a.metric(t, 0, "spanwire_mesh_peers")
		refusedWith(t, a.do(t, "GET", polling4+"&sid="+sid, ""), 400, unknownSession)
		a.says(t, "level=INFO", "left or died", "peer="+b.id(t))
		a.silent(t, "level=WARN", "session unknown")
	}},
	{"O27d", "replicas with different secrets, and with none, do not believe each other and name the setting", func(t *testing.T, w *world) {
		for _, second := range [][]string{{"--cluster-secret", "another-secret"}, nil} {
			nats := freeAddress(t)
			a := alone(t, "--nats-listen", nats, "--cluster-secret", "one-secret-of-all")
			b := alone(t, append([]string{"--nats-url", "nats://" + nats}, second...)...)
			for _, s := range []*server{a, b} {
				s.says(t, "level=WARN", "unauthenticated", "setting=cluster-secret")
				s.counted(t, 0, "spanwire_backplane_ignored_envelopes_total", `="unauthenticated"`)
				s.metric(t, 0, "spanwire_mesh_peers")
			}
		}
	}},
	{"O28", "an emit that is counted says what is known when a replica hangs", func(t *testing.T, w *world) {
		a, b := w.tied(t, "--replica-timeout", "60s")
		a.connected(t)
		name := b.id(t)
		resume := b.hang(t)
		out := said(t, 1, []string{"sent to 1 sockets", name, "--key", "twice"}, "emit", "--address", a.broker.Services, "--count", "--timeout", "3s", "news", "1")
		if strings.Contains(out, "did not take the call") {
			t.Error(out)
		}
		out = said(t, 1, []string{name, "--key"}, "emit", "--address", a.broker.Services, "--wait-acks", "2s", "--timeout", "2s", "news", "1")
		if strings.Contains(out, "did not take the call") {
			t.Error(out)
		}
		resume()
	}},
	{"O28b", "a replica that is taken for dead while it is waited for is silent", func(t *testing.T, w *world) {
		a, b := w.tied(t, "--replica-heartbeat", "500ms", "--replica-timeout", "3s")
		a.connected(t)
		name := b.id(t)
		for _, call := range [][2]string{
			{"emit", `{"event":"news","count":true,"timeout_ms":30000}`}, {"join", `{"join":["r"],"count":true}`}, {"leave", `{"leave":["r"],"count":true}`},
		} {
			a.metric(t, 1, "spanwire_mesh_peers")
			resume := b.hang(t)
			status, text := a.asks(t, call[0], call[1])
			if !strings.Contains(text, `"silent_replicas":["`+name+`"]`) || !strings.Contains(text, `"sockets":1`) || !strings.Contains(text, `"partial":"`) {
				t.Errorf("%s was answered %d %s", call[0], status, text)
			}
			resume()
		}
	}},
	{"O28c", "an emit does not claim other replicas that there are not", func(t *testing.T, w *world) {
		single := alone(t)
		if out := said(t, 0, []string{"sent to 0 sockets", "no other replica"}, "emit", "--address", single.broker.Services, "news", "1"); strings.Contains(out, "and to") {
			t.Error(out)
		}
		said(t, 0, []string{"sent to 0 sockets of this replica"}, "emit", "--address", single.broker.Services, "--local", "news", "1")
		lost := alone(t, "--nats-url", "nats://"+freeAddress(t))
		said(t, 1, []string{"sent to 0 sockets", "partial delivery", "backplane is down"}, "emit", "--address", lost.broker.Services, "news", "1")
		said(t, 1, []string{"partial delivery"}, "emit", "--address", lost.broker.Services, "--count", "news", "1")
		if status, text := lost.asks(t, "emit", `{"event":"news"}`); status != 503 || !strings.Contains(text, "BACKPLANE_UNAVAILABLE") || !strings.Contains(text, "partial") {
			t.Errorf("answered %d %s", status, text)
		}
		if status, text := lost.asks(t, "join", `{"join":["r"]}`); status != 503 || !strings.Contains(text, "partial") {
			t.Errorf("answered %d %s", status, text)
		}
		a, _ := w.tied(t)
		for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
			if out, _ := command(t, "emit", "--address", a.broker.Services, "news", "1"); strings.Contains(out, "and to 1 other replicas") {
				break
			} else if time.Now().After(end) {
				t.Fatal(out)
			}
		}
	}},
	{"O28e", "an emit that waits for nothing names a silent replica, and has not failed", func(t *testing.T, w *world) {
		a, b := w.tied(t, "--replica-heartbeat", "500ms", "--replica-timeout", "12s")
		a.connected(t)
		name := b.id(t)
		resume := b.hang(t)
		defer resume()
		for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
			out, code := command(t, "emit", "--address", a.broker.Services, "news", "1")
			if code != 0 {
				t.Fatalf("ended with %d: %s", code, out)
			}
			if strings.Contains(out, name) {
				return
			}
			if time.Now().After(end) {
				t.Fatal(out)
			}
		}
	}},
	{"O28d", "a broker that does not answer may have carried the call out", func(t *testing.T, w *world) {
		s := w.leaving(t, nil, "one").server
		s.connected(t)
		type outcome struct {
			text string
			code int
		}
		ended := make(chan outcome, 1)
		go func() { // ends with the command
			text, code := command(t, "emit", "--address", s.broker.Services, "--timeout", "2s", "--wait-acks", "2s", "news", "1")
			ended <- outcome{text, code}
		}()
		s.counted(t, 0, "spanwire_hub_collections")
		resume := s.hang(t)
		o := <-ended
		resume()
		if o.code != 1 || !strings.Contains(o.text, "may have been carried out") || !strings.Contains(o.text, "--key") {
			t.Errorf("%d: %s", o.code, o.text)
		}
	}},
}
