// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

const (
	breaches = "spanwire_edge_protocol_violations_total"
	closings = "spanwire_engine_closed_sessions_total"
	refusals = "spanwire_engine_rejected_requests_total"
)

// What breaks a rule of Socket.IO closes that session, and is counted by cause.
func TestWebSocket_ErrRule(t *testing.T) {
	watch(t)
	for name, texts := range map[string][]string{
		"event before connect":    {`42["echo"]`},
		"event elsewhere":         {"40", `42/admin,["echo"]`},
		"connect twice":           {"40", "40"},
		"connect error":           {"40", `44{"message":"x"}`},
		"unknown type":            {"40", "49[1]"},
		"nothing":                 {"40", "4"},
		"no payload":              {"40", "42"},
		"not an array":            {"40", `42{"a":1}`},
		"empty array":             {"40", "42[]"},
		"name null":               {"40", "42[null]"},
		"not JSON":                {"40", `42["echo",]`},
		"cut JSON":                {"40", `42["echo","`},
		"two arrays":              {"40", `42["echo"]["echo"]`},
		"reserved name":           {"40", `42["disconnect"]`},
		"deep":                    {"40", `42["echo",` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "]"},
		"auth is an array":        {"40[]"},
		"auth is a string":        {`40"x"`},
		"payload in a disconnect": {"40", `41{"a":1}`},
		"binary without a dash":   {"40", `451["echo"]`},
		"no attachments":          {"40", `450-["echo"]`},
		"too many attachments":    {"40", `4511-["echo"]`},
		"absurd attachments":      {"40", `4599999999999999999999-["echo"]`},
		"placeholder beyond":      {"40", `451-["echo",{"_placeholder":true,"num":7}]`, "\x00binary"},
		"placeholder negative":    {"40", `451-["echo",{"_placeholder":true,"num":-1}]`, "\x00binary"},
		"placeholder a word":      {"40", `451-["echo",{"_placeholder":true,"num":"splice"}]`, "\x00binary"},
		"text instead of binary":  {"40", `451-["echo",{"_placeholder":true,"num":0}]`, `42["echo"]`},
		"binary out of nowhere":   {"40", "\x00binary"},
		"one binary too many":     {"40", `451-["echo",{"_placeholder":true,"num":0}]`, "\x00binary", "\x00binary"},
		"huge ack id":             {"40", `42999999999999999999999["echo"]`},
		"namespace too long":      {"40/" + strings.Repeat("n", 5000) + ","},
	} {
		t.Run(name, func(t *testing.T) {
			rises(t, closings, `reason="forced_close"`)
			rises(t, breaches)
			sendAll(open(t), texts).closed(t)
		})
	}
}

// sendAll sends texts, those that begin with a zero byte as binary messages.
func sendAll(c *client, texts []string) *client {
	for _, text := range texts {
		if rest, ok := strings.CutPrefix(text, "\x00"); ok {
			// a closed session shows when reading
			_ = c.WriteMessage(websocket.BinaryMessage, []byte(rest))
			continue
		}
		c.send(text)
	}
	return c
}

// What breaks a rule of Engine.IO closes that session, and is counted by reason.
func TestWebSocket_ErrPacket(t *testing.T) {
	watch(t)
	for name, text := range map[string]string{
		"empty": "", "unknown": "9x", "garbage": "\x7f\x01\x02", "letters": "hello", "ping": "2", "probe": "2probe",
	} {
		t.Run(name, func(t *testing.T) {
			rises(t, closings)
			sendAll(connect(t), []string{text}).closed(t)
		})
	}
}

// A message that is too large, or no text, is answered with the close code that says so.
func TestWebSocket_ErrMessage(t *testing.T) {
	watch(t)
	t.Run("too large", func(t *testing.T) {
		rises(t, closings, `reason="payload_too_large"`)
		c := connect(t)
		c.send(`42["echo","` + strings.Repeat("x", 200_000) + `"]`)
		if code := c.closed(t); code != websocket.CloseMessageTooBig && code != websocket.CloseAbnormalClosure {
			t.Errorf("close code %d", code)
		}
	})
	t.Run("too large in all attachments", func(t *testing.T) {
		rises(t, closings)
		c := connect(t)
		c.send(`453-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`)
		for range 3 {
			_ = c.WriteMessage(websocket.BinaryMessage, make([]byte, 99_000))
		}
		c.closed(t)
	})
	t.Run("no UTF-8", func(t *testing.T) {
		rises(t, closings, `reason="transport_error"`)
		c := connect(t)
		c.send("42[\"echo\",\"\xff\xfe\"]")
		if code := c.closed(t); code != websocket.CloseInvalidFramePayloadData {
			t.Errorf("close code %d", code)
		}
	})
}

// Frames that no WebSocket client sends end the connection, whatever they are.
func TestWebSocket_ErrFrame(t *testing.T) {
	watch(t)
	mask := []byte{1, 2, 3, 4}
	for name, frame := range map[string][]byte{
		"not masked":         {0x81, 1, '3'},
		"reserved bit":       {0xc1, 0x81, 1, 2, 3, 4, '3' ^ 1},
		"reserved opcode":    {0x83, 0x81, 1, 2, 3, 4, '3' ^ 1},
		"continues nothing":  append([]byte{0x80, 0x80}, mask...),
		"long control":       append(append([]byte{0x89, 0xfe, 0, 126}, mask...), make([]byte, 126)...),
		"cut control":        append([]byte{0x09, 0x80}, mask...),
		"length of 2^63":     append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<63), mask...),
		"length of 2^62":     append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<62), mask...),
		"close of one byte":  {0x88, 0x81, 1, 2, 3, 4, 9},
		"close with no code": {0x88, 0x82, 0, 0, 0, 0, 0, 0},
		"noise":              []byte(strings.Repeat("\xde\xad\xbe\xef", 100)),
		"HTTP":               []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			rises(t, closings)
			conn := dial(t, shared.broker.HTTP)
			in := upgrade(t, conn)
			if _, err := conn.Write(frame); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, in); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Fatal("the connection is still open")
			}
		})
	}
}

// upgrade makes a WebSocket session of a bare connection.
func upgrade(t *testing.T, conn io.ReadWriter) *bufio.Reader {
	t.Helper()
	_, err := io.WriteString(conn, "GET "+path+"websocket HTTP/1.1\r\nHost: "+shared.broker.HTTP+"\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade was answered %v, %v", response, err)
	}
	return in
}

// A session that joins no namespace is closed in time.
func TestWebSocket_ErrNoNamespace(t *testing.T) {
	watch(t)
	rises(t, "spanwire_edge_connect_timeouts_total")
	open(t).closed(t)
}

// A session may ask for many unknown namespaces only up to a limit.
func TestWebSocket_ErrNamespaces(t *testing.T) {
	watch(t)
	rises(t, closings)
	c := open(t)
	for i := range 5000 {
		c.send("40/unknown" + strings.Repeat("x", i%50) + ",")
	}
	c.closed(t)
}

// What looks like trouble and is none is passed through as it was written.
func TestWebSocket_OK(t *testing.T) {
	watch(t)
	c := connect(t)
	for _, args := range []string{
		`"\ud800"`, `12345678901234567890`, `1.0`, `-0`, `{"b":1,"a":2}`, `"<>&\u2028"`, `{"__proto__":{"x":1}}`, `"_placeholder"`,
		`{"_placeholder":true,"num":0}`,
	} {
		c.send(`427["echo",` + args + `]`)
		// The handler decodes and encodes them; that it is answered at all is what must hold here.
		if got, err := c.next(); err != nil || !strings.HasPrefix(got, "437[") {
			t.Errorf("%s came back as %q, %v", args, got, err)
		}
	}
	for _, text := range []string{`4399[1]`, `43999["x"]`, "3", `42["__proto__"]`, `42["error"]`, `42["constructor",1]`} {
		c.send(text)
	}
	if err := c.echo(1); err != nil {
		t.Fatal(err)
	}
}
