// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// reply is an HTTP answer.
type reply struct {
	status int
	body   string
	header http.Header
}

func (w *world) do(method, query, body string, headers ...string) reply {
	w.t.Helper()
	r, err := w.try(method, query, strings.NewReader(body), headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) try(method, query string, body io.Reader, headers ...string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+w.address+"/engine.io/?"+query, body)
	if err != nil {
		return reply{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Add(name, value)
		if name == "Host" { // which no client takes from there
			request.Host = value
		}
	}
	response, err := w.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, string(b), response.Header}, err
}

// opened is the data of an open packet.
type opened struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int      `json:"pingInterval"`
	PingTimeout  int      `json:"pingTimeout"`
	MaxPayload   int      `json:"maxPayload"`
}

func parseOpen(t testing.TB, packet string) opened {
	t.Helper()
	var o opened
	if !strings.HasPrefix(packet, "0") {
		t.Fatalf("not an open packet: %q", packet)
	}
	d := json.NewDecoder(strings.NewReader(packet[1:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		t.Fatalf("%q: %v", packet, err)
	}
	return o
}

// poller is a polling client.
type poller struct {
	*world
	sid  string
	rec  *recorder
	base string // the query without the sid
}

func (w *world) polling() *poller {
	w.t.Helper()
	r := w.do("GET", "EIO=4&transport=polling", "")
	if r.status != 200 {
		w.t.Fatalf("open: %+v", r)
	}
	sid := parseOpen(w.t, r.body).SID
	return &poller{w, sid, w.recorder(sid), "EIO=4&transport=polling"}
}

func (w *world) recorder(sid string) *recorder {
	w.t.Helper()
	r, ok := w.recorders.Load(sio.SessionID(sid))
	if !ok {
		w.t.Fatalf("no session %q", sid)
	}
	return r.(*recorder)
}

func (p *poller) query() string { return p.base + "&sid=" + p.sid }

func (p *poller) get() reply { p.t.Helper(); return p.do("GET", p.query(), "") }

func (p *poller) post(body string, headers ...string) reply {
	p.t.Helper()
	return p.do("POST", p.query(), body, headers...)
}

// begin starts a GET and returns when it waits; the answer comes on the channel.
func (p *poller) begin() <-chan reply {
	p.t.Helper()
	answer := make(chan reply, 1)
	go func() {
		r, err := p.try("GET", p.query(), nil)
		if err != nil {
			r.body = "error: " + err.Error()
		}
		answer <- r
	}()
	p.until("a GET waits", func() bool {
		s := p.rec.session
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.polling == nil || s.polling.waiting != nil
	})
	return answer
}

// until waits for what must come true.
func (w *world) until(what string, true func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) wantClosed(r *recorder, want sio.Reason) {
	w.t.Helper()
	select {
	case <-r.closed:
	case <-time.After(patience):
		w.t.Fatalf("not closed, want %q", want)
	}
	if r.reason != want {
		w.t.Fatalf("closed with %q, want %q", r.reason, want)
	}
}

func (w *world) wantOpen(r *recorder) {
	w.t.Helper()
	if r.session.ended.Load() {
		w.t.Fatal("the session has ended")
	}
}

func (w *world) want(got reply, status int, body string) {
	w.t.Helper()
	if got.status != status || got.body != body {
		w.t.Fatalf("got %d %.200q, want %d %.200q", got.status, got.body, status, body)
	}
}

func refused(code int, message string) string {
	return fmt.Sprintf(`{"code":%d,"message":%q}`, code, message)
}

// socket is a WebSocket client.
type socket struct {
	*world
	conn *websocket.Conn
	sid  string
	rec  *recorder
}

func (w *world) dialSocket(query string, headers http.Header) (*socket, *http.Response, error) {
	conn, response, err := w.dialer.Dial("ws://"+w.address+"/engine.io/?"+query, headers)
	if err != nil {
		return nil, response, err
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(time.Hour))
	return &socket{world: w, conn: conn}, response, nil
}

// websocket opens a session.
func (w *world) websocket() *socket {
	w.t.Helper()
	s, _, err := w.dialSocket("EIO=4&transport=websocket", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_, data, err := s.conn.ReadMessage()
	if err != nil {
		w.t.Fatal(err)
	}
	s.sid = parseOpen(w.t, string(data)).SID
	s.rec = w.recorder(s.sid)
	return s
}

// probing opens a WebSocket for a polling session.
func (p *poller) probing() *socket {
	p.t.Helper()
	s, _, err := p.dialSocket("EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	s.sid, s.rec = p.sid, p.rec
	return s
}

func (s *socket) send(packets ...string) {
	s.t.Helper()
	for _, p := range packets {
		if err := s.conn.WriteMessage(websocket.TextMessage, []byte(p)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *socket) sendBinary(data string) {
	s.t.Helper()
	if err := s.conn.WriteMessage(websocket.BinaryMessage, []byte(data)); err != nil {
		s.t.Fatal(err)
	}
}

// wantPackets reads text packets, and binary ones as "binary:" and their bytes.
func (s *socket) wantPackets(want ...string) {
	s.t.Helper()
	for _, w := range want {
		kind, data, err := s.conn.ReadMessage()
		got := string(data)
		if kind == websocket.BinaryMessage {
			got = "binary:" + got
		}
		if err != nil || got != w {
			s.t.Fatalf("got %.200q %v, want %.200q", got, err, w)
		}
	}
}

// wantClose reads the close and its code.
func (s *socket) wantClose(code int) {
	s.t.Helper()
	_, data, err := s.conn.ReadMessage()
	if !websocket.IsCloseError(err, code) {
		s.t.Fatalf("got %.200q %v, want close %d", data, err, code)
	}
}

// raw sends bytes as they are and reads one HTTP answer.
func (w *world) raw(request string) (*http.Response, net.Conn) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		w.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return response, conn
}
