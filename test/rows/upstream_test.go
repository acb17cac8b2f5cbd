// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// echoUpstream is a web application that tells how requests reach it.
func echoUpstream(t *testing.T) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		h.Set("Request-Uri", r.RequestURI)
		_ = json.NewEncoder(w).Encode(h) // an error means that the test is over
	}))
	t.Cleanup(app.Close)
	return app.URL
}

// throughUpstream sends a request to the application behind the broker and tells what reached it.
func (s *server) throughUpstream(t *testing.T, url string, headers ...string) (h http.Header) {
	t.Helper()
	a := s.doAt(t, "GET", url, nil, headers...)
	if err := json.Unmarshal([]byte(a.body), &h); err != nil || a.status != http.StatusOK {
		t.Fatalf("%s was answered %d %s", url, a.status, a.body)
	}
	return h
}

// raw sends bytes to an address and reads the answer to its end.
func raw(t *testing.T, address, request string) (status int, answer string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(c)
	if err != nil && len(data) == 0 {
		t.Fatal(err)
	}
	_, _ = fmt.Sscanf(string(data), "HTTP/1.1 %d", &status) // 0 is no status
	return status, string(data)
}

// trickle posts a body byte by byte until the connection ends, and tells how that was answered;
// an error stands in its place.
func trickle(address, path, head string, pause time.Duration) string {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", path, address, head); err != nil {
		return err.Error()
	}
	piece := "x"
	if strings.Contains(head, "chunked") {
		piece = "1\r\nx\r\n"
	}
	go func() { // ends with the connection
		for {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
	data, err := io.ReadAll(c)
	if len(data) == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("%s, %v", data, err)
	}
	return string(data)
}

// atRate gives n bytes in pieces with a pause between.
func atRate(n, piece int, pause time.Duration) io.Reader {
	r, w := io.Pipe()
	go func() { // ends when the bytes are read, or the reader is closed
		for left := n; left > 0; left -= piece {
			if _, err := io.WriteString(w, strings.Repeat("x", min(piece, left))); err != nil {
				return
			}
			time.Sleep(pause)
		}
		_ = w.Close()
	}()
	return r
}

var upstreamRows = []row{
	{"O12d", "no HTTP listener takes CONNECT or TRACE", func(t *testing.T, w *world) {
		s := w.with(t, "--upstream", echoUpstream(t))
		for _, address := range []string{s.broker.HTTP, s.broker.Operators} {
			for _, request := range []string{
				"TRACE / HTTP/1.1\r\nHost: " + address, "TRACE /socket.io/?" + polling4 + " HTTP/1.1\r\nHost: " + address, "TRACE /metrics HTTP/1.1\r\nHost: " + address,
				"CONNECT " + address + " HTTP/1.1\r\nHost: " + address, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443", "CONNECT /socket.io/ HTTP/1.1\r\nHost: " + address,
			} {
				if status, head := raw(t, address, request+"\r\nConnection: close\r\nCookie: secret\r\n\r\n"); status != 405 || !strings.Contains(head, "\r\nAllow: ") || strings.Contains(head, "secret") {
					t.Errorf("%s at %s was answered %d %s", request, address, status, head)
				}
			}
		}
		if n, err := s.broker.Metric("spanwire_http_rejected_requests_total", `reason="method"`); err != nil || n != 12 {
			t.Errorf("%v are counted, %v", n, err)
		}
	}},
	{"O12", "a body that trickles to the upstream is answered 408, and one that flows is not", func(t *testing.T, w *world) {
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body) // the broker may cut it
			_, _ = fmt.Fprint(w, "took ", n)
		}))
		t.Cleanup(app.Close)
		s := w.with(t, "--upstream", app.URL, "--upstream-body-timeout", "2s", "--upstream-min-body-rate", "1kB")
		const slow = 50
		ended := make(chan string, slow)
		for i := range slow {
			path, head := "/upload", "Content-Length: 100000"
			if i%2 == 1 {
				head = "Transfer-Encoding: chunked"
			}
			// ends with the answer
			go func() { ended <- trickle(s.broker.HTTP, path, head, 100*time.Millisecond) }()
		}
		// As many bytes, at twice the rate that is asked for, over more than the time of a window.
		flowing := make(chan answer, 1)
		go func() { // ends with the answer
			a, _ := s.try("POST", "/upload", atRate(8000, 100, 50*time.Millisecond), "Content-Type", "text/plain")
			flowing <- a
		}()
		for range slow {
			if got := <-ended; !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "upstream-body-timeout") || !strings.Contains(got, "Connection: close") {
				t.Fatalf("a slow body was answered %q", got)
			}
		}
		if a := <-flowing; a.status != 200 || a.body != "took 8000" {
			t.Errorf("a body that flows was answered %d %s", a.status, a.body)
		}
		if n, err := s.broker.Metric("spanwire_upstream_failures_total", `reason="slow_body"`); err != nil || n != slow {
			t.Errorf("%v are counted, %v", n, err)
		}
		if err := s.broker.WaitFor(`setting="upstream-body-timeout, upstream-min-body-rate"`, limit); err != nil {
			t.Error(err)
		}
	}},
	{"O12b", "an upstream that takes or answers nothing is answered 504, and what streams lives on", func(t *testing.T, w *world) {
		over := make(chan struct{})
		var upgrader websocket.Upgrader
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/silent":
				<-over
			case "/events":
				w.Header().Set("Content-Type", "text/event-stream")
				for i := range 8 {
					_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
					w.(http.Flusher).Flush()
					// longer than the time for an answer, together
					time.Sleep(500 * time.Millisecond)
				}
			case "/socket":
				c, err := upgrader.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer func() { _ = c.Close() }()
				for {
					kind, data, err := c.ReadMessage()
					if err != nil || c.WriteMessage(kind, data) != nil {
						return
					}
				}
			}
		}))
		t.Cleanup(app.Close)
		t.Cleanup(func() { close(over) }) // before the application closes, which waits
		s := w.with(t, "--upstream", app.URL, "--upstream-answer-timeout", "2s", "--upstream-body-timeout", "2s")
		c, _, err := (&websocket.Dialer{HandshakeTimeout: limit}).Dial("ws://"+s.broker.HTTP+"/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		for name, body := range map[string]string{"no body": "", "a body that it reads": "x", "a body that it does not read": strings.Repeat("x", 20<<20)} {
			method := map[bool]string{true: "GET", false: "POST"}[body == ""]
			if a := s.doAt(t, method, "/silent", strings.NewReader(body)); a.status != 504 || !strings.Contains(a.body, "upstream-answer-timeout") {
				t.Errorf("%s: answered %d %s", name, a.status, a.body)
			}
		}
		if a := s.doAt(t, "GET", "/events", nil); a.status != 200 || !strings.HasSuffix(a.body, "data: 7\n\n") {
			t.Errorf("the events were answered %d %q", a.status, a.body)
		}
		if a := s.doAt(t, "POST", "/events", strings.NewReader("x")); a.status != 200 || !strings.HasSuffix(a.body, "data: 7\n\n") {
			t.Errorf("the events of a POST were answered %d %q", a.status, a.body)
		}
		if err := c.WriteMessage(websocket.TextMessage, []byte("still here")); err != nil {
			t.Error(err)
		}
		if _, data, err := c.ReadMessage(); err != nil || string(data) != "still here" {
			t.Errorf("the WebSocket gives %q, %v", data, err)
		}
		if n, err := s.broker.Metric("spanwire_upstream_failures_total", `reason="slow_answer"`); err != nil || n != 3 {
			t.Errorf("%v are counted, %v", n, err)
		}
	}},
	{"O12c", "what only a proxy can know reaches nobody in a browser's words", func(t *testing.T, w *world) {
		forged := []string{
			"X-Real-IP", "192.0.2.66", "X_Real_IP", "192.0.2.66", "X-Spanwire-Forwarded", "192.0.2.66", "X-Spanwire-Owner", "192.0.2.66", "X-Forwarded-For", "192.0.2.66",
			"X-Forwarded-Prefix", "192.0.2.66", "X_Forwarded_For", "192.0.2.66", "Forwarded", "for=192.0.2.66", "X-Forwarded-Port", "66", "X-Forwarded-Host", "192.0.2.66",
			"X-Forwarded-Proto", "192.0.2.66", "X-Own", "kept",
		}
		s := w.with(t, "--upstream", echoUpstream(t))
		for where, h := range map[string]map[string][]string{
			"the application": s.throughUpstream(t, "/", forged...), "the handler": s.handshake(t, "", forged...).Headers,
		} {
			for name, values := range h {
				if strings.Contains(fmt.Sprint(values), "192.0.2.66") || name == "X-Forwarded-Port" {
					t.Errorf("%s gets %s: %q", where, name, values)
				}
			}
			if fmt.Sprint(h["X-Own"]) != "[kept]" {
				t.Errorf("%s gets %v", where, h)
			}
		}
		s = w.with(t, "--upstream", echoUpstream(t), "--trusted-proxies", "127.0.0.0/8")
		app, handler := s.throughUpstream(t, "/", forged...), http.Header(s.handshake(t, "", forged...).Headers)
		for where, h := range map[string]http.Header{"the application": app, "the handler": handler} {
			if h.Get("X-Real-Ip") != "192.0.2.66" || h.Get("X-Spanwire-Forwarded") != "" || h.Get("X_real_ip") != "" || h.Get("X_forwarded_for") != "" || !strings.HasPrefix(h.Get("X-Forwarded-For"), "192.0.2.66") {
				t.Errorf("of a trusted proxy %s gets %v", where, h)
			}
		}
	}},
	{"O12e", "a body that nobody reads holds no connection, on any listener", func(t *testing.T, w *world) {
		s := w.with(t, "--body-timeout", "1s")
		requests := [][2]string{
			{s.broker.HTTP, "/nothing"}, {s.broker.HTTP, "/socket.io/?EIO=4&transport=pigeon"}, {s.broker.HTTP, "/socket.io/?" + polling4 + "&sid=nope"},
			{s.broker.HTTP, "/socket.io/socket.io.js"}, {s.broker.HTTP, "/socket.io/?" + polling4 + "&sid=" + s.polling(t).open.SID}, {s.broker.Operators, "/metrics"},
			{s.broker.Operators, "/api/v1/emit"}, {s.broker.Operators, "/api/v1/nothing"},
		}
		ended := make(chan string, len(requests))
		for _, to := range requests {
			go func() { // ends with the answer
				ended <- to[1] + " " + trickle(to[0], to[1], "Content-Type: application/json\r\nContent-Length: 100000", 100*time.Millisecond)
			}()
		}
		for range requests {
			if got := <-ended; !strings.Contains(got, " HTTP/1.1 4") {
				t.Errorf("%s", got)
			}
		}
	}},
}
