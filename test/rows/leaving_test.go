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

var leavingRows = slices.Concat(absentRows, retireRows)

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
		s.metric(t, absentEvents, "spanwire_dispatch_dropped_total", `cause="hold"`)
		s.says(t, "level=WARN", "dispatch dropped", "service=o5d", "hold-timeout")
		w.apart(t, s, "o5d")
		c.send(numbered("o5d", 1000, 1)...)
		wantAcks(t, c.next, 1000, 1)
	}},
}
