// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Requests that make no sense are answered with the status and the code that the protocol has for
// them, and counted.
func TestHTTP_ErrRequest(t *testing.T) {
	watch(t)
	for name, c := range map[string]struct {
		method, query string
		status        int
		body          string
	}{
		"no transport":         {"GET", "EIO=4", 400, `"code":0`},
		"unknown transport":    {"GET", "EIO=4&transport=pigeon", 400, `"code":0`},
		"transport __proto__":  {"GET", "EIO=4&transport=__proto__", 400, `"code":0`},
		"unknown session":      {"GET", "EIO=4&transport=polling&sid=nope", 400, `"code":1`},
		"session __proto__":    {"GET", "EIO=4&transport=polling&sid=__proto__", 400, `"code":1`},
		"session far too long": {"GET", "EIO=4&transport=polling&sid=" + strings.Repeat("s", 20000), 400, `"code":1`},
		"post without session": {"POST", "EIO=4&transport=polling", 400, `"code":2`},
		"put without session":  {"PUT", "EIO=4&transport=polling", 400, `"code":2`},
		"protocol 3":           {"GET", "EIO=3&transport=polling", 400, `"code":5`},
		"no protocol":          {"GET", "transport=polling", 400, `"code":5`},
		"websocket over GET":   {"GET", "EIO=4&transport=websocket", 400, `"code":3`},
	} {
		t.Run(name, func(t *testing.T) {
			rises(t, refusals)
			if status, body := do(t, c.method, c.query, "", nil); status != c.status || !strings.Contains(body, c.body) {
				t.Errorf("answered %d %s", status, body)
			}
		})
	}
	sid := poll(t)
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		t.Run(method+" with a session", func(t *testing.T) {
			rises(t, refusals)
			if status, _ := do(t, method, "EIO=4&transport=polling&sid="+sid, "", nil); status != http.StatusMethodNotAllowed {
				t.Errorf("answered %d", status)
			}
		})
	}
	if status, _ := post(t, sid, `420["echo",1]`); status != http.StatusOK {
		t.Errorf("the session was harmed: %d", status)
	}
}

// Bodies that make no sense are rejected, end their session, and are counted.
func TestPolling_ErrBody(t *testing.T) {
	watch(t)
	for name, c := range map[string]struct{ contentType, body string }{
		"empty":           {"text/plain", ""},
		"garbage":         {"text/plain", "\x00\x01\x02\xff"},
		"unknown packet":  {"text/plain", "abc"},
		"bad base64":      {"text/plain", "b%%%"},
		"no UTF-8":        {"text/plain", "42[\"echo\",\"\xff\"]"},
		"binary type":     {"application/octet-stream", "4"},
		"ping":            {"text/plain", "2"},
		"too large":       {"text/plain", strings.Repeat("x", 200_000)},
		"many packets":    {"text/plain", strings.Repeat("3\x1e", 40_000) + "3"},
		"many nothings":   {"text/plain", strings.Repeat("\x1e", 90_000)},
		"rule broken":     {"text/plain", "42{}"},
		"lying count":     {"text/plain", "452-[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1ebAA==\x1e42[\"echo\"]"},
		"connect a lot":   {"text/plain", strings.Repeat("40\x1e", 100) + "40"},
		"binary, unasked": {"text/plain", "bAAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			rises(t, closings)
			sid := poll(t)
			// What is answered is not looked at: a large body is refused before it is read, and the
			// client may still be writing then.
			request, err := http.NewRequest(http.MethodPost, "http://"+shared.broker.HTTP+"/socket.io/?EIO=4&transport=polling&sid="+sid,
				strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", c.contentType)
			if response, err := httpClient.Do(request); err == nil {
				_ = response.Body.Close()
			}
			gone(t, sid)
		})
	}
}

// gone polls until the session is unknown.
func gone(t *testing.T, sid string) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if status, _ := get(t, "EIO=4&transport=polling&sid="+sid); status == http.StatusBadRequest {
			return
		}
	}
	t.Error("the session is still open")
}

// A body of unknown length is cut off at the limit too, with 413.
func TestPolling_ErrChunked(t *testing.T) {
	watch(t)
	rises(t, closings, `reason="payload_too_large"`)
	sid := poll(t)
	body := struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 300_000))} // hides the length
	if status, _ := do(t, http.MethodPost, "EIO=4&transport=polling&sid="+sid, "text/plain", body); status != http.StatusRequestEntityTooLarge {
		t.Errorf("answered %d", status)
	}
	gone(t, sid)
}

// A body that comes too slowly is given up in time.
func TestPolling_ErrSlowBody(t *testing.T) {
	watch(t)
	rises(t, refusals, `reason="slow_body"`)
	sid := poll(t)
	got := raw(t, shared.broker.HTTP, []byte("POST "+path+"polling&sid="+sid+" HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"+
		"Content-Length: 100\r\n\r\n4"))
	if !strings.HasPrefix(got, "HTTP/1.1 408") {
		t.Errorf("answered %q", got)
	}
}

// A second poll at the same time ends the session.
func TestPolling_ErrTwoPolls(t *testing.T) {
	watch(t)
	rises(t, refusals, `reason="overlapping_requests"`)
	sid := poll(t)
	first := make(chan string, 1)
	conn := dial(t, shared.broker.HTTP)
	if _, err := io.WriteString(conn, "GET "+path+"polling&sid="+sid+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the connection
		data, _ := io.ReadAll(conn)
		first <- string(data)
	}()
	gone(t, sid)
	if got := <-first; !strings.HasSuffix(got, "\r\n\r\n1") && !strings.Contains(got, " 400 ") {
		t.Errorf("the first poll was answered %q", got)
	}
}

// What is no HTTP at all gets nowhere.
func TestHTTP_ErrGarbage(t *testing.T) {
	watch(t)
	for name, data := range map[string]string{
		"noise":          strings.Repeat("\xde\xad\xbe\xef", 1000) + "\r\n\r\n",
		"TLS":            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100) + "\r\n\r\n",
		"two lengths":    "POST /socket.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"long line":      "GET /" + strings.Repeat("a", 200_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"many headers":   "GET /socket.io/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 30_000) + "\r\n",
		"websocket key":  "GET " + path + "websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n\r\n",
		"wrong version":  "GET " + path + "websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"foreign origin": "GET " + path + "websocket HTTP/1.1\r\nHost: good.example\r\nOrigin: http://good.example.evil.example\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"path traversal": "GET /socket.io/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := raw(t, shared.broker.HTTP, []byte(data))
			if got != "" && !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.0 4") {
				t.Errorf("answered %.200q", got)
			}
		})
	}
}

// A poll whose client goes away ends the session.
func TestPolling_ErrGone(t *testing.T) {
	watch(t)
	rises(t, closings, `transport="polling"`)
	sid := poll(t)
	conn := dial(t, shared.broker.HTTP)
	if _, err := io.WriteString(conn, "GET "+path+"polling&sid="+sid+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	gone(t, sid)
}
