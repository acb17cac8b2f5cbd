// SPDX-License-Identifier: Apache-2.0

//go:build unix

package cli_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything here may take at most.
const patience = 30 * time.Second

// process is a broker that runs, and what it has printed.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu      sync.Mutex // guards what follows
	printed strings.Builder
	news    chan struct{} // closed and replaced with each line
}

// start starts a broker at free ports and waits for its greeting.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := launch(t, "", args...)
	p.wait("Spanwire is ready")
	return p
}

// launch starts a broker, or a shell that runs one as $0 when a script is given.
func launch(t *testing.T, script string, args ...string) *process {
	t.Helper()
	name := "serve"
	if len(args) > 0 && args[0] == "dev" {
		name, args = args[0], args[1:]
	}
	args = append([]string{binary, name, "--http-address=127.0.0.1:0", "--service-address=127.0.0.1:0", "--operator-address=127.0.0.1:0"}, args...)
	if script != "" {
		args = append([]string{"/bin/sh", "-c", script}, args...)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{}), news: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var read sync.WaitGroup
	read.Go(func() { // ends with the pipe
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			p.print(lines.Text() + "\n")
		}
	})
	go func() { // ends with the process
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		r.Close() // also when another process has the other end
		read.Wait()
	})
	return p
}

func (p *process) print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printed.WriteString(line)
	close(p.news)
	p.news = make(chan struct{})
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.String()
}

// wait waits until text was printed.
func (p *process) wait(text string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		found, news := strings.Contains(p.printed.String(), text), p.news
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-news:
		case <-deadline:
			p.t.Fatalf("%q was not printed:\n%s", text, p.output())
		}
	}
}

// find gives the first group of what was printed.
func (p *process) find(expression string) string {
	p.t.Helper()
	m := regexp.MustCompile(expression).FindStringSubmatch(p.output())
	if m == nil {
		p.t.Fatalf("%s was not printed:\n%s", expression, p.output())
	}
	return m[1]
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// code waits for the end and gives the exit code, or -1 for a signal's.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("it did not end:\n%s", p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// gone waits until no process has the id.
func gone(t *testing.T, id string) {
	t.Helper()
	pid, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); syscall.Kill(pid, 0) == nil; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d still runs", pid)
		}
	}
}

// A signal drains the broker, which ends well.
func TestServe_Signal(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if s == syscall.SIGHUP && signal.Ignored(s) {
			continue // this test runs under nohup, and so would the broker
		}
		p := start(t)
		if code, _ := get(t, p.find("open (http://[^ ]+)")+"/socket.io/?EIO=3"); code != 400 {
			t.Errorf("it does not serve: %d", code)
		}
		p.signal(s)
		if code := p.code(); code != 0 {
			t.Errorf("%v: exit code %d\n%s", s, code, p.output())
		}
		p.wait("draining") // which may be read after the end
	}
}

// A second signal ends the broker at once, even while a session holds up the drain.
func TestServe_SecondSignal(t *testing.T) {
	p := start(t, "--drain-timeout=10m")
	get(t, p.find("open (http://[^ ]+)")+"/socket.io/?EIO=4&transport=polling")
	p.signal(syscall.SIGTERM)
	p.wait("draining")
	p.signal(syscall.SIGTERM)
	if code := p.code(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
}

// A port in use is said in one sentence.
func TestServe_PortInUse(t *testing.T) {
	p := start(t)
	second := launch(t, "", "--operator-address="+p.find("operators http://([^)]+)"))
	if code := second.code(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	second.wait("in use by another process: stop that, or choose another with --operator-address")
}

// A broker with exit-with-parent ends with its parent, here a shell that starts it and ends.
func TestServe_ExitWithParent(t *testing.T) {
	p := launch(t, `"$0" "$@" & echo "broker $!"; wait`, "--exit-with-parent")
	p.wait("Spanwire is ready")
	p.wait("broker ")
	p.signal(syscall.SIGKILL)
	p.code()
	gone(t, p.find(`broker (\d+)`))
}

// The log is JSON when asked for, and holds no secrets.
func TestServe_Log(t *testing.T) {
	p := start(t, "--log-format=json", "--log-level=debug", "--service-tokens=very-secret")
	p.wait(`"msg":"ready"`)
	p.signal(syscall.SIGTERM)
	p.code()
	p.wait(`"msg":"stopped"`)
	if strings.Contains(p.output(), "very-secret") {
		t.Errorf("a secret was logged:\n%s", p.output())
	}
}

// The application of dev gets where the broker and itself are, and both end with its exit code,
// together with what it started.
func TestDev_ApplicationEnds(t *testing.T) {
	p := launch(t, "", "dev", "--service-tokens=very-secret", "--", "/bin/sh", "-c",
		`sleep 600 & echo "child $! app=$SPANWIRE_APP_ADDRESS broker=$SPANWIRE_ADDRESS token=$SPANWIRE_TOKEN"; exit 7`)
	if code := p.code(); code != 7 {
		t.Errorf("exit code %d", code)
	}
	p.wait("the application ended with exit code 7")
	gone(t, p.find(`child (\d+) app=127\.0\.0\.1:\d+ broker=127\.0\.0\.1:\d+ token=very-secret`))
}

// An application that a signal ends has a shell's exit code for it.
func TestDev_ApplicationKilled(t *testing.T) {
	p := launch(t, "", "dev", "--", "/bin/sh", "-c", `kill -9 $$`)
	if code := p.code(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d", code)
	}
}

// A command that is not there is said.
func TestDev_NoCommand(t *testing.T) {
	p := launch(t, "", "dev", "--", "/nowhere/app")
	if code := p.code(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.wait("cannot start the application")
}

// A signal ends the application first, then the broker.
func TestDev_Signal(t *testing.T) {
	p := start(t, "dev", "--", "/bin/sh", "-c", `trap 'echo bye; exit 0' TERM; echo "up $$"; while :; do sleep 0.05; done`)
	p.wait("up ")
	p.signal(syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
	p.wait("draining")
	if out := p.output(); !strings.Contains(out, "bye") || strings.Index(out, "bye") > strings.Index(out, "draining") {
		t.Errorf("the application was not ended first:\n%s", out)
	}
	gone(t, p.find(`up (\d+)`))
}

// A second signal ends the application too, however it clings to life.
func TestDev_SecondSignal(t *testing.T) {
	p := start(t, "dev", "--", "/bin/sh", "-c", `trap 'echo never' TERM; echo "up $$"; while :; do sleep 0.05; done`)
	p.wait("up ")
	p.signal(syscall.SIGTERM)
	p.wait("never")
	p.signal(syscall.SIGINT)
	if code := p.code(); code != 128+int(syscall.SIGINT) {
		t.Errorf("exit code %d", code)
	}
	gone(t, p.find(`up (\d+)`))
}

// A request that is not Socket.IO goes to the application, and is explained while that is not up.
func TestDev_Upstream(t *testing.T) {
	p := start(t, "dev", "--", "/bin/sh", "-c", "exec sleep 600")
	code, body := get(t, p.find("open (http://[^ ]+)"))
	if code != 502 || !strings.Contains(body, "does not answer") {
		t.Errorf("%d %s", code, body)
	}
	p.signal(syscall.SIGTERM)
	p.code()
}

// Emit reaches a running broker, which asks for the token that it was given.
func TestEmit(t *testing.T) {
	p := start(t, "--service-tokens=very-secret")
	address := p.find(`services dial ([^,)]+)`)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"news", `{"data":"hi"}`, "2"}, 1, "asks for a token (flag --token, variable SPANWIRE_TOKEN)"},
		{[]string{"--token=very-secret", "news", `{"data":"hi"}`, "2"}, 0, "sent to 0 sockets of this replica"},
		{[]string{"--token=very-secret", "--room=a", "--room=b", "--except=c", "--namespace=/x", "--wait-acks=200", "news"}, 0, "0 acks, 0 missing"},
		{[]string{"--token=very-secret", "connect"}, 1, "connect"},
	} {
		cmd := exec.CommandContext(t.Context(), binary, append([]string{"emit", "--address=" + address}, tt.args...)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%q: %v\n%s", tt.args, err, out)
		}
	}
	// The first address that is not there is passed over.
	cmd := exec.CommandContext(t.Context(), binary, "emit", "--address=127.0.0.1:1,"+address, "--token=very-secret", "news")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), binary, "emit", "--address="+strings.TrimPrefix(p.find("open (http://[^ ]+)"), "http://"), "x").CombinedOutput(); err == nil {
		t.Errorf("the browsers' entry point took an emit:\n%s", out)
	}
	p.signal(syscall.SIGTERM)
	p.code()
}
