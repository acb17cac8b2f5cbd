// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

var leavingRows = slices.Concat(absentRows, retireRows, lateRows)

// apart starts a service of its own, which handles the event of its name.
func (w *world) apart(t *testing.T, s *server, name string) *process.Process {
	t.Helper()
	p, err := process.Start(name, "", []string{"SPANWIRE_ADDRESS=" + s.broker.Services, "APART=" + name}, w.handler...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.WaitFor("attached", limit); err != nil {
		t.Fatal(err)
	}
	return p
}

// says waits until the broker has written a line with all of the parts, and gives it.
func (s *server) says(t *testing.T, parts ...string) string {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
	next:
		for line := range strings.Lines(s.broker.Log()) {
			for _, p := range parts {
				if !strings.Contains(line, p) {
					continue next
				}
			}
			return line
		}
		if time.Now().After(end) {
			t.Fatalf("the broker does not say %q", parts)
		}
	}
}

// metric waits until a metric of the broker has a value.
func (s *server) metric(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		got, err := s.broker.Metric(name, labels...)
		if err == nil && got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s%v is %v (%v), not %v", name, labels, got, err, want)
		}
	}
}

// numbered gives events with acks, numbered from first.
func numbered(event string, first, count int) (packets []string) {
	for n := first; n < first+count; n++ {
		packets = append(packets, fmt.Sprintf(`42%d[%q,%d]`, n, event, n))
	}
	return packets
}

// wantAcks reads the acks of numbered events, in order.
func wantAcks(t *testing.T, next func() string, first, count int) {
	t.Helper()
	for n := first; n < first+count; n++ {
		if got, want := next(), fmt.Sprintf(`43%d[%d]`, n, n); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

const absentEvents = 500

var absentRows = []row{
	{"O5", "events for an absent service wait, and those for other services are answered meanwhile", func(t *testing.T, w *world) {
		s := w.with(t)
		w.apart(t, s, "o5").Kill()
		s.says(t, "instance detached", "service=o5")
		c := s.connected(t)
		c.send(numbered("o5", 1, absentEvents)...)
		c.send(`429000["echo","present"]`)
		c.want(`439000["present"]`)
		w.apart(t, s, "o5")
		wantAcks(t, c.next, 1, absentEvents)
	}},
	{"O5b", "the same on polling", func(t *testing.T, w *world) {
		s := w.with(t)
		w.apart(t, s, "o5b").Kill()
		s.says(t, "instance detached", "service=o5b")
		p := s.polling(t)
		p.must("40")
		p.want("40{*")
		for n := 1; n < absentEvents; n += 50 {
			p.must(strings.Join(numbered("o5b", n, 50), "\x1e"))
		}
		p.must(`429000["echo","present"]`)
		p.want(`439000["present"]`)
		w.apart(t, s, "o5b")
		var got []string
		wantAcks(t, func() (packet string) {
			for len(got) == 0 {
				got = p.next()
			}
			packet, got = got[0], got[1:]
			return packet
		}, 1, absentEvents)
	}},
	{"O5c", "when the budget of an absent service is used up, sockets are not read until it is back, and the log says so", func(t *testing.T, w *world) {
		s := w.with(t, "--absent-service-bytes", "100000", "--socket-queue-events", "20")
		w.apart(t, s, "o5c").Kill()
		s.says(t, "instance detached", "service=o5c")
		all := []*conn{s.connected(t), s.connected(t), s.connected(t)}
		for _, c := range all {
			c.send(numbered("o5c", 1, absentEvents)...)
		}
		s.metric(t, 3, "spanwire_dispatch_blocked_sockets")
		s.says(t, "level=WARN", "back-pressure started", "service=o5c", "sockets=3", "absent-service-bytes")
		w.apart(t, s, "o5c")
		for _, c := range all {
			wantAcks(t, c.next, 1, absentEvents)
		}
		s.says(t, "level=WARN", "back-pressure ended", "service=o5c", "sockets=3", "absent-service-bytes")
	}},
	{"O5d", "what waits for an absent service longer than hold-timeout is dropped, counted and logged, and the budget is free again", func(t *testing.T, w *world) {
		s := w.with(t, "--hold-timeout", "2s", "--absent-service-bytes", "100000", "--socket-queue-events", "20")
		w.apart(t, s, "o5d").Kill()
		s.says(t, "instance detached", "service=o5d")
		c := s.connected(t)
		c.send(numbered("o5d", 1, absentEvents)...)
		c.send(`429000["echo","present"]`)
		c.want(`439000["present"]`)
		s.metric(t, absentEvents, "spanwire_dispatch_dropped_dispatches_total", `reason="hold"`)
		s.says(t, "level=WARN", "dispatch dropped", "service=o5d", "hold-timeout")
		w.apart(t, s, "o5d")
		c.send(numbered("o5d", 1000, 1)...)
		wantAcks(t, c.next, 1000, 1)
	}},
}

// hasty is a broker that gives up soon on what handlers do.
var hasty = []string{"--handler-timeout", "1s"}

// silent checks that the broker has written no line with all of the parts.
func (s *server) silent(t *testing.T, parts ...string) {
	t.Helper()
	for line := range strings.Lines(s.broker.Log()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			t.Errorf("the broker says %q", line)
		}
	}
}

var lateRows = []row{
	{"O30k", "an event that waits behind a slow one has its own time, and the late result is one line that says which", func(t *testing.T, w *world) {
		s := w.with(t, append(hasty, "--log-level", "info")...)
		service := w.apart(t, s, "o30")
		c := s.connected(t)
		c.send(`421["o30 slow",1600]`, `422["o30","quick"]`)
		c.want(`432["quick"]`)
		s.says(t, "dispatch dropped", "service=o30", "event o30 slow", "handler did not finish", "handler-timeout")
		s.says(t, "level=WARN", "arrived after", "service=o30", "instance=", "event o30 slow", "duration=", "handler-timeout")
		s.metric(t, 1, "spanwire_dispatch_results_total", `outcome="late"`)
		s.metric(t, 1, "spanwire_dispatch_dropped_dispatches_total")
		s.metric(t, 0, "spanwire_bridge_protocol_violations_total")
		s.silent(t, "level=WARN", `"event o30"`)
		if err := service.WaitFor("o30 slow", limit); err != nil {
			t.Errorf("the SDK says nothing of the late result: %v", err)
		}
		c.send(`423["o30","again"]`)
		c.want(`433["again"]`)
		s.silent(t, "instance detached", "service=o30")
	}},
	{"O30l", "an event behind one that does not end is dropped with a line that says that it never started, and behind what", func(t *testing.T, w *world) {
		s := w.with(t, append(hasty, "--log-level", "warn")...)
		w.apart(t, s, "o30b")
		c, other := s.connected(t), s.connected(t)
		c.send(`421["o30b slow",6000]`, `422["o30b","quick"]`)
		other.send(`421["o30b","beside"]`)
		other.want(`431["beside"]`)
		line := s.says(t, "dispatch dropped", "service=o30b", `dispatch="event o30b"`)
		if !strings.Contains(line, "never started") || !strings.Contains(line, "o30b slow") || strings.Contains(line, "did not finish") {
			t.Errorf("the broker says %q", line)
		}
		s.says(t, "dispatch dropped", "service=o30b", `dispatch="event o30b slow"`, "handler did not finish")
		s.metric(t, 1, "spanwire_dispatch_dropped_dispatches_total", `reason="deadline"`)
		s.metric(t, 1, "spanwire_dispatch_dropped_dispatches_total", `reason="not_started"`)
		s.metric(t, 2, "spanwire_dispatch_results_total", `outcome="late"`)
		s.metric(t, 0, "spanwire_bridge_protocol_violations_total")
		c.send(`423["o30b","again"]`)
		c.want(`433["again"]`)
	}},
	{"O30m", "many events that are handled one after another all have their time", func(t *testing.T, w *world) {
		s := w.with(t, append(hasty, "--log-level", "error")...)
		w.apart(t, s, "o30c")
		c := s.connected(t)
		for n := 1; n <= 12; n++ {
			c.send(fmt.Sprintf(`42%d["o30c slow",300]`, n))
		}
		for n := 1; n <= 12; n++ {
			c.want(fmt.Sprintf(`43%d[300]`, n))
		}
		s.metric(t, 0, "spanwire_dispatch_dropped_dispatches_total")
	}},
	{"O30o", "an event whose handler runs beside others is not said to wait behind them", func(t *testing.T, w *world) {
		s := w.with(t, append(hasty, "--max-services", "64")...)
		w.apart(t, s, "o30o")
		c := s.connected(t)
		c.send(`421["o30o slow",5000]`, `422["o30o beside",5000]`, `423["o30o beside",1]`)
		c.want(`433[1]`)
		s.says(t, "dispatch dropped", `dispatch="event o30o slow"`, "handler did not finish")
		s.says(t, "dispatch dropped", `dispatch="event o30o beside"`, "handler did not finish")
		s.metric(t, 2, "spanwire_dispatch_results_total", `outcome="late"`)
		s.metric(t, 2, "spanwire_dispatch_dropped_dispatches_total", `reason="deadline"`)
		s.metric(t, 0, "spanwire_dispatch_dropped_dispatches_total", `reason="not_started"`)
	}},
	{"O30n", "what waits behind a handler that hangs is shown by service and by socket, and so is that the socket is not read", func(t *testing.T, w *world) {
		s := w.with(t, "--instance-window", "8", "--max-instance-window", "8")
		w.apart(t, s, "o30d")
		c := s.connected(t)
		c.send(`42["o30d slow",600000]`)
		c.send(numbered("o30d", 1, 300)...)
		s.metric(t, 1, "spanwire_dispatch_blocked_sockets")
		table := strings.Fields(s.shows(t, "o30d", "services"))
		if want := []string{"8", "4", "1", "1", "128", "1", "serves"}; len(table) < 10 || !slices.Equal(table[3:10], want) {
			t.Errorf("broker services shows %q, not %q", table, want)
		}
		if line := s.shows(t, "o30d", "services", "--json"); !strings.Contains(line, `"waiting_events":128`) || !strings.Contains(line, `"unread_sockets":1`) {
			t.Errorf("broker services --json shows %s", line)
		}
		if line := s.shows(t, "o30d", "sockets"); !strings.Contains(line, "o30d:128 (unread)") {
			t.Errorf("broker sockets shows %q", line)
		}
		status, err := s.broker.Get("/status")
		if err != nil || !strings.Contains(status, `"waiting_events":128`) || !strings.Contains(status, `"unread_sockets":1`) {
			t.Errorf("the status is %s (%v)", status, err)
		}
		s.says(t, "level=WARN", "back-pressure started", "service=o30d", "sockets=1", "socket-queue-events")
	}},
}

// shows gives the line with the text of what a command of the broker prints.
func (s *server) shows(t *testing.T, text string, command ...string) string {
	t.Helper()
	out, err := brokerSays(append(command, "--address", s.broker.Services)...)
	if err != nil {
		t.Fatalf("broker %q: %v\n%s", command, err, out)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("broker %q shows no %s: %s", command, text, out)
	return ""
}
