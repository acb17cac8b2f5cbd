// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// explained expects a close that says which limit was passed.
func explained(t *testing.T, c *conn, code int, word string) {
	t.Helper()
	got, text := c.closed()
	if got != code || !strings.Contains(text, word) {
		t.Errorf("closed with %d %q, want %d and the word %q", got, text, code, word)
	}
}

var limitRows = []row{
	{"X5", "an event whose name is a number is delivered", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`427[1,"x"]`)
		c.echo()
	}},
	{"X9", "a namespace with a long name is not echoed", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("40/__proto__,", "40/constructor,")
		c.want(`44/__proto__,{"message":"Invalid namespace"}`, `44/constructor,{"message":"Invalid namespace"}`)
		c.send("40/" + strings.Repeat("n", 900_000) + ",")
		explained(t, c, 1008, "namespace")
	}},
	{"X10", "connects are limited in number and rate", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		go func() { // ends with the session
			for i := range 5000 {
				c.send(fmt.Sprintf("40/unknown-%d,", i))
			}
		}()
		explained(t, c, 1008, "connect")
	}},
	{"X11", "namespaces that patterns match leave nothing behind", func(t *testing.T, w *world) {
		s := w.with(t)
		for i := range 40 {
			c := s.websocket(t)
			c.send(fmt.Sprintf("40/room-%d,", 1000+i))
			c.want("40/room-*")
			_ = c.Close()
		}
		s.connected(t).echo()
	}},
	{"X17", "JSON that is nested too deep ends the session before a handler sees it", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`42["echo",` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + "]")
		explained(t, c, 1008, "depth")
	}},
	{"X18", "data with the names of objects is data", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`421["echo",{"__proto__":{"x":1},"constructor":2}]`)
		c.want(`431[{"__proto__":{"x":1},"constructor":2}]`)
	}},
	{"X19", "half a surrogate harms nobody", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`421["echo","\ud800"]`)
		c.want("431[*")
		c.echo()
	}},
	{"X22", "a handler that fails tells the browser nothing", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`421["fail","secret"]`)
		c.echo()
	}},
	{"B4", "text before all attachments came ends the session", func(t *testing.T, w *world) {
		w.with(t).closes(t, "40", `452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "\x00x", `42["echo"]`)
	}},
	{"B5", "attachments that do not come end the session in time", func(t *testing.T, w *world) {
		c := w.with(t, "--attachment-timeout", "300ms").connected(t)
		c.send(`451-["echo",{"_placeholder":true,"num":0}]`)
		explained(t, c, 1008, "attachment")
	}},
	{"B8", "one attachment may be named twice", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`451-1["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`)
		c.sendBinary("x")
		c.want("46*", "\x00x")
	}},
	{"B9", "a placeholder without attachments is data", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`421["echo",{"_placeholder":true,"num":0}]`)
		c.want("43*")
	}},
	{"B10", "attachments for a namespace that is not joined are not waited for", func(t *testing.T, w *world) {
		w.with(t).closes(t, "40", `451-/admin,["echo",{"_placeholder":true,"num":0}]`)
	}},
	{"B11", "an attachment may be empty", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`451-1["echo",{"_placeholder":true,"num":0}]`)
		c.sendBinary("")
		c.want(`461-1[{"_placeholder":true,"num":0}]`, "\x00")
	}},
	{"R-H1", "packets in one body are limited in number", func(t *testing.T, w *world) {
		for _, body := range []string{strings.Repeat("2\x1e", 490_000), strings.Repeat("\x1e", 900_000)} {
			p := w.with(t).polling(t)
			if a := p.post(body); a.status != 400 && a.status != 413 {
				t.Errorf("answered %d", a.status)
			}
			p.get()
			p.gone()
		}
	}},
	{"R-H4", "a body that dribbles in is given up", func(t *testing.T, w *world) {
		p := w.with(t, impatient...).polling(t)
		r, body := io.Pipe()
		go func() { _, _ = io.WriteString(body, "4") }() // ends with the request
		a, err := p.s.try("POST", "/socket.io/?"+p.query, r, "Content-Type", "text/plain")
		if err == nil && a.status < 400 {
			t.Errorf("answered %d", a.status)
		}
	}},
	{"R-H5", "base64 and text are taken strictly", func(t *testing.T, w *world) {
		for _, body := range []string{"b====", "bA", "b!!!!", "4\xff\xfe"} {
			p := w.with(t).polling(t)
			if a := p.post(body); a.status != 400 {
				t.Errorf("%q was answered %d", body, a.status)
			}
		}
	}},
	{"R-H8", "a session id of any length is refused at once", func(t *testing.T, w *world) {
		a := w.with(t).do(t, "GET", polling4+"&sid="+strings.Repeat("s", 20_000), "")
		refusedWith(t, a, 400, unknownSession)
	}},
	{"R-H9", "a transport that is named twice is none", func(t *testing.T, w *world) {
		refusedWith(t, w.with(t).do(t, "GET", polling4+"&transport=websocket", ""), 400, unknownTransport)
	}},
	{"R-H10", "a WebSocket that calls itself polling is refused", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		_, response, err := p.s.dial(t, p.query)
		if err == nil || response.StatusCode != 400 {
			t.Errorf("answered %v, %v", response, err)
		}
		p.alive()
	}},
	{"R-H13", "JSONP is off by default, and takes digits only when it is on", func(t *testing.T, w *world) {
		if a := w.with(t).do(t, "GET", polling4+"&j=0", ""); a.status == 200 && strings.HasPrefix(a.body, "___eio") {
			t.Errorf("by default: %s", a.body)
		}
		s := w.with(t, revision3...)
		a := s.do(t, "GET", polling4+"&j=0", "")
		if a.status != 200 || !strings.HasPrefix(a.body, `___eio[0]("0{`) || a.header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(a.header.Get("Content-Type"), "text/javascript") {
			t.Errorf("when on: %d %s %v", a.status, a.body, a.header)
		}
		if a := s.do(t, "GET", polling4+"&j=0;alert(1)", ""); strings.Contains(a.body, "alert") {
			t.Errorf("code came back: %s", a.body)
		}
	}},
	{"R-H14", "an origin of nonsense, a head that is too large", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, origin := range []string{"null", "http://a b", "javascript:alert(1)"} {
			if a := s.do(t, "GET", polling4, "", "Origin", origin); a.status != 400 && a.status != 403 {
				t.Errorf("%q was answered %d", origin, a.status)
			}
		}
		if a := s.do(t, "GET", polling4, "", "Cookie", strings.Repeat("c", 200_000)); a.status != 431 && a.status != 400 {
			t.Errorf("a large cookie was answered %d", a.status)
		}
	}},
	{"R-H16", "look-alikes of the own origin are foreign", func(t *testing.T, w *world) {
		s := w.with(t, "--allowed-origins", "https://good.example")
		for _, origin := range []string{
			"https://good.example.evil.example", "https://evilgood.example", "http://good.example", "https://good.example:444", "null",
			"https://sub.good.example",
		} {
			if a := s.do(t, "GET", polling4, "", "Origin", origin); a.status != 403 {
				t.Errorf("polling from %s was answered %d", origin, a.status)
			}
			if _, response, err := s.dial(t, websocket4, "Origin", origin); err == nil || response.StatusCode != 403 {
				t.Errorf("a WebSocket from %s was answered %v", origin, err)
			}
		}
		if _, _, err := s.dial(t, websocket4, "Origin", "https://GOOD.example:443"); err != nil {
			t.Errorf("the same origin in other words: %v", err)
		}
	}},
	{"R-H17", "pongs start no timers", func(t *testing.T, w *world) {
		c := w.with(t, pinging...).connected(t)
		for range 500 {
			c.send("3")
		}
		c.echo()
		c.heartbeat = false
		c.want("2")
		c.send("3")
		c.want("2")
	}},
	{"R-H18", "a path that climbs finds nothing", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, path := range []string{"/socket.io/..%2f..%2fetc%2fpasswd", "/socket.io/socket.io.nope.js", "/socket.io/%2e%2e/x"} {
			if a := s.doAt(t, "GET", path, nil); a.status != 404 && a.status != 400 {
				t.Errorf("%s was answered %d", path, a.status)
			}
		}
	}},
	{"R-H22", "two lengths are refused", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		c := p.s.bare(t, "POST", p.query, "Content-Length: 2", "Content-Length: 3", "Connection: close")
		data, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(data), "HTTP/1.1 400") {
			t.Errorf("answered %.60q", data)
		}
	}},
	{"R-W1", "a length that lies is refused", func(t *testing.T, w *world) {
		for _, n := range []uint64{1 << 31, 1 << 62, 1<<63 + 5} {
			c := w.with(t).connected(t)
			frame := append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, n), 0, 0, 0, 0)
			if _, err := c.NetConn().Write(frame); err != nil {
				t.Fatal(err)
			}
			c.closed()
		}
	}},
	{"R-W3", "fragments are limited in number", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		go func() { // ends with the connection
			frame := []byte{0x01, 0x80, 0, 0, 0, 0}
			for range 1_000_000 {
				if _, err := c.NetConn().Write(frame); err != nil {
					return
				}
				frame[0] = 0
			}
		}()
		if code, _ := c.closed(); code != 1008 && code != 1006 {
			t.Errorf("closed with %d", code)
		}
	}},
	{"R-W4", "what inflates too large is refused", func(t *testing.T, w *world) {
		d := &websocket.Dialer{HandshakeTimeout: limit, EnableCompression: true}
		c, _, err := w.with(t, "--websocket-compression").dialWith(t, d, websocket4)
		if err != nil {
			t.Fatal(err)
		}
		c.want("0{*")
		c.send(strings.Repeat("4", 50_000_000))
		if code, _ := c.closed(); code != 1009 {
			t.Errorf("closed with %d", code)
		}
	}},
	{"R-W5", "a flood of pings is answered in part and harms nobody", func(t *testing.T, w *world) {
		s := w.with(t)
		c, other := s.connected(t), s.connected(t)
		for range 2000 {
			if err := c.WriteControl(websocket.PingMessage, []byte("x"), never); err != nil {
				t.Fatal(err)
			}
		}
		other.echo()
		c.echo()
	}},
	{"R-W7", "what comes after a close frame is nothing", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), never)
		c.send(`421["echo"]`)
		if code, _ := c.closed(); code != 1000 {
			t.Errorf("closed with %d", code)
		}
	}},
	{"R-P", "the head of a request has a time", func(t *testing.T, w *world) {
		s := w.with(t, "--header-timeout", "1s")
		c := s.bare(t, "GET", polling4, "X-Slow: ")
		_ = c
		raw := s.bare(t, "GET", polling4)
		_, _ = io.WriteString(raw, "GET /socket.io/ HTTP/1.1\r\nHost")
		if _, err := io.Copy(io.Discard, raw); err != nil {
			t.Logf("the connection ended: %v", err)
		}
		if a := s.do(t, "GET", polling4, ""); a.status != http.StatusOK {
			t.Errorf("others are answered %d", a.status)
		}
	}},
}
