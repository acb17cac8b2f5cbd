// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
	"github.com/spanwire/spanwire/internal/sio"
)

// openSession opens a polling session and gives its id.
func openSession(t *testing.T, b *broker.Broker) string {
	t.Helper()
	_, body := get(t, "http://"+b.HTTPAddress()+"/socket.io/?EIO=4&transport=polling")
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &open); err != nil || open.SID == "" {
		t.Fatal(body, err)
	}
	return open.SID
}

const unknownSession = `{"code":1,"message":"Session ID unknown"}`

// counter is the value of a counter, as operators see it.
func counter(t *testing.T, b *broker.Broker, line string) string {
	t.Helper()
	_, text := get(t, "http://"+b.OperatorAddress()+"/metrics")
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(l, line+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("there is no metric %s", line)
	return ""
}

type reply struct {
	status int
	body   string
	header http.Header
}

// asks sends a request for a session to a replica.
func asks(t *testing.T, b *broker.Broker, method, query, body string, header http.Header) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), method, "http://"+b.HTTPAddress()+"/socket.io/?"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host, r.Header = "shop.example", maps.Clone(header)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := response.Header
	h.Del("Date")
	return reply{response.StatusCode, string(data), h}
}

// Whatever replica a request comes to, the answer must be that of the session's own replica.
func TestForward_SameAnswers(t *testing.T) {
	all := brokertest.Cluster(t, 2, func(c *broker.Config) { c.Edge.Engine.Origins = []string{"https://friend.example"} })
	home, away := all[0], all[1]
	large := strings.Repeat("4x", int(broker.DefaultConfig().Edge.Engine.MaxPayload))
	for name, c := range map[string]struct {
		method, transport, body string
		header                  http.Header
		want                    int
	}{
		"pong":              {"POST", "polling", "3", nil, 200},
		"own origin":        {"POST", "polling", "3", http.Header{"Origin": {"http://shop.example"}}, 200},
		"friend":            {"POST", "polling", "3", http.Header{"Origin": {"https://friend.example"}}, 200},
		"wrong_replica":     {"POST", "polling", "3", http.Header{"Origin": {"https://outsider.example"}}, 403},
		"own by TLS":        {"POST", "polling", "3", http.Header{"Origin": {"https://shop.example"}, "X-Forwarded-Proto": {"https"}}, 403},
		"another transport": {"GET", "websocket", "", nil, 400},
		"no transport":      {"GET", "smoke", "", nil, 400},
		"no such method":    {"PUT", "polling", "", nil, 405},
		"CORS question":     {"OPTIONS", "polling", "", http.Header{"Origin": {"https://friend.example"}, "Access-Control-Request-Headers": {"x"}}, 204},
		"no payload":        {"POST", "polling", "x", nil, 400},
		"too large":         {"POST", "polling", large, nil, 413},
		"upgrade refused": {"GET", "polling", "", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}, 400},
	} {
		at := func(b *broker.Broker) reply {
			return asks(t, b, c.method, "EIO=4&transport="+c.transport+"&sid="+openSession(t, home), c.body, c.header)
		}
		direct, forwarded := at(home), at(away)
		if direct.status != c.want || forwarded.status != c.want || direct.body != forwarded.body {
			t.Errorf("%s: at home %d %q, elsewhere %d %q", name, direct.status, direct.body, forwarded.status, forwarded.body)
		}
		if !maps.EqualFunc(direct.header, forwarded.header, func(a, b []string) bool { return strings.Join(a, "|") == strings.Join(b, "|") }) {
			t.Errorf("%s: headers at home %v, elsewhere %v", name, direct.header, forwarded.header)
		}
	}
	for _, id := range []sio.SessionID{sio.NewSessionID("______"), "x"} {
		r := asks(t, away, "GET", "EIO=4&transport=polling&sid="+string(id), "", nil)
		if r.status != http.StatusBadRequest || r.body != unknownSession {
			t.Errorf("the session of a replica that is not there: %d %q", r.status, r.body)
		}
	}
}

// A poll that waits must be answered, and a session be upgraded, through another replica.
func TestForward_PollAndUpgrade(t *testing.T) {
	all := brokertest.Cluster(t, 3)
	id := openSession(t, all[0])
	query := "EIO=4&transport=polling&sid=" + id
	polled := make(chan reply, 1)
	go func() { polled <- asks(t, all[1], "GET", query, "", nil) }() // ends with the answer
	ws, response, err := websocket.DefaultDialer.DialContext(testContext(t),
		"ws://"+all[2].HTTPAddress()+"/socket.io/?EIO=4&transport=websocket&sid="+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte("2probe")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := ws.ReadMessage(); err != nil || string(data) != "3probe" {
		t.Fatalf("the probe was answered %q (%v)", data, err)
	}
	if r := <-polled; r.status != http.StatusOK || r.body != "6" {
		t.Errorf("the poll was answered %d %q", r.status, r.body)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("5")); err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("the session goes on after its end")
	}
	if n := counter(t, all[2], `spanwire_sessionproxy_requests_total{transport="websocket"}`); n != "1" {
		t.Errorf("%s WebSockets were counted", n)
	}
	if n := counter(t, all[0], "spanwire_sessionproxy_received_requests_total"); n != "2" {
		t.Errorf("%s requests were taken", n)
	}
}

// Replicas that cannot hand requests over must say what servers say that never knew the session,
// and count why.
func TestForward_Not(t *testing.T) {
	another := httptest.NewServer(http.NotFoundHandler())
	defer another.Close()
	for reason, change := range map[string]func(first bool, c *broker.Config){
		"no_address": func(_ bool, c *broker.Config) { c.Cluster.ForwardAddress = "" },
		"wrong_replica": func(first bool, c *broker.Config) {
			if first {
				// replicas of another secret do not know each other at all
				c.Cluster.ForwardAdvertise = another.Listener.Addr().String()
			}
		},
		"unreachable": func(first bool, c *broker.Config) {
			if first {
				// no port that another test's listener may be given
				c.Cluster.ForwardAdvertise = "127.0.0.1:1"
			}
		},
	} {
		t.Run(reason, func(t *testing.T) {
			first := true
			all := brokertest.Cluster(t, 2, func(c *broker.Config) {
				change(first, c)
				first = false
			})
			r := asks(t, all[1], "GET", "EIO=4&transport=polling&sid="+openSession(t, all[0]), "", nil)
			if r.status != http.StatusBadRequest || r.body != unknownSession {
				t.Errorf("answered %d %q", r.status, r.body)
			}
			if n := counter(t, all[1], `spanwire_sessionproxy_failures_total{reason="`+reason+`"}`); n != "1" {
				t.Errorf("counted %s", n)
			}
		})
	}
}

// nobody is an address without a listener, until another process gets it.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A connection that another replica keeps in store must not hold up the end.
func TestForward_UnusedConnection(t *testing.T) {
	var (
		log     bytes.Buffer
		b       *broker.Broker
		address string
		err     error
	)
	for range 10 { // the address may be taken meanwhile
		address = nobody(t)
		c := brokertest.Config(func(c *broker.Config) {
			c.Cluster.NATS.Listen, c.Cluster.ForwardAddress = "127.0.0.1:0", address
		})
		if b, err = broker.Start(c, slog.New(slog.NewTextHandler(&log, nil))); err == nil || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Once this is answered the one before was accepted.
	if code, _ := get(t, "http://"+address+"/", "Connection", "close"); code != http.StatusForbidden {
		t.Errorf("a outsider was answered %d", code)
	}
	if err := b.Drain(); err != nil || strings.Contains(log.String(), "cut off") {
		t.Errorf("the end was held up: %v\n%s", err, &log)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v", err)
	}
}
