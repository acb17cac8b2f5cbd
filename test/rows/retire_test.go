// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// leaving is a broker of the test's own, with services that may leave.
type leaving struct {
	*server
	t        *testing.T
	world    *world
	services map[string]*process.Process
}

// leaving starts a broker and an instance of each service, which all declare the same.
func (w *world) leaving(t *testing.T, flags []string, services ...string) *leaving {
	t.Helper()
	b, err := process.StartBroker(binaries.broker, "broker", flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Kill(); t.Failed() {
			t.Logf("the broker's log:\n%s", b.Log())
		}
	})
	l := &leaving{server: &server{broker: b}, t: t, world: w, services: map[string]*process.Process{}}
	for _, name := range services {
		l.start(name)
	}
	return l
}

// developing is leaving with a broker that runs an application, which does nothing.
func (w *world) developing(t *testing.T, services ...string) *leaving {
	t.Helper()
	b := &process.Broker{}
	for _, a := range []*string{&b.HTTP, &b.Services, &b.Operators} {
		var err error
		if *a, err = process.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.Process, err = process.Start("broker dev", "", nil, binaries.broker, "dev", "--http-address", b.HTTP, "--service-address", b.Services,
		"--operator-address", b.Operators, "--connect-hold", "10m", "--", "sh", "-c", "echo retire=$SPANWIRE_RETIRE; exec sleep 600")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Stop(limit); t.Failed() {
			t.Logf("the broker's log:\n%s", b.Log())
		}
	})
	for _, text := range []string{"Spanwire is ready", "retire=true"} {
		if err := b.WaitFor(text, limit); err != nil {
			t.Fatal(err)
		}
	}
	l := &leaving{server: &server{broker: b}, t: t, world: w, services: map[string]*process.Process{}}
	for _, name := range services {
		l.start(name)
	}
	return l
}

// start starts an instance of the service, with more environment if wanted.
func (l *leaving) start(name string, env ...string) {
	l.t.Helper()
	env = append([]string{"SPANWIRE_ADDRESS=" + l.broker.Services, "SERVICE=" + name}, env...)
	p, err := process.Start(name, "", env, l.world.handler...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(p.Kill)
	l.services[name] = p
	if err := p.WaitFor("attached", limit); err != nil {
		l.t.Fatal(err)
	}
}

// stop ends the service as a deploy does.
func (l *leaving) stop(name string) {
	l.t.Helper()
	p := l.services[name]
	if err := p.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	if !p.Wait(limit) {
		l.t.Fatalf("%s does not end:\n%s", name, p.Log())
	}
	l.until(name+" is absent", func() bool { return l.status(name).Absent || !l.knows(name) })
}

// until waits for a fact.
func (l *leaving) until(what string, is func() bool) {
	l.t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("it does not become true that %s", what)
		}
	}
}

// serviceStatus is a service as /status tells it.
type serviceStatus struct {
	Name      string     `json:"name"`
	Instances []string   `json:"instances"`
	Absent    bool       `json:"absent"`
	Since     *time.Time `json:"absent_since"`
	Held      int        `json:"held_connects"`
}

func (l *leaving) all() (list []serviceStatus) {
	l.t.Helper()
	text, err := l.broker.Get("/status")
	if err != nil {
		l.t.Fatal(err)
	}
	var status struct {
		Services []serviceStatus `json:"services"`
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		l.t.Fatal(err)
	}
	return status.Services
}

func (l *leaving) status(name string) (found serviceStatus) {
	for _, s := range l.all() {
		if s.Name == name {
			found = s
		}
	}
	return found
}

func (l *leaving) knows(name string) bool { return l.status(name).Name != "" }

func (l *leaving) held(name string) float64 {
	l.t.Helper()
	n, err := l.broker.Metric("spanwire_dispatch_absent_service_held_connects", `service="`+name+`"`)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// joining opens a session that asks to join the main namespace, and does not wait for the answer.
func (l *leaving) joining() *conn {
	c := l.websocket(l.t)
	c.send("40")
	return c
}

// command runs the broker as a command that calls the broker.
func (l *leaving) command(arguments ...string) (output string, code int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, binaries.broker, arguments...)
	command.Env = append(command.Environ(), "SPANWIRE_ADDRESS="+l.broker.Services)
	text, _ := command.CombinedOutput()
	return string(text), command.ProcessState.ExitCode()
}

// call calls the operators' API.
func (l *leaving) call(path, body string) (answer answer) {
	l.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+l.broker.Operators+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if answer, err = send(r); err != nil {
		l.t.Fatal(err)
	}
	return answer
}

var retireRows = []row{
	{"O01", "an absent service that holds connects is named by log, metrics and status, until a command retires it", func(t *testing.T, w *world) {
		l := w.leaving(t, nil, "a", "b")
		l.connected(t).echo()
		l.stop("a")
		if l.held("a") != 0 {
			t.Errorf("%v connects are held before one came", l.held("a"))
		}
		c := l.joining()
		l.until("a connect is held", func() bool { return l.held("a") == 1 })
		if err := l.broker.WaitFor(`command="broker services retire a"`, limit); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(l.broker.Log()) {
			if !strings.Contains(line, "services retire") {
				continue
			}
			for _, word := range []string{"level=WARN", "service=a ", "namespace=/ ", "since=20", "connect-hold", "service-retention"} {
				if !strings.Contains(line, word) {
					t.Errorf("the line lacks %s: %s", word, line)
				}
			}
		}
		if s := l.status("a"); !s.Absent || s.Held != 1 || s.Since == nil || len(s.Instances) != 0 {
			t.Errorf("status %+v", s)
		}
		if page, err := l.broker.Get("/"); err != nil || !strings.Contains(page, "absent, holds 1 connects") {
			t.Errorf("the page does not tell: %v\n%s", err, page)
		}
		if text, _ := l.command("services"); !strings.Contains(text, "absent, holds 1 connects") {
			t.Errorf("broker services tells\n%s", text)
		}
		if text, code := l.command("services", "retire", "b"); code != 1 || !strings.Contains(text, "1 attached instance") {
			t.Errorf("retire b: %d %s", code, text)
		}
		if text, code := l.command("services", "retire", "nobody"); code != 1 || !strings.Contains(text, "no replica knows") {
			t.Errorf("retire nobody: %d %s", code, text)
		}
		if text, code := l.command("services", "retire", "a"); code != 0 || !strings.Contains(text, "1 connects go on") {
			t.Errorf("retire a: %d %s", code, text)
		}
		c.want("40{*")
		c.echo()
		l.connected(t).echo()
		if l.knows("a") || l.held("a") != 0 {
			t.Error("a is known still")
		}
		l.start("a")
		l.connected(t).echo()
		if s := l.status("a"); len(s.Instances) != 1 || s.Absent {
			t.Errorf("status %+v", s)
		}
	}},
	{"O01b", "the connect that was held is counted out when its browser leaves", func(t *testing.T, w *world) {
		l := w.leaving(t, nil, "a", "b")
		l.stop("a")
		c := l.joining()
		l.until("a connect is held", func() bool { return l.held("a") == 1 })
		_ = c.Close()
		l.until("none is held", func() bool { return l.held("a") == 0 })
		if s := l.status("a"); !s.Absent || s.Held != 0 {
			t.Errorf("status %+v", s)
		}
	}},
	{"O01c", "what waits for a retired service is dropped and counted, and its browsers are served", func(t *testing.T, w *world) {
		l := w.leaving(t, nil, "a", "b")
		served, gone := l.connected(t), l.connected(t)
		l.stop("a")
		for range 3 {
			served.send(`42["echo",1]`)
		}
		_ = gone.Close()
		l.until("the events wait", func() bool {
			n, err := l.broker.Metric("spanwire_dispatch_queued_dispatches")
			return err == nil && n == 4 // the disconnect of the other one too
		})
		a := l.call("services/retire", `{"service":"a"}`)
		if a.status != http.StatusOK || !strings.Contains(a.body, `"connects":0,"dropped":4,"silent_replicas":[]`) {
			t.Errorf("%d %s", a.status, a.body)
		}
		if n, err := l.broker.Metric("spanwire_dispatch_dropped_dispatches_total", `reason="retired"`); err != nil || n != 4 {
			t.Errorf("%v dropped, %v", n, err)
		}
		served.echo()
		if a := l.call("services/retire", `{"service":"b"}`); a.status != http.StatusConflict || !strings.Contains(a.body, "1 attached instance") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := l.call("services/retire", `{"service":"a"}`); a.status != http.StatusNotFound {
			t.Errorf("%d %s", a.status, a.body)
		}
	}},
	{"O01d", "a namespace that only a retired service had is unknown, and its held connects are refused", func(t *testing.T, w *world) {
		l := w.leaving(t, nil, "a")
		l.start("other", "ONLY=/elsewhere")
		l.stop("a")
		c := l.joining()
		l.until("a connect is held", func() bool { return l.held("a") == 1 })
		if text, code := l.command("services", "retire", "a"); code != 0 {
			t.Errorf("retire a: %d %s", code, text)
		}
		c.want(`44{"message":"Invalid namespace"}`)
		c.send("40/elsewhere,")
		c.want("40/elsewhere,{*")
	}},
	{"O01e", "the setting service-retention retires an absent service after that time", func(t *testing.T, w *world) {
		l := w.leaving(t, []string{"--service-retention", "2s", "--connect-hold", "60s"}, "a", "b")
		l.stop("a")
		c := l.joining()
		c.want("40{*")
		c.echo()
		if err := l.broker.WaitFor(`reason=service-retention`, limit); err != nil {
			t.Error(err)
		}
	}},
	{"O01f", "an advisory service is notified of connects, and neither rejects nor holds them", func(t *testing.T, w *world) {
		l := w.leaving(t, nil, "b")
		l.start("notified", "ONLY=/", "ADVISORY=1", "REFUSE=1")
		notified := l.services["notified"]
		c := l.connected(t)
		if err := notified.WaitFor("connect ", limit); err != nil {
			t.Fatal(err)
		}
		c.send(`427["small"]`)
		c.want(`437["small"]`)
		_ = c.Close()
		if err := notified.WaitFor("disconnect ", limit); err != nil {
			t.Error(err)
		}
		l.stop("notified")
		for range 3 {
			l.connected(t).echo()
		}
		if s := l.status("notified"); !s.Absent || s.Held != 0 || l.held("notified") != 0 {
			t.Errorf("status %+v", s)
		}
		l.start("notified", "ONLY=/", "ADVISORY=1")
		l.until("it is notified of those that connected in between", func() bool { return strings.Count(l.services["notified"].Log(), "connect ") == 3 })
		l.stop("b")
		held := l.joining()
		l.until("the connect is held by the other service", func() bool { return l.held("b") == 1 })
		l.start("b")
		held.want("40{*")
	}},
	{"O01g", "a drain that says so retires the service with its last instance", func(t *testing.T, w *world) {
		l := w.leaving(t, []string{"--connect-hold", "10m"}, "b")
		l.start("a", "SPANWIRE_RETIRE=true")
		first := l.services["a"]
		l.start("a", "SPANWIRE_RETIRE=true")
		if first.Stop(limit); !l.knows("a") {
			t.Error("a is retired although it has an instance")
		}
		l.connected(t).echo()
		l.stop("a")
		l.until("a is retired", func() bool { return !l.knows("a") })
		l.connected(t).echo()
		l.start("c")
		l.stop("c")
		if !l.knows("c") {
			t.Error("c is retired although it did not ask for it")
		}
	}},
	{"O01h", "an emitter retires a service", func(t *testing.T, w *world) {
		l := w.leaving(t, []string{"--connect-hold", "10m"}, "a", "b")
		l.stop("a")
		c := l.joining()
		l.until("a connect is held", func() bool { return l.held("a") == 1 })
		for name, says := range map[string]string{"b": "attached instance", "nobody": "no replica knows", "a": "silent []"} {
			p, err := process.Start("emitter", "", []string{"SPANWIRE_ADDRESS=" + l.broker.Services}, append(slices.Clone(w.handler), "retire", name)...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			if err := p.WaitFor(says, limit); err != nil {
				t.Errorf("retire %s: %v", name, err)
			}
		}
		c.want("40{*")
		c.echo()
	}},
	{"O01i", "with broker dev a service that crashed and comes back under another name holds up no page", func(t *testing.T, w *world) {
		l := w.developing(t, "a")
		l.connected(t).echo()
		l.services["a"].Kill()
		l.start("b")
		l.connected(t).echo()
		l.until("a is retired", func() bool { return !l.knows("a") })
	}},
	{"O01j", "with broker dev a service that crashed and comes back loses nothing", func(t *testing.T, w *world) {
		l := w.developing(t, "a")
		c := l.connected(t)
		c.echo()
		l.services["a"].Kill()
		l.until("a is absent", func() bool { return l.status("a").Absent })
		c.send(`42777["echo",1]`)
		held := l.joining()
		time.Sleep(3 * time.Second) // longer than broker dev keeps a service that holds up others
		l.start("a")
		c.want("43777[1]")
		held.want("40{*")
	}},
	{"O01k", "retiring a service needs a right of its own", func(t *testing.T, w *world) {
		callers := filepath.Join(t.TempDir(), "callers.yaml")
		const text = `callers:
  - {name: apps, tokens: [token-of-the-services], may: [register, emit, query]}
  - {name: operator, tokens: [token-of-the-operator], may: [retire]}
`
		if err := os.WriteFile(callers, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := w.leaving(t, []string{"--service-callers", callers})
		for _, name := range []string{"a", "b"} {
			l.start(name, "SPANWIRE_TOKEN=token-of-the-services")
		}
		l.stop("a")
		if text, code := l.command("services", "retire", "--token", "token-of-the-services", "a"); code != 1 || !strings.Contains(text, "may not retire") {
			t.Errorf("the services' token: %d %s", code, text)
		}
		if text, code := l.command("services", "retire", "--token", "token-of-the-operator", "a"); code != 0 {
			t.Errorf("the operator's token: %d %s", code, text)
		}
	}},
}
