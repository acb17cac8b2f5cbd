// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// otherRevision sends requests for a session of revision 4 that name another, by all ways, to a
// server that may not be the session's.
func otherRevision(t *testing.T, to *server, p *poller) {
	t.Helper()
	for _, eio := range []string{"EIO=3", "EIO=5", "EIO=x", "EIO=", "EIO=4&EIO=4"} {
		query := eio + "&transport=polling&sid=" + p.open.SID
		refusedWith(t, to.do(t, "GET", query, ""), 400, badRequest)
		refusedWith(t, to.do(t, "POST", query, "40", "Content-Type", "text/plain"), 400, badRequest)
		_, response, err := to.dial(t, eio+"&transport=websocket&sid="+p.open.SID)
		if err == nil || response == nil || response.StatusCode != 400 {
			t.Errorf("an upgrade with %s was taken: %v", eio, err)
		}
	}
	p.must("40")
	p.want("40{*")
}

// eager is a WebSocket handshake with a frame right behind it, in one write.
func eager(url string) string {
	const frame = "\x81\x81\x00\x00\x00\x005" // "5", masked with zeros
	return "GET " + url + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + frame
}

// refusesEager sends such a handshake and expects an answer, a log line and a count.
func refusesEager(t *testing.T, s *server, url, metric, label string) {
	t.Helper()
	counted := func() float64 {
		n, err := s.broker.Metric(metric, label)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := counted()
	got := conversation(t, plainly(s.broker.HTTP), eager(url))
	if !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(got, "\r\nConnection: close\r\n") || strings.Count(got, "HTTP/1.1") != 1 {
		t.Errorf("answered with %q", got)
	}
	if n := counted() - before; n != 1 {
		t.Errorf("counted %v times", n)
	}
	s.logs(t, "before its handshake was answered", "address=127.0.0.1")
}

var strictRows = []row{
	{"O16", "a frame in the packet of the WebSocket handshake is refused with 400, a log line and a count", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "28s")
		refusesEager(t, s, "/socket.io/?"+websocket4, "spanwire_engine_rejected_requests_total", `reason="data_before_handshake"`)
		s.connected(t).echo()
	}},
	{"O16b", "so it is at an upgrade, and the session stays on polling", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "29s")
		p := s.polling(t)
		refusesEager(t, s, "/socket.io/?"+websocket4+"&sid="+p.open.SID, "spanwire_engine_rejected_requests_total", `reason="data_before_handshake"`)
		p.must("40")
		p.want("40{*")
		c := s.mustDial(t, websocket4+"&sid="+p.open.SID)
		c.send("2probe", "5")
		c.want("3probe")
		c.echo()
	}},
	{"O16c", "so it is at another replica than the session's", func(t *testing.T, w *world) {
		near, far := w.replicas(t)
		p := far.polling(t)
		refusesEager(t, near, "/socket.io/?"+websocket4+"&sid="+p.open.SID, "spanwire_sessionproxy_failures_total", `reason="data_before_handshake"`)
		p.must("40")
		p.want("40{*")
	}},
	{"O16d", "so it is for a WebSocket of the upstream application, which serves those who wait", func(t *testing.T, w *world) {
		upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return // answered
			}
			defer func() { _ = c.Close() }()
			for {
				kind, data, err := c.ReadMessage()
				if err != nil || c.WriteMessage(kind, data) != nil {
					return
				}
			}
		}))
		t.Cleanup(app.Close)
		s := w.with(t, "--upstream", app.URL)
		refusesEager(t, s, "/chat", "spanwire_http_rejected_requests_total", `reason="early_data"`)
		if strings.Contains(s.broker.Log(), "does not answer") {
			t.Error("the application is blamed")
		}
		c, response, err := websocket.DefaultDialer.Dial("ws://"+s.broker.HTTP+"/chat", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		defer func() { _ = c.Close() }()
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Error(err)
		}
		if _, data, err := c.ReadMessage(); err != nil || string(data) != "hello" {
			t.Errorf("got %q %v", data, err)
		}
	}},
	{"O17", "a request with another EIO than its session's is refused with code 3, and does the session no harm", func(t *testing.T, w *world) {
		s := w.with(t)
		otherRevision(t, s, s.polling(t))
		s = w.with(t, revision3...)
		otherRevision(t, s, s.polling(t))
	}},
	{"O17b", "so it is at another replica than the session's", func(t *testing.T, w *world) {
		near, far := w.replicas(t)
		otherRevision(t, near, far.polling(t))
	}},
	{"O17c", "an answer with 413 has no body and a close with 1009 no text, and the log tells why", func(t *testing.T, w *world) {
		s := w.with(t, append([]string{"--ping-timeout", "26s"}, small...)...)
		p := s.polling(t)
		if a := p.post(strings.Repeat("x", 123_456)); a.status != 413 || a.body != "" || a.header.Get("Content-Length") != "0" {
			t.Errorf("answered %d %q", a.status, a.body)
		}
		s.logs(t, "session closed: the browser sent a message larger", "session="+p.open.SID[:12], "address=127.0.0.1", "bytes=123456", "limit=100000", "setting=max-payload")
		c := s.connected(t)
		c.send(`42["echo","` + strings.Repeat("x", 200_000) + `"]`)
		if code, text := c.closed(); code != 1009 || text != "" {
			t.Errorf("closed with %d %q", code, text)
		}
	}},
	{"O17d", "so it is for a WebSocket, and for attachments that are too large together", func(t *testing.T, w *world) {
		s := w.with(t, append([]string{"--ping-timeout", "27s"}, small...)...)
		c := s.websocket(t)
		c.send(strings.Repeat("4", 100_001))
		if code, text := c.closed(); code != 1009 || text != "" {
			t.Errorf("closed with %d %q", code, text)
		}
		s.logs(t, "session closed: the browser sent a message larger", "session="+c.open.SID[:12], "address=127.0.0.1", "transport=websocket", "limit=100000", "setting=max-payload")
		c = s.connected(t)
		c.send(`452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.sendBinary(strings.Repeat("x", 60_000))
		c.sendBinary(strings.Repeat("x", 60_000))
		if code, text := c.closed(); code != 1009 || text != "" {
			t.Errorf("closed with %d %q", code, text)
		}
		s.logs(t, "protocol violation by client", "address=127.0.0.1", "setting=max-payload")
	}},
	{"O17f", "an event with an empty name is an ordinary event, both ways", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`427["",1,"x"]`)
		c.want(`42["",1,"x"]`, `437[1,"x"]`)
		c.send(`42[""]`)
		c.want(`42[""]`)
		c.send(`451-8["",{"_placeholder":true,"num":0}]`)
		c.sendBinary("\x01")
		c.want(`451-["",{"_placeholder":true,"num":0}]`, "\x00\x01", `461-8[{"_placeholder":true,"num":0}]`, "\x00\x01")
		c.echo()
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		p.must(`427["",1]`)
		p.want(`42["",1]`, "437[1]")
		old := w.with(t, revision3...).mustDial(t, websocket3)
		old.want("0{*", "40")
		old.send(`427["",1]`)
		old.want(`42["",1]`, "437[1]")
		packed := w.with(t).websocket(t)
		packed.sendBinary("\x83\xa4type\x00\xa4data\x80\xa3nsp\xa1/")
		packed.next()
		packed.sendBinary("\x84\xa4type\x02\xa4data\x92\xa0\x01\xa3nsp\xa1/\xa2id\x07")
		if event, ack := packed.next(), packed.next(); !strings.Contains(event, "\x92\xa0\x01") || !strings.Contains(ack, "\xa2id\x07") {
			t.Errorf("got %q and %q", event, ack)
		}
	}},
	{"O17g", "a room named like another socket's id is rejected, and the caller gets an error", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "30s")
		a, own := s.joined(t)
		b, other := s.joined(t)
		gone, left := s.joined(t)
		_ = gone.Close()
		refused := 0.0
		for _, id := range []string{other, left, "abcdeA" + other[6:], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			if got := a.tryJoin(id); !strings.HasPrefix(got, `4330["`) || !strings.Contains(got, "allow-socket-id-rooms") {
				t.Errorf("joining %s was answered %s", id, got)
			}
		}
		for _, room := range []string{own, "lobby", other + "x", other[1:], strings.Repeat("a", 30), "order-1234567890-1234567890-12"} {
			if got := a.tryJoin(room); got != `4330["joined"]` {
				t.Errorf("joining %q was answered %s", room, got)
			}
		}
		for _, call := range []string{`{"rooms":["lobby"],"join":["` + other + `"]}`, `{"rooms":["` + own + `","lobby"],"join":["` + own + `"]}`} {
			r, err := http.Post("http://"+s.broker.Operators+"/api/v1/join", "application/json", strings.NewReader(call))
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if refused++; r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s was answered %s", call, r.Status)
			}
		}
		if n, err := s.broker.Metric("spanwire_bridge_rejected_joins_total", `reason="socket_id_room"`); err != nil || n != refused {
			t.Errorf("counted %v %v", n, err)
		}
		s.logs(t, "join rejected", "room="+other, "setting=allow-socket-id-rooms")
		a.send(fmt.Sprintf(`42["burst to",%q,1]`, other))
		b.want(`42["burst",0]`)
		a.echo()
	}},
	{"O17h", "allow-socket-id-rooms lets sockets join such rooms", func(t *testing.T, w *world) {
		s := w.with(t, "--allow-socket-id-rooms")
		a, _ := s.joined(t)
		b, other := s.joined(t)
		if got := a.tryJoin(other); got != `4330["joined"]` {
			t.Errorf("joining was answered %s", got)
		}
		b.send(fmt.Sprintf(`42["burst to",%q,1]`, other))
		a.want(`42["burst",0]`)
		b.want(`42["burst",0]`)
	}},
	{"O17e", "explain-too-large names the limit there", func(t *testing.T, w *world) {
		s := w.with(t, append([]string{"--explain-too-large"}, small...)...)
		if a := s.polling(t).post(strings.Repeat("x", 100_001)); a.status != 413 || !strings.Contains(a.body, "max-payload allows (100000 bytes)") {
			t.Errorf("answered %d %q", a.status, a.body)
		}
		c := s.websocket(t)
		c.send(strings.Repeat("4", 100_001))
		if code, text := c.closed(); code != 1009 || !strings.Contains(text, "max-payload allows (100000 bytes)") {
			t.Errorf("closed with %d %q", code, text)
		}
	}},
}

// sidOf is the socket's id in the answer to a connect.
func sidOf(t *testing.T, packet string) string {
	t.Helper()
	var v struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "40")), &v); err != nil || v.SID == "" {
		t.Fatalf("the connect was answered %q", packet)
	}
	return v.SID
}

// tryJoin has the handler join the socket to a room, and returns the answer.
func (c *conn) tryJoin(room string) string {
	c.t.Helper()
	c.send(fmt.Sprintf(`4230["try join",%q]`, room))
	return c.next()
}

// joined is a socket with its id.
func (s *server) joined(t *testing.T) (c *conn, sid string) {
	t.Helper()
	c = s.websocket(t)
	c.send("40")
	return c, sidOf(t, c.next())
}

// logs waits for a log line of the broker that has all the parts.
func (s *server) logs(t *testing.T, parts ...string) {
	t.Helper()
	if err := s.broker.WaitFor(parts[0], limit); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(s.broker.Log()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return
		}
	}
	t.Errorf("no line has %q:\n%s", parts, s.broker.Log())
}
