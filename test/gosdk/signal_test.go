// SPDX-License-Identifier: Apache-2.0

package gosdk

import (
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute // of a step that takes a moment, for a machine that is busy

// browser is a Socket.IO client that polls.
type browser struct {
	t    *testing.T
	http *http.Client
	url  string
	came []string // packets not taken yet
}

func newBrowser(t *testing.T, address string) *browser {
	b := &browser{t: t, http: &http.Client{Timeout: patience}, url: "http://" + address + "/socket.io/?EIO=4&transport=polling"}
	t.Cleanup(b.http.CloseIdleConnections)
	opened := b.poll()
	_, sid, _ := strings.Cut(opened, `"sid":"`)
	sid, _, ok := strings.Cut(sid, `"`)
	if !ok {
		t.Fatalf("opened with %q", opened)
	}
	b.url += "&sid=" + sid
	b.send("40")
	b.waitFor("40{")
	return b
}

func (b *browser) do(method, body string) string {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := b.http.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s %q, %v", method, response.Status, text, err)
	}
	return string(text)
}

func (b *browser) poll() string { b.t.Helper(); return b.do(http.MethodGet, "") }

func (b *browser) send(packet string) { b.t.Helper(); b.do(http.MethodPost, packet) }

// waitFor polls until a packet begins with the prefix.
func (b *browser) waitFor(prefix string) string {
	b.t.Helper()
	for start := time.Now(); time.Since(start) < patience; {
		for len(b.came) > 0 {
			packet := b.came[0]
			b.came = b.came[1:]
			switch {
			case strings.HasPrefix(packet, prefix):
				return packet
			case packet == "2":
				b.send("3")
			}
		}
		b.came = strings.Split(b.poll(), "\x1e")
	}
	b.t.Fatalf("no %q came", prefix)
	return ""
}

// held is a broker and the service of the program held, both as processes.
type held struct {
	*testing.T
	broker  *process.Broker
	binary  string
	service *process.Process
}

func startHeld(t *testing.T) *held {
	t.Helper()
	folder := t.TempDir()
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := process.BuildBroker(repository, folder)
	if err != nil {
		t.Fatal(err)
	}
	h := &held{T: t}
	if h.binary, err = process.BuildGo(repository, folder, "held", "./test/gosdk/held"); err != nil {
		t.Fatal(err)
	}
	if h.broker, err = process.StartBroker(binary, "broker"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(h.broker.Log())
		}
		h.broker.Kill()
		http.DefaultClient.CloseIdleConnections() // the metrics were fetched with it
	})
	h.start()
	return h
}

func (h *held) start() {
	h.Helper()
	var err error
	if h.service, err = process.Start("held", "", []string{"SPANWIRE_ADDRESS=" + h.broker.Services}, h.binary); err != nil {
		h.Fatal(err)
	}
	service := h.service
	h.Cleanup(func() {
		if h.Failed() {
			h.Log(service.Log())
		}
		service.Kill()
	})
	h.printed("attached\n")
}

func (h *held) printed(text string) {
	h.Helper()
	if err := h.service.WaitFor(text, patience); err != nil {
		h.Fatal(err)
	}
}

func (h *held) signal(s syscall.Signal) {
	h.Helper()
	if err := h.service.Signal(s); err != nil {
		h.Fatal(err)
	}
}

func (h *held) ended() error {
	h.Helper()
	if !h.service.Wait(patience) {
		h.Fatalf("the service did not end:\n%s", h.service.Log())
	}
	return h.service.Err()
}

// SIGTERM drains the service: open events are answered first, and events that arrive meanwhile
// wait for the next instance.
func TestService_RunUntilSignal(t *testing.T) {
	h := startHeld(t)
	b := newBrowser(t, h.broker.HTTP)
	b.send(`421["hold"]`)
	h.printed("began\n")
	h.signal(syscall.SIGTERM)
	if err := h.broker.WaitFor("handler instance draining", patience); err != nil {
		t.Fatal(err)
	}
	b.send(`422["echo"]`)
	h.signal(syscall.SIGUSR1)
	if got := b.waitFor("43"); got != `431["finished"]` {
		t.Errorf("the first ack is %s", got)
	}
	if err := h.ended(); err != nil || !strings.Contains(h.service.Log(), "left: <nil>") {
		t.Errorf("ended with %v:\n%s", err, h.service.Log())
	}
	h.start()
	if got := b.waitFor("43"); got != `432["echoed"]` {
		t.Errorf("the second ack is %s", got)
	}
}

// A second signal ends the program at once, and what was open is handed out again.
func TestService_RunUntilSignal_twice(t *testing.T) {
	h := startHeld(t)
	b := newBrowser(t, h.broker.HTTP)
	b.send(`421["hold"]`)
	h.printed("began\n")
	h.signal(syscall.SIGTERM)
	h.printed("draining")
	h.signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := h.ended(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v", err)
	}
	h.start()
	h.printed("began\n")
	h.signal(syscall.SIGUSR1)
	if got := b.waitFor("43"); got != `431["finished"]` {
		t.Errorf("the ack is %s", got)
	}
}

// A handler that comes and goes while the service runs has its events from when Registered returned
// until it is taken away.
func TestService_Registered_broker(t *testing.T) {
	h := startHeld(t)
	b := newBrowser(t, h.broker.HTTP)
	for i, step := range []struct{ packet, ack string }{
		{`421["later"]`, ""}, {`422["open"]`, `432[]`}, {`423["later"]`, `433["later"]`}, {`424["close"]`, `434[]`}, {`425["later"]`, ""},
		{`426["echo"]`, `436["echoed"]`}, {`427["open"]`, `437[]`}, {`428["later"]`, `438["later"]`},
	} {
		b.send(step.packet)
		if step.ack == "" {
			continue
		}
		if got := b.waitFor("43"); got != step.ack {
			t.Errorf("step %d: %s, want %s", i, got, step.ack)
		}
	}
	h.signal(syscall.SIGTERM)
	if err := h.ended(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
