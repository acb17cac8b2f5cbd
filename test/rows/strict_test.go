// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"strings"
	"testing"
)

// otherRevision sends requests for a session of revision 4 that name another, by all ways, to a server that may not be the session's.
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

var strictRows = []row{
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
		s.logs(t, "broke a rule", "address=127.0.0.1", "setting=max-payload")
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
