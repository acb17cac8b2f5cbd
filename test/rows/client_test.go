// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var httpClient = &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request to the path of Engine.IO; headers alternate names and values.
func (s *server) do(t *testing.T, method, query, body string, headers ...string) answer {
	t.Helper()
	return s.doAt(t, method, "/socket.io/?"+query, strings.NewReader(body), headers...)
}

func (s *server) doAt(t *testing.T, method, url string, body io.Reader, headers ...string) answer {
	t.Helper()
	a, err := s.try(method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *server) try(method, url string, body io.Reader, headers ...string) (answer, error) {
	r, err := http.NewRequest(method, "http://"+s.broker.HTTP+url, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return send(r)
}

// send sends a request and reads the answer.
func send(r *http.Request) (answer, error) {
	response, err := httpClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// openData is what an open packet tells.
type openData struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval *int     `json:"pingInterval"`
	PingTimeout  *int     `json:"pingTimeout"`
	MaxPayload   *int     `json:"maxPayload"`
}

func parseOpen(t *testing.T, packet string) openData {
	t.Helper()
	var o openData
	if !strings.HasPrefix(packet, "0") || json.Unmarshal([]byte(packet[1:]), &o) != nil || o.SID == "" {
		t.Fatalf("%q is no open packet", packet)
	}
	return o
}

// poller is a session on polling.
type poller struct {
	t     *testing.T
	s     *server
	query string // with the session's id
	open  openData
}

const polling4 = "EIO=4&transport=polling"

// polling opens a session on polling; more is added to the query.
func (s *server) polling(t *testing.T, headers ...string) *poller {
	t.Helper()
	a := s.do(t, "GET", polling4, "", headers...)
	if a.status != http.StatusOK {
		t.Fatalf("the handshake was answered %d %s", a.status, a.body)
	}
	open := parseOpen(t, a.body)
	return &poller{t, s, polling4 + "&sid=" + open.SID, open}
}

func (p *poller) post(body string, headers ...string) answer {
	p.t.Helper()
	if len(headers) == 0 {
		headers = []string{"Content-Type", "text/plain;charset=UTF-8"}
	}
	return p.s.do(p.t, "POST", p.query, body, headers...)
}

func (p *poller) get(headers ...string) answer {
	p.t.Helper()
	return p.s.do(p.t, "GET", p.query, "", headers...)
}

// must posts and expects the usual answer.
func (p *poller) must(body string) {
	p.t.Helper()
	if a := p.post(body); a.status != 200 || a.body != "ok" {
		p.t.Fatalf("post of %.60q was answered %d %s", body, a.status, a.body)
	}
}

// next polls until packets other than heartbeats and noops came, and answers the heartbeats.
func (p *poller) next() []string {
	p.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		a := p.get()
		if a.status != 200 {
			p.t.Fatalf("the poll was answered %d %s", a.status, a.body)
		}
		var packets []string
		for packet := range strings.SplitSeq(a.body, "\x1e") {
			switch packet {
			case "2":
				p.must("3")
				continue
			case "6":
				continue
			}
			packets = append(packets, packet)
		}
		if len(packets) > 0 {
			return packets
		}
	}
	p.t.Fatal("nothing came but heartbeats")
	return nil
}

// want polls until all the packets came, in order.
func (p *poller) want(packets ...string) {
	p.t.Helper()
	var got []string
	for len(got) < len(packets) {
		got = append(got, p.next()...)
	}
	for i, want := range packets {
		if !matches(got[i], want) || len(got) != len(packets) {
			p.t.Fatalf("got %q, want %q", got, packets)
		}
	}
}

// gone tells that the session is not known any more.
func (p *poller) gone() {
	p.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		a := p.get()
		if a.status == 400 && strings.Contains(a.body, `"code":1`) {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("the session still answers: %d %q", a.status, a.body)
		}
	}
}

// alive tells that the session still answers.
func (p *poller) alive() {
	p.t.Helper()
	p.must("40/admin,")
	if got := p.next(); !strings.HasPrefix(got[0], "44/admin,") {
		p.t.Fatalf("got %q", got)
	}
}

// matches compares with a pattern that may end in "*".
func matches(got, want string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(got, prefix)
	}
	return got == want
}

// conn is a WebSocket.
type conn struct {
	*websocket.Conn
	t         *testing.T
	heartbeat bool // answer pings
	open      openData
}

// dial makes a WebSocket with any query; headers alternate names and values.
func (s *server) dial(t *testing.T, query string, headers ...string) (*conn, *http.Response, error) {
	t.Helper()
	return s.dialWith(t, &websocket.Dialer{HandshakeTimeout: limit}, query, headers...)
}

func (s *server) dialWith(t *testing.T, d *websocket.Dialer, query string, headers ...string) (*conn, *http.Response, error) {
	t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	ws, response, err := d.Dial("ws://"+s.broker.HTTP+"/socket.io/?"+query, h)
	if err != nil {
		return nil, response, err
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	return &conn{Conn: ws, t: t, heartbeat: true}, response, nil
}

func (s *server) mustDial(t *testing.T, query string, headers ...string) *conn {
	t.Helper()
	c, _, err := s.dial(t, query, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const websocket4 = "EIO=4&transport=websocket"

// websocket opens a session on WebSocket.
func (s *server) websocket(t *testing.T, headers ...string) *conn {
	t.Helper()
	c := s.mustDial(t, websocket4, headers...)
	c.open = parseOpen(t, c.next())
	return c
}

// connected opens a session on WebSocket and joins the main namespace.
func (s *server) connected(t *testing.T) *conn {
	t.Helper()
	c := s.websocket(t)
	c.send("40")
	c.want("40{*")
	return c
}

func (c *conn) send(packets ...string) {
	for _, p := range packets {
		// a connection that is gone shows when reading
		_ = c.WriteMessage(websocket.TextMessage, []byte(p))
	}
}

func (c *conn) sendBinary(data string) { _ = c.WriteMessage(websocket.BinaryMessage, []byte(data)) }

// read gives one message; binary ones with a zero byte before them.
func (c *conn) read() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	for {
		kind, data, err := c.ReadMessage()
		switch {
		case err != nil:
			return "", err
		case c.heartbeat && string(data) == "2":
			c.send("3")
		case kind == websocket.BinaryMessage:
			return "\x00" + string(data), nil
		default:
			return string(data), nil
		}
	}
}

func (c *conn) next() string {
	c.t.Helper()
	got, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return got
}

func (c *conn) want(packets ...string) {
	c.t.Helper()
	for _, want := range packets {
		if got := c.next(); !matches(got, want) {
			c.t.Fatalf("got %.200q, want %.200q", got, want)
		}
	}
}

// echo proves that the socket works.
func (c *conn) echo() {
	c.t.Helper()
	c.send(`42777["echo",1]`)
	c.want("43777[1]")
}

// closed reads to the end and gives the close code: 1005 when there was none, 1006 when the
// connection just ended.
func (c *conn) closed() (code int, text string) {
	c.t.Helper()
	for {
		_, err := c.read()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			return ce.Code, ce.Text
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.t.Fatal("the session is still open")
		}
		return websocket.CloseAbnormalClosure, ""
	}
}

// closes sends packets after which the session must be closed. Those that begin with a zero byte
// are binary.
func (s *server) closes(t *testing.T, packets ...string) {
	t.Helper()
	c := s.websocket(t)
	for _, p := range packets {
		if data, ok := strings.CutPrefix(p, "\x00"); ok {
			c.sendBinary(data)
		} else {
			c.send(p)
		}
	}
	c.closed()
}

// sip asks for what waits, reads a little of the answer at a time for a while, and then the rest.
func (p *poller) sip(t *testing.T, size int, every time.Duration, times int) string {
	t.Helper()
	conn, err := net.Dial("tcp", p.s.broker.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.(*net.TCPConn).SetReadBuffer(size) // a larger one takes more at once
	_, _ = io.WriteString(conn, "GET /socket.io/?"+p.query+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got := make([]byte, 0, 10_000_000)
	for range times {
		n, err := conn.Read(got[len(got) : len(got)+size])
		if got = got[:len(got)+n]; err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		time.Sleep(every)
	}
	rest, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(got)+len(rest), err)
	}
	return string(append(got, rest...))
}
