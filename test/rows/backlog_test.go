// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

const (
	backlogEvents = 20_000
	backlogBytes  = 500
	// backlogText is what a handler greets a page with, twice.
	backlogText = 2_100_000
)

var (
	filler  = strings.Repeat("x", backlogBytes)
	backlog = fmt.Sprintf(`42["burst",%d,%q]`, backlogEvents, filler)
	greeted = fmt.Sprintf(`40{"large":[%d,%d]}`, backlogText, backlogText)
)

// backlogRows are bursts: to browsers that read them, however much it is for a moment, and to
// browsers that do not.
var backlogRows = []row{
	{"O8", "what a connect handler emits arrives, by WebSocket", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.send(greeted)
		c.want("40{*")
		c.greeted(2)
		c.echo()
	}},
	{"O8a", "what a connect handler emits arrives, by polling", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must(greeted)
		got := p.next()
		for len(got) < 3 {
			got = append(got, p.next()...)
		}
		if !strings.HasPrefix(got[0], "40{") || len(got[1]) < backlogText || len(got[2]) < backlogText {
			t.Errorf("got packets of %d, %d and %d bytes", len(got[0]), len(got[1]), len(got[2]))
		}
		p.alive()
	}},
	{"O8b", "a burst of 10 MB arrives by polling", func(t *testing.T, w *world) {
		p := w.with(t).joinedByPolling(t)
		p.must(backlog)
		p.wantBacklog(0)
		p.alive()
	}},
	{"O8c", "a burst of 10 MB arrives by polling, 16 packets at a time", func(t *testing.T, w *world) {
		s := w.with(t)
		p := s.joinedByPolling(t)
		p.must(backlog)
		for next := 0; next < backlogEvents; {
			a := p.get("User-Agent", "python-requests/2.34.2")
			if a.status != http.StatusOK {
				t.Fatalf("after %d events the poll was answered %d %s", next, a.status, a.body)
			}
			next = p.events(a.body, next)
		}
	}},
	{"O8d", "a burst of 10 MB arrives by WebSocket, at a browser that begins to read when all of it is queued", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "41s")
		c := s.connected(t)
		s.queues(t, backlogEvents, func() { c.send(backlog) })
		c.wantBacklog()
		c.echo()
	}},
	{"O8e", "one event that is larger than what handlers usually send arrives on every transport", func(t *testing.T, w *world) {
		s := w.with(t, "--max-frame", "32MiB")
		const size = 9_000_000
		greeting := fmt.Sprintf(`40{"large":[%d]}`, size)
		c := s.websocket(t)
		c.send(greeting)
		c.want("40{*")
		if got := c.next(); len(got) < size {
			t.Errorf("got %d bytes", len(got))
		}
		p := s.polling(t)
		p.must(greeting)
		got := p.next()
		for len(got) < 2 {
			got = append(got, p.next()...)
		}
		if len(got[1]) < size {
			t.Errorf("got %d bytes", len(got[1]))
		}
	}},
	{"O8f", "a burst to a room arrives at its members, on every transport", func(t *testing.T, w *world) {
		s := w.with(t)
		const room = "backlog"
		c, p := s.connected(t), s.joinedByPolling(t)
		c.send(`421["join","` + room + `"]`)
		c.want("431[]")
		p.must(`421["join","` + room + `"]`)
		p.want("431[]")
		c.send(fmt.Sprintf(`42["burst to",%q,%d,%q]`, room, backlogEvents, filler))
		c.wantBacklog()
		p.wantBacklog(0)
	}},
	{"O8g", "a burst during an upgrade arrives in order over both transports", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "42s")
		p := s.joinedByPolling(t)
		s.queues(t, backlogEvents, func() { p.must(backlog) })
		next := p.events(p.get().body, 0)
		c := s.mustDial(t, websocket4+"&sid="+p.open.SID)
		if !c.probe() {
			t.Fatal("the probe was not answered")
		}
		next = p.events(p.get().body, next)
		c.send("5")
		for ; next < backlogEvents; next++ {
			c.want(fmt.Sprintf(`42["burst",%d,*`, next))
		}
		c.echo()
	}},
	{"O8h", "a burst arrives at a client of Socket.IO 2, on every transport", func(t *testing.T, w *world) {
		s := w.with(t, revision3...)
		p := s.old(t)
		p.want3("40")
		p.post(fmt.Sprintf("%d:%s", len(backlog), backlog))
		for next := 0; next < backlogEvents; {
			for _, packet := range split3(t, p.get().body) {
				if packet == "6" || packet == "3" {
					continue
				}
				if !strings.HasPrefix(packet, fmt.Sprintf(`42["burst",%d,`, next)) {
					t.Fatalf("packet %d is %.60q", next, packet)
				}
				next++
			}
		}
		c := s.mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send(backlog)
		c.wantBacklog()
	}},
	{"O8i", "a burst of attachments arrives, each behind its packet", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(fmt.Sprintf(`451-["burst",%d,{"_placeholder":true,"num":0}]`, backlogEvents/4))
		c.sendBinary(filler)
		for i := range backlogEvents / 4 {
			c.want(fmt.Sprintf(`451-["burst",%d,*`, i), "\x00"+filler)
		}
		c.echo()
	}},
	{"O8j", "a burst of acks arrives at a browser that begins to read when all are queued", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "43s")
		c := s.connected(t)
		s.queues(t, backlogEvents, func() {
			for i := range backlogEvents {
				c.send(fmt.Sprintf(`42%d["echo",%q]`, i, filler))
			}
		})
		for i := range backlogEvents {
			c.want(fmt.Sprintf("43%d[*", i))
		}
	}},
	{"O8k", "a browser that takes nothing for write-timeout is closed, and one line says so", func(t *testing.T, w *world) {
		s := w.with(t, "--write-timeout", "1s", "--max-frame", "32MiB")
		c := s.connected(t)
		for range 4 {
			c.send(backlog)
		}
		s.saysOnce(t, `session closed: the browser took nothing of what waits for it`, "reason=write_timeout", "setting=write-timeout")
		p := s.polling(t)
		p.must(`40{"large":[9000000]}`) // more than the system's buffers hold
		p.want("40{*")
		before := s.slow(t, "write_timeout")
		s.unread(t, p, func() bool { return s.slow(t, "write_timeout") > before })
	}},
	{"O8n", "an emit tells for how many sockets it was dropped, and one line says whose queue is full", func(t *testing.T, w *world) {
		s := w.with(t, "--max-outbound", "300KiB", "--ping-timeout", "45s")
		full, reads := s.connected(t), s.joinedByPolling(t)
		const room = "full"
		full.send(`421["join","` + room + `"]`)
		full.want("431[]")
		reads.must(`421["join","` + room + `"]`)
		reads.want("431[]")
		args := `["` + strings.Repeat("x", 100_000) + `"]`
		dropped := 0
		for queued := 0; dropped == 0; queued++ {
			a := s.emitted(t, room, "large", args)
			if dropped = int(a.GetDropped()); a.GetSockets() != 2 || dropped > 1 || queued == 10_000 {
				t.Fatalf("after %d events: %v", queued, a)
			}
			// as it comes, so that only one queue grows
			if got := reads.next(); dropped == 0 && len(got) != 1 {
				t.Fatalf("the browser that reads got %d packets", len(got))
			}
		}
		s.saysOnce(t, "outbound queue is full", "setting=max-outbound ")
		if a := s.emitted(t, room, "small", "[]"); a.GetSockets() != 1 || a.GetDropped() != 0 {
			t.Errorf("afterwards: %v", a)
		}
		if n := s.slow(t, "max_outbound"); n != 1 {
			t.Errorf("%v sessions were closed", n)
		}
	}},
	{"O8l", "a browser that reads slowly is not closed, however long it takes", func(t *testing.T, w *world) {
		s := w.with(t, "--write-timeout", "1s", "--ping-timeout", "44s")
		c := s.connected(t)
		c.send(backlog)
		for i := range backlogEvents {
			c.want(fmt.Sprintf(`42["burst",%d,*`, i))
			if i%(backlogEvents/20) == 0 {
				time.Sleep(300 * time.Millisecond) // six times write-timeout altogether
			}
		}
		c.echo()
	}},
	{"O8o", "a browser that reads one large answer slowly is not closed", func(t *testing.T, w *world) {
		s := w.with(t, "--write-timeout", "1s", "--max-frame", "32MiB")
		p := s.polling(t)
		p.must(`40{"large":[9000000]}`) // more than the system's buffers hold
		p.want("40{*")
		// five times write-timeout; the system frees a third of its buffer at a time
		got := p.sip(t, 64<<10, 100*time.Millisecond, 50)
		if !strings.HasSuffix(got, `xxx"]`) || len(got) < 9_000_000 {
			t.Errorf("got %d bytes", len(got))
		}
		p.must(`421["echo"]`)
		p.want("431[]")
	}},
	{"O8m", "a ping behind a burst does not end the session of a browser that reads it", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-interval", "1s", "--ping-timeout", "4s")
		p := s.joinedByPolling(t)
		p.must(backlog)
		for next := 0; next < backlogEvents; {
			a := p.get("User-Agent", "python-requests/2.34.2")
			if a.status != http.StatusOK {
				t.Fatalf("after %d events the poll was answered %d %s", next, a.status, a.body)
			}
			next = p.events(a.body, next)
			time.Sleep(15 * time.Millisecond) // so that it takes several times both
		}
	}},
}

// greeted expects texts of a connect handler.
func (c *conn) greeted(count int) {
	c.t.Helper()
	for range count {
		if got := c.next(); !strings.HasPrefix(got, `42["hello","xxx`) || len(got) < backlogText {
			c.t.Fatalf("got %d bytes, %.40q", len(got), got)
		}
	}
}

// joinedByPolling opens a session on polling and joins the main namespace.
func (s *server) joinedByPolling(t *testing.T) *poller {
	t.Helper()
	p := s.polling(t)
	p.must("40")
	p.want("40{*")
	return p
}

// events counts on with the events of a burst in the body of an answer, which must be in order, and
// answers pings.
func (p *poller) events(body string, next int) int {
	p.t.Helper()
	for packet := range strings.SplitSeq(body, "\x1e") {
		switch {
		case packet == "2":
			p.must("3")
		case packet == "6": // a noop of an upgrade
		case strings.HasPrefix(packet, fmt.Sprintf(`42["burst",%d,`, next)):
			next++
		default:
			p.t.Fatalf("after %d events came %.60q", next, packet)
		}
	}
	return next
}

// wantBacklog polls for the rest of a burst.
func (p *poller) wantBacklog(next int) {
	p.t.Helper()
	for next < backlogEvents {
		a := p.get()
		if a.status != http.StatusOK {
			p.t.Fatalf("after %d events the poll was answered %d %s", next, a.status, a.body)
		}
		next = p.events(a.body, next)
	}
}

func (c *conn) wantBacklog() {
	c.t.Helper()
	for i := range backlogEvents {
		c.want(fmt.Sprintf(`42["burst",%d,*`, i))
	}
}

// queues waits until the broker has queued so many messages for browsers of a broker that is its
// row's alone.
func (s *server) queues(t *testing.T, count float64, do func()) {
	t.Helper()
	sent := func() float64 {
		n, err := s.broker.Metric("spanwire_engine_messages_sent_total")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := sent()
	do()
	for end := time.Now().Add(2 * limit); sent() < before+count; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v of %v messages were queued", sent()-before, count)
		}
	}
}

// slow counts the sessions that were closed as slow for a reason.
func (s *server) slow(t *testing.T, reason string) float64 {
	t.Helper()
	n, err := s.broker.Metric("spanwire_engine_slow_sessions_total", `reason="`+reason+`"`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// saysOnce waits for a line in the log that holds all the words, and expects no second one.
func (s *server) saysOnce(t *testing.T, words ...string) {
	t.Helper()
	s.says(t, words...)
	lines := 0
	for line := range strings.Lines(s.broker.Log()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			lines++
		}
	}
	if lines != 1 {
		t.Fatalf("%d lines say %q", lines, words)
	}
}

// unread asks for what waits and does not read the answer, until something has happened.
func (s *server) unread(t *testing.T, p *poller, until func() bool) {
	t.Helper()
	conn, err := net.Dial("tcp", s.broker.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /socket.io/?"+p.query+" HTTP/1.1\r\nHost: "+s.broker.HTTP+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(limit); !until(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the session of a browser that does not read its answer is still there")
		}
	}
}

// emitted emits to a room and gives the answer.
func (s *server) emitted(t *testing.T, room, name, args string) *spanwirev1.EmitResponse {
	t.Helper()
	conn, err := grpc.NewClient(s.broker.Services, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	a, err := spanwirev1.NewEmitterServiceClient(conn).Emit(ctx, &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{Rooms: []string{room}}, Event: &spanwirev1.Event{Name: name, Args: []byte(args)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
