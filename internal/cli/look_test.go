// SPDX-License-Identifier: Apache-2.0

//go:build unix

package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// chat serves the main namespace at the broker, and puts every socket into the room "all".
func chat(t *testing.T, b *broker.Broker) {
	t.Helper()
	svc := spanwire.NewService("chat", spanwire.Options{Address: b.ServiceAddress(), InstanceID: "chat-1"})
	svc.OnConnect(func(_ context.Context, s *spanwire.Socket) error { return s.Join("all", "a\x1b[2J") })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// visit connects a browser and gives the id of its socket.
func visit(t *testing.T, b *broker.Broker) (id string) {
	t.Helper()
	url := "http://" + b.HTTPAddress() + "/socket.io/?EIO=4&transport=polling"
	var opened struct{ Sid string }
	read := func(url, prefix string) {
		_, body := get(t, url)
		if err := json.Unmarshal([]byte(strings.TrimPrefix(body, prefix)), &opened); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	read(url, "0")
	url += "&sid=" + opened.Sid
	response, err := http.Post(url, "text/plain", strings.NewReader("40")) //nolint:noctx // the broker answers at once
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	read(url, "40")
	return opened.Sid
}

// run gives what a command printed on standard output.
func run(t *testing.T, b *broker.Broker, code int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = []string{"SPANWIRE_ADDRESS=" + b.ServiceAddress()}
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != code {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// The commands that look show the sockets, rooms and services of a cluster as tables for people,
// and as lines of JSON for programs.
func TestLook(t *testing.T) {
	all := brokertest.Cluster(t, 2)
	chat(t, all[0])
	one, other := visit(t, all[0]), visit(t, all[1])
	both := []string{one, other}
	slices.Sort(both)

	lines := strings.Split(run(t, all[0], 0, "sockets"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "SOCKET ") || !strings.HasPrefix(lines[1], both[0]+"  ") || !strings.HasPrefix(lines[2], both[1]+"  ") ||
		!strings.Contains(lines[1], "polling") || !strings.Contains(lines[1], `"`+`all,a\x1b[2J"`) {
		t.Errorf("sockets: %q", lines)
	}
	if out := run(t, all[1], 0, "sockets", "--room="+one, "--json"); strings.Count(out, "\n") != 1 || !json.Valid([]byte(out)) || !strings.Contains(out, one) {
		t.Errorf("one socket: %s", out)
	}
	if out := run(t, all[0], 0, "rooms"); !strings.Contains(out, "all         2\n") || strings.Contains(out, "\x1b") {
		t.Errorf("rooms: %s", out)
	}
	if out := run(t, all[0], 0, "rooms", "--json"); !strings.Contains(out, `{"name":"all","sockets":2}`+"\n") {
		t.Errorf("rooms: %s", out)
	}
	if out := run(t, all[0], 0, "services"); !strings.Contains(out, "chat     chat-1 ") || !strings.Contains(out, "serves") || !strings.Contains(out, all[1].ServiceAddress()) {
		t.Errorf("services: %s", out)
	}
	if out := run(t, all[0], 0, "services", "--json"); !strings.Contains(out, `{"service":"chat","registrations":[{`) || strings.Count(out, "\n") != 1 {
		t.Errorf("services: %s", out)
	}
	run(t, all[0], 1, "services", "retire", "chat") // has an instance
	run(t, all[0], 1, "services", "retire", "nobody", "--timeout", "30s")
	run(t, all[0], 2, "services", "retire")
	run(t, all[0], 2, "services", "retire", "chat", "other")
	if out := run(t, all[0], 0, "services", "retire", "-h"); !strings.Contains(out, "NAME forgets an absent service") {
		t.Errorf("help: %s", out)
	}
	if out := run(t, all[0], 0, "emit", "--key=k", "--count", "x", `{"_bytes":"AQ=="}`); out != "" {
		t.Errorf("emit: %s", out)
	}
}

// A tail follows all replicas, those too that come and go, until it is interrupted.
func TestTail(t *testing.T) {
	all := brokertest.Cluster(t, 2)
	chat(t, all[0])
	cmd := exec.Command(binary, "tail", "--json", "--address="+all[0].ServiceAddress())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	notes := bufio.NewScanner(stderr)
	until := func(what string, times int) {
		t.Helper()
		for times > 0 && notes.Scan() {
			if strings.Contains(notes.Text(), what) {
				times--
			}
		}
		if times > 0 {
			t.Fatalf("the tail did not say %q", what)
		}
	}
	until("following replica", 2)
	lines := bufio.NewScanner(stdout)
	for _, b := range all {
		id := visit(t, b)
		for connected := false; !connected; {
			if !lines.Scan() {
				t.Fatal("the tail ended")
			}
			connected = strings.Contains(lines.Text(), `"kind":"connected"`) && strings.Contains(lines.Text(), id)
		}
	}
	third, err := broker.Start(brokertest.Config(func(c *broker.Config) { c.Cluster.NATS.URL = "nats://" + all[0].NATSAddress() }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	until("following replica", 1)
	if err := third.Drain(); err != nil {
		t.Error(err)
	}
	until("went away", 1)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { //nolint:revive // until it has ended
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("ended with %v", err)
	}
}
