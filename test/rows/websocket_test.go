// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// bare sends a request on a connection of its own, and leaves the answer there.
func (s *server) bare(t *testing.T, method, query string, headers ...string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.broker.HTTP, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	request := method + " /socket.io/?" + query + " HTTP/1.1\r\nHost: " + s.broker.HTTP + "\r\n" + strings.Join(headers, "\r\n")
	if len(headers) > 0 {
		request += "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return c
}

var websocketRows = []row{
	{"W1", "a text frame is a packet, a binary frame is bytes, base64 in text too", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`451-1["echo",{"_placeholder":true,"num":0}]`)
		c.sendBinary("\x01\x02\xff")
		c.want(`461-1[{"_placeholder":true,"num":0}]`, "\x00\x01\x02\xff")
		c.send(`451-2["echo",{"_placeholder":true,"num":0}]`, "bAQL/")
		c.want(`461-2[{"_placeholder":true,"num":0}]`, "\x00\x01\x02\xff")
	}},
	{"W2", "a message that is too large closes with 1009", func(t *testing.T, w *world) {
		c := w.with(t, small...).connected(t)
		c.send(`42["echo","` + strings.Repeat("x", 200_000) + `"]`)
		if code, _ := c.closed(); code != 1009 {
			t.Errorf("closed with %d", code)
		}
	}},
	{"W3", "text that is no UTF-8 closes with 1007", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("42[\"echo\",\"\xff\"]")
		if code, _ := c.closed(); code != 1007 {
			t.Errorf("closed with %d", code)
		}
	}},
	{"W4", "a packet that cannot be read closes without a status", func(t *testing.T, w *world) {
		for _, text := range []string{"", "9x", "abc"} {
			c := w.with(t).connected(t)
			c.send(text)
			if code, _ := c.closed(); code != 1005 {
				t.Errorf("%q closed with %d", text, code)
			}
		}
	}},
	{"W5", "packets out of place are nothing, an empty message closes", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("0", "0{}", "5", "6", "3")
		c.echo()
		c.send("4")
		c.closed()
	}},
	{"W6", "a browser's close packet ends the session at once", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("1")
		c.closed()
	}},
	{"W7", "the first subprotocol that is offered is accepted", func(t *testing.T, w *world) {
		d := &websocket.Dialer{HandshakeTimeout: limit, Subprotocols: []string{"one", "two"}}
		c, _, err := w.with(t).dialWith(t, d, websocket4)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subprotocol() != "one" {
			t.Errorf("accepted %q", c.Subprotocol())
		}
	}},
	{"W8", "permessage-deflate is off, and works when it is on", func(t *testing.T, w *world) {
		d := &websocket.Dialer{HandshakeTimeout: limit, EnableCompression: true}
		_, response, err := w.with(t).dialWith(t, d, websocket4)
		if err != nil || response.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Fatalf("by default: %v, %v", response, err)
		}
		s := w.with(t, "--websocket-compression")
		c, response, err := s.dialWith(t, d, websocket4)
		if err != nil || !strings.Contains(response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate") {
			t.Fatalf("when on: %v, %v", response, err)
		}
		large := strings.Repeat("compress me ", 500)
		c.want("0{*")
		c.send("40")
		c.want("40{*")
		c.send(`421["echo","`+large+`"]`, `422["echo","small"]`, `42["broadcast",{"event":"all","args":["`+large+`"]}]`)
		c.want(`431["`+large+`"]`, `432["small"]`, `42["all","`+large+`"]`)
		plain := s.websocket(t)
		plain.send("40")
		plain.want("40{*")
		plain.send(`423["echo","` + large + `"]`)
		plain.want(`433["` + large + `"]`)
	}},
	{"W9", "a broadcast reaches every browser the same, on either transport", func(t *testing.T, w *world) {
		s := w.with(t)
		room := t.Name()
		a, b, p := s.connected(t), s.connected(t), s.polling(t)
		p.must("40")
		p.want("40{*")
		join, _ := json.Marshal([]string{"join", room})
		for _, c := range []*conn{a, b} {
			c.send("421" + string(join))
			c.want("431[]")
		}
		p.must("421" + string(join))
		p.want("431[]")
		a.send(`42["broadcast",{"event":"news","args":["€",1],"to":["` + room + `"]}]`)
		a.want(`42["news","€",1]`)
		b.want(`42["news","€",1]`)
		p.want(`42["news","€",1]`)
	}},
	{"W10", "nonsense in the handshake is refused and harms nobody", func(t *testing.T, w *world) {
		s := w.with(t)
		c := s.connected(t)
		for _, headers := range [][]string{
			{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: abc"},
			{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
			{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 7", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
		} {
			answer, err := io.ReadAll(s.bare(t, "GET", websocket4, append(headers, "Connection: close")...))
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
				t.Errorf("answered %.60q, %v", answer, err)
			}
		}
		c.echo()
	}},
	{"H1", "the server pings, and ends who does not answer", func(t *testing.T, w *world) {
		c := w.with(t, pinging...).connected(t)
		c.heartbeat = false
		c.want("2")
		c.send("3")
		c.want("2")
		c.closed()
	}},
	{"H2", "another packet instead of the pong sets the deadline back once", func(t *testing.T, w *world) {
		c := w.with(t, "--ping-interval", "300ms", "--ping-timeout", "3s").connected(t)
		c.heartbeat = false
		c.want("2")
		time.Sleep(2 * time.Second)
		c.send(`421["echo",1]`)
		c.want("431[1]")
		time.Sleep(2 * time.Second)
		c.send("3", `422["echo",2]`)
		c.want("432[2]")
	}},
	{"H4", "a heartbeat in the wrong direction ends the session", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("2")
		c.closed()
	}},
	{"H5", "a browser on polling that asks for nothing is ended too", func(t *testing.T, w *world) {
		// a broker of its own
		s := w.with(t, append([]string{"--log-level", "error"}, pinging...)...)
		p := s.polling(t)
		for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if n, err := s.broker.Metric(closedTotal, `reason="ping_timeout"`); err != nil || n > 0 {
				break
			}
		}
		refusedWith(t, p.get(), 400, unknownSession)
	}},
	{"H6", "the handshake announces a long ping interval", func(t *testing.T, w *world) {
		if open := w.with(t, "--ping-interval", "1m", "--ping-timeout", "5s").polling(t).open; *open.PingInterval != 60000 || *open.PingTimeout != 5000 {
			t.Errorf("announced %v", open)
		}
	}},
}

const foreign = "https://evil.example"

var originRows = []row{
	{"C1", "pages of allowed origins may read, and ask first", func(t *testing.T, w *world) {
		s := w.with(t, "--allowed-origins", "https://good.example")
		a := s.do(t, "GET", polling4, "", "Origin", "https://good.example")
		if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "https://good.example" ||
			a.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("answered %d %v", a.status, a.header)
		}
		a = s.do(t, "OPTIONS", polling4, "", "Origin", "https://good.example", "Access-Control-Request-Method", "POST")
		if a.status != 204 || a.header.Get("Access-Control-Allow-Methods") != "GET,HEAD,PUT,PATCH,POST,DELETE" {
			t.Errorf("the preflight was answered %d %v", a.status, a.header)
		}
		if a = s.do(t, "GET", polling4+"&sid=nope", "", "Origin", "https://good.example"); a.status != 400 ||
			a.header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("an error was answered %d %v", a.status, a.header)
		}
	}},
	{"C2", "one rule for all transports, and a refusal that says what to do", func(t *testing.T, w *world) {
		s := w.with(t)
		a := s.do(t, "GET", polling4, "", "Origin", foreign)
		if a.status != 403 || !strings.Contains(a.body, foreign) || !strings.Contains(a.body, "allowed-origins") {
			t.Errorf("polling was answered %d %s", a.status, a.body)
		}
		_, response, err := s.dial(t, websocket4, "Origin", foreign)
		if err == nil || response == nil || response.StatusCode != 403 {
			t.Errorf("the WebSocket was answered %v, %v", response, err)
		}
		for _, own := range []string{"http://" + s.broker.HTTP, "HTTP://" + s.broker.HTTP} {
			if _, _, err := s.dial(t, websocket4, "Origin", own); err != nil {
				t.Errorf("own origin %s: %v", own, err)
			}
		}
		if a := s.do(t, "GET", polling4, ""); a.status != 200 {
			t.Errorf("without an origin: %d", a.status)
		}
	}},
	{"C3", "handlers decide once for each socket, on either transport", func(t *testing.T, w *world) {
		s := w.with(t)
		c := s.websocket(t)
		c.send(`40{"refuse":"no","data":{"code":7}}`)
		c.want(`44{"message":"no","data":{"code":7}}`)
		p := s.polling(t)
		p.must(`40{"refuse":"no"}`)
		p.want(`44{"message":"no"}`)
	}},
	{"C6", "a cookie is set when wanted, on the first answer only", func(t *testing.T, w *world) {
		if a := w.with(t).do(t, "GET", polling4, ""); a.header.Get("Set-Cookie") != "" {
			t.Errorf("by default: %s", a.header.Get("Set-Cookie"))
		}
		s := w.with(t, "--cookie-name", "io")
		a := s.do(t, "GET", polling4, "")
		sid := parseOpen(t, a.body).SID
		if got, want := a.header.Get("Set-Cookie"), "io="+sid+"; Path=/; HttpOnly; SameSite=Lax"; got != want {
			t.Errorf("cookie %q, want %q", got, want)
		}
		p := &poller{t, s, polling4 + "&sid=" + sid, openData{SID: sid}}
		p.must("40")
		if a := p.get(); a.header.Get("Set-Cookie") != "" {
			t.Error("set again")
		}
		_, response, err := s.dial(t, websocket4)
		if err != nil || !strings.HasPrefix(response.Header.Get("Set-Cookie"), "io=") {
			t.Errorf("the WebSocket was answered %v, %v", response, err)
		}
	}},
	{"C7", "a WebSocket for another path is refused at once", func(t *testing.T, w *world) {
		s := w.with(t)
		_, response, err := (&websocket.Dialer{HandshakeTimeout: limit}).Dial("ws://"+s.broker.HTTP+"/other", nil)
		if err == nil || response == nil || response.StatusCode != http.StatusNotFound {
			t.Errorf("answered %v, %v", response, err)
		}
	}},
	{"C8", "the browser's client is served, compressed and with a tag", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js", "socket.io.js.map"} {
			a := s.doAt(t, "GET", "/socket.io/"+name, nil)
			tag := a.header.Get("ETag")
			if a.status != 200 || tag == "" || a.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s was answered %d %v", name, a.status, a.header)
			}
			for _, encoding := range []string{"gzip", "deflate"} {
				packed := s.doAt(t, "GET", "/socket.io/"+name, nil, "Accept-Encoding", encoding)
				if packed.header.Get("Content-Encoding") != encoding || len(packed.body) > len(a.body)/2 {
					t.Errorf("%s: %s gave %q, %d of %d bytes", name, encoding, packed.header.Get("Content-Encoding"), len(packed.body), len(a.body))
				}
			}
			if a := s.doAt(t, "GET", "/socket.io/"+name, nil, "If-None-Match", tag); a.status != 304 || a.body != "" {
				t.Errorf("%s with the tag was answered %d", name, a.status)
			}
		}
		if a := s.doAt(t, "GET", "/socket.io/socket.io.nope.js", nil); a.status != 404 {
			t.Errorf("an unknown file was answered %d", a.status)
		}
	}},
	{"C9", "the browser's address is the client's, behind a proxy that is trusted only", func(t *testing.T, w *world) {
		for _, test := range []struct{ trusted, forwarded, want string }{
			{"", "203.0.113.9", "127.0.0.1"},
			{"127.0.0.0/8", "198.51.100.1, 203.0.113.9", "203.0.113.9"},
			{"127.0.0.0/8,203.0.113.0/24", "198.51.100.1, 203.0.113.9", "198.51.100.1"},
		} {
			var flags []string
			if test.trusted != "" {
				flags = []string{"--trusted-proxies", test.trusted}
			}
			c := w.with(t, flags...).websocket(t, "X-Forwarded-For", test.forwarded)
			c.send("40")
			c.want("40{*")
			c.send(`421["handshake"]`)
			if got := c.next(); !strings.Contains(got, `"address":"`+test.want+`"`) {
				t.Errorf("%+v: the handler sees %s", test, got)
			}
		}
	}},
}

// vectors are packets that are shared with the codecs' own tests.
func vectors(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/vectors", name))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
