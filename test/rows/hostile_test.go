// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var hostileRows = []row{
	{"X1", "an event before the connect, or elsewhere, ends the session", func(t *testing.T, w *world) {
		w.with(t).closes(t, `42["a"]`)
		w.with(t).closes(t, "40", `42/admin,["a"]`)
	}},
	{"X2", "a second connect ends the session", func(t *testing.T, w *world) { w.with(t).closes(t, "40", "40") }},
	{"X3", "packets of no known type end the session", func(t *testing.T, w *world) {
		for _, packet := range []string{"49[1]", "4abc", "4", "", "8x"} {
			w.with(t).closes(t, "40", packet)
		}
	}},
	{"X4", "events without a name end the session", sameAs("D3")},
	{"X6", "names that objects have are ordinary names", func(t *testing.T, w *world) {
		for _, name := range []string{"__proto__", "constructor", "hasOwnProperty", "toString", "prototype", "on_connect", "__class__"} {
			w.passes(t, `42["`+name+`",1]`)
		}
	}},
	{"X7", "reserved names end the session", sameAs("D5")},
	{"X8", "an event named error is an ordinary one", func(t *testing.T, w *world) { w.passes(t, `42["error",{"message":"x"}]`) }},
	{"X12", "an ack that nobody waits for is nothing, one with an absurd id ends the session", func(t *testing.T, w *world) {
		w.passes(t, "4399[1]", "43[1]")
		w.with(t).closes(t, "40", "4399999999999999999999[1]")
	}},
	{"X13", "an event with an absurd ack id ends the session", sameAs("D8")},
	{"X14", "a CONNECT_ERROR of a browser ends the session", func(t *testing.T, w *world) { w.with(t).closes(t, "40", `44"boom"`) }},
	{"X15", "a connect takes no arrays and no texts", func(t *testing.T, w *world) {
		w.with(t).closes(t, "40[]")
		w.with(t).closes(t, `40"x"`)
	}},
	{"X16", "a disconnect takes nothing", sameAs("D9")},
	{"X20", "JSON comes byte for byte as it was written", func(t *testing.T, w *world) {
		s := w.with(t)
		c := s.connected(t)
		args := `[12345678901234567890,1e999,1.0,-0,{"b":1,"10":2,"2":3},"<>&\u2028",{"__proto__":{"x":1}}]`
		s.emit(t, socketOf(t, c), "exact", args)
		c.want(`42["exact",` + args[1:])
	}},
	{"X21", "a query in a namespace is part of its name", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("40/admin?token=1,{}")
		c.want(`44/admin?token=1,{"message":"Invalid namespace"}`)
	}},
	{"B1", "attachments are announced in the one form there is", func(t *testing.T, w *world) {
		w.with(t).closes(t, "40", `451["echo",1]`)
		w.with(t).closes(t, "40", `450-["echo",1]`)
	}},
	{"B2", "an absurd number of attachments ends the session at once", func(t *testing.T, w *world) {
		w.with(t).closes(t, "40", `45999999999-["echo",1]`)
	}},
	{"B3", "ten attachments are accepted, or as many as the setting says, and the refusal names the limit", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`4511-["echo"]`)
		explained(t, c, 1008, "max-attachments")
		c = w.with(t, "--max-attachments", "20").connected(t)
		c.send(`4511-1["echo",{"_placeholder":true,"num":10}]`)
		for i := range 11 {
			c.sendBinary(fmt.Sprint(i))
		}
		c.want("46*", "\x0010")
	}},
	{"B6", "bytes that nobody announced end the session", sameAs("D13")},
	{"B7", "placeholders name attachments that are there", sameAs("D12")},
	{"R-H2", "a body of empty packets is refused", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		if a := p.post(strings.Repeat("\x1e", 900_000)); a.status != 400 && a.status != 413 {
			t.Errorf("answered %d", a.status)
		}
	}},
	{"R-H3", "a body that is too large is refused before all of it was read", func(t *testing.T, w *world) {
		p := w.with(t, small...).polling(t)
		c := p.s.bare(t, "POST", p.query, "Content-Length: 50000000", "Content-Type: text/plain")
		line := make([]byte, len("HTTP/1.1 413"))
		if _, err := io.ReadFull(c, line); err != nil || string(line) != "HTTP/1.1 413" {
			t.Errorf("answered %q, %v", line, err)
		}
	}},
	{"R-H6", "bytes are no body of revision 4", sameAs("P4")},
	{"R-H7", "a second poll is rejected, and the first is closed", sameAs("P8")},
	{"R-H11", "upgrades that break half way harm nothing", func(t *testing.T, w *world) {
		s := w.with(t)
		if _, response, err := s.dial(t, websocket4+"&sid=nope"); err == nil || response.StatusCode != 400 {
			t.Errorf("an unknown session was answered %v, %v", response, err)
		}
		p := s.polling(t)
		for range 5 {
			// As long as the broker has not seen the one before break off, the next is closed.
			got := ""
			for end := time.Now().Add(limit); got == "" && time.Now().Before(end); {
				c := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
				c.send("2probe")
				got, _ = c.read()
				_ = c.NetConn().Close()
			}
			if got != "3probe" {
				t.Fatalf("the probe was answered %q", got)
			}
		}
		p.alive()
	}},
	{"R-H12", "other revisions are refused", func(t *testing.T, w *world) {
		for _, query := range []string{"EIO=5&transport=polling", "transport=polling", "EIO=3&transport=polling"} {
			refusedWith(t, w.with(t).do(t, "GET", query, ""), 400, badVersion)
		}
		if a := w.with(t, revision3...).do(t, "GET", "EIO=5&transport=polling", ""); a.status != 400 {
			t.Errorf("EIO=5 beside 3 was answered %d", a.status)
		}
	}},
	{"R-H15", "a handshake of nonsense is refused", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, h := range []string{"Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="} {
			data, _ := io.ReadAll(s.bare(t, "GET", websocket4, "Connection: Upgrade", "Upgrade: websocket", h))
			if !strings.HasPrefix(string(data), "HTTP/1.1 400") {
				t.Errorf("answered %.60q", data)
			}
		}
		c := s.bare(t, "GET", websocket4, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions: "+strings.Repeat("x ; y = z , ", 300)+"x")
		line := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(c, line); err != nil || string(line) != "HTTP/1.1 101" {
			t.Errorf("many extensions were answered %q, %v", line, err)
		}
	}},
	{"R-H19", "ids of sessions and sockets are long, random and different", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		id := socketOf(t, c)
		if len(id) < 20 || len(c.open.SID) < 20 || strings.HasSuffix(c.open.SID, id[6:]) {
			t.Errorf("session %s, socket %s", c.open.SID, id)
		}
	}},
	{"R-H20", "who comes back is asked for its credentials again", func(t *testing.T, w *world) {
		s := w.with(t, recovery...)
		c := s.websocket(t)
		r := c.connectRecoverable("")
		_ = c.NetConn().Close()
		back := s.websocket(t)
		back.send(fmt.Sprintf(`40{"pid":%q,"refuse":"who are you"}`, r.PID))
		back.want(`44{"message":"who are you"}`)
	}},
	{"R-H21", "no line ends come into headers", func(t *testing.T, w *world) {
		out, err := brokerSays("serve", "--cookie-name", "io\r\nX-Evil: 1")
		if err == nil || !strings.Contains(out, "cookie-name") {
			t.Errorf("started with it, or did not say why not: %q, %v", out, err)
		}
	}},
	{"R-W2", "frames that RFC 6455 forbids end the connection with 1002", func(t *testing.T, w *world) {
		for _, frame := range [][]byte{{0x81, 1, '3'}, {0xc1, 0x80, 0, 0, 0, 0}, {0x83, 0x80, 0, 0, 0, 0}, {0x80, 0x80, 0, 0, 0, 0}, {0x09, 0x80, 0, 0, 0, 0}} {
			c := w.with(t).connected(t)
			if _, err := c.NetConn().Write(frame); err != nil {
				t.Fatal(err)
			}
			if code, _ := c.closed(); code != websocket.CloseProtocolError {
				t.Errorf("% x closed with %d", frame, code)
			}
		}
	}},
	{"R-W6", "text that is no UTF-8 closes with 1007, cut anywhere", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		if _, err := c.NetConn().Write([]byte{0x01, 0x81, 0, 0, 0, 0, 0xe2, 0x80, 0x81, 0, 0, 0, 0, 0x28}); err != nil {
			t.Fatal(err)
		}
		if code, _ := c.closed(); code != 1007 {
			t.Errorf("closed with %d", code)
		}
	}},
	{"R-W8", "a browser that reads nothing is ended, and others notice nothing", func(t *testing.T, w *world) {
		s := w.with(t, "--max-outbound", "256KiB")
		slow, other := s.connected(t), s.connected(t)
		id := socketOf(t, slow)
		before, err := s.broker.Metric(closedTotal, `reason="slow_consumer"`)
		if err != nil {
			t.Fatal(err)
		}
		large := `["` + strings.Repeat("x", 100_000) + `"]`
		for end := time.Now().Add(limit); ; {
			s.emit(t, id, "large", large)
			if now, err := s.broker.Metric(closedTotal, `reason="slow_consumer"`); err != nil || now > before {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the slow browser is still there")
			}
		}
		other.echo()
	}},
	{"R-W9", "a pong and a close repeat what came and nothing else", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		got := make(chan string, 1)
		c.SetPongHandler(func(data string) error {
			got <- data
			return nil
		})
		if err := c.WriteControl(websocket.PingMessage, []byte("only this"), never); err != nil {
			t.Fatal(err)
		}
		c.echo()
		if data := <-got; data != "only this" {
			t.Errorf("the pong says %q", data)
		}
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), never)
		if code, text := c.closed(); code != 1000 || text != "" && text != "bye" {
			t.Errorf("closed with %d %q", code, text)
		}
	}},
	{"T-0", "a transport that is turned off is unknown", func(t *testing.T, w *world) {
		s := w.with(t, "--transports", "websocket")
		refusedWith(t, s.do(t, "GET", polling4, ""), 400, unknownTransport)
		s.connected(t).echo()
	}},
	{"T-4", "a broker that stops takes no new sessions and closes the old", func(t *testing.T, w *world) {
		s := w.with(t, "--drain-timeout", "5s", "--drain-spread", "0s")
		c := s.connected(t)
		if !s.broker.Stop(limit) {
			t.Error("it did not stop in time")
		}
		if code, _ := c.closed(); code != websocket.CloseGoingAway && code != websocket.CloseAbnormalClosure {
			t.Errorf("closed with %d", code)
		}
		if response, err := http.Get("http://" + s.broker.HTTP + "/socket.io/?" + polling4); err == nil {
			_ = response.Body.Close()
			t.Errorf("answered %d after the end", response.StatusCode)
		}
	}},
}

const closedTotal = "spanwire_engine_closed_sessions_total"
