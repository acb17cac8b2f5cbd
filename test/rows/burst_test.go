// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const (
	burstEvents = 2000
	burstBytes  = 100
)

// burst asks for a burst.
var burst = fmt.Sprintf(`42["burst",%d,%q]`, burstEvents, strings.Repeat("x", burstBytes))

var burstRows = []row{
	{"O9", "a burst by polling over a long round trip takes at most three times what it takes by WebSocket", func(t *testing.T, w *world) {
		s := w.with(t)
		address := distant(t, s.broker.HTTP, 50*time.Millisecond)
		var polling, ws []time.Duration
		for range 3 {
			took, gets := s.burstByPolling(t, address)
			t.Logf("polling: %v with %d GETs", took, gets)
			polling = append(polling, took)
			took = s.burstByWebSocket(t, address)
			t.Logf("WebSocket: %v", took)
			ws = append(ws, took)
		}
		if p, q := slices.Min(polling), slices.Min(ws); p > 3*q {
			t.Errorf("polling took %v, WebSocket %v", p, q)
		}
	}},
	{"O9b", "a client that takes any number of packets gets all that wait in one answer, whatever it is called or not called", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "24s")
		for _, agent := range []string{
			"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "node-XMLHttpRequest", "okhttp/4.12.0", "App/1 CFNetwork/1494 Darwin/23.4.0", "",
		} {
			p := s.waitingBurst(t, "User-Agent", agent)
			a := p.get("User-Agent", agent)
			p.wantBurst(strings.Split(a.body, "\x1e"))
		}
	}},
	{"O9c", "a client in Python gets 16 packets in one answer, known by its User-Agent or its cache buster", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "21s")
		for name, c := range map[string]struct{ agent, query string }{
			"requests":   {agent: "python-requests/2.34.2"},
			"aiohttp":    {agent: "Python/3.11 aiohttp/3.14.5"},
			"other name": {agent: "OurApp/1.0", query: "&t=1764535370.1234567"},
		} {
			p := s.waitingBurst(t, "User-Agent", c.agent)
			p.query += c.query
			var got []string
			for len(got) < burstEvents {
				a := p.get("User-Agent", c.agent)
				packets := strings.Split(a.body, "\x1e")
				if len(packets) != 16 {
					t.Fatalf("%s: %d packets in one answer", name, len(packets))
				}
				got = append(got, packets...)
			}
			p.wantBurst(got)
		}
	}},
	{"O9d", "an answer by polling holds about max-payload bytes", func(t *testing.T, w *world) {
		s := w.with(t, append([]string{"--ping-timeout", "22s"}, small...)...)
		p := s.waitingBurst(t, "User-Agent", "node")
		var got []string
		for len(got) < burstEvents {
			a := p.get("User-Agent", "node")
			if n := len(a.body); n > 100_000 || n < 90_000 && len(got) == 0 {
				t.Errorf("an answer of %d bytes", n)
			}
			got = append(got, strings.Split(a.body, "\x1e")...)
		}
		p.wantBurst(got)
	}},
	{"O9e", "packet-limited-agents names the clients that take no more than max-packets-per-answer", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-timeout", "23s", "--max-packets-per-answer", "3", "--packet-limited-agents", "ourapp, other")
		for agent, want := range map[string]int{"The OurApp/1.0": 3, "python-requests/2.34.2": burstEvents} {
			p := s.waitingBurst(t, "User-Agent", agent)
			if n := len(strings.Split(p.get("User-Agent", agent).body, "\x1e")); n != want {
				t.Errorf("%s got %d packets in one answer", agent, n)
			}
		}
	}},
	{"O18", "a GET that waits when a WebSocket is tried gets its noop with the answer to the probe", func(t *testing.T, w *world) {
		w.restsAtOnce(t, func(p *poller, c *conn) (chan answer, bool) {
			get := p.waiting()
			return get, c.probe()
		})
	}},
	{"O18b", "a GET that comes after the probe gets its noop at once", func(t *testing.T, w *world) {
		w.restsAtOnce(t, func(p *poller, c *conn) (chan answer, bool) {
			ok := c.probe()
			get := make(chan answer, 1)
			go func() { // ends with the answer, at the latest with the limit of the client
				a, _ := p.s.try("GET", "/socket.io/?"+p.query, nil)
				get <- a
			}()
			return get, ok
		})
	}},
}

// probe tries the WebSocket and tells whether it was answered.
func (c *conn) probe() bool {
	c.send("2probe")
	got, err := c.read()
	return err == nil && got == "3probe"
}

// restsAtOnce tries WebSockets whose upgrade times out before a noop would come that is sent every
// 100 ms. So a GET that is answered with a noop was answered because of the probe. On a busy
// machine the time may pass before the probe has arrived; then it is tried again.
func (w *world) restsAtOnce(t *testing.T, try func(*poller, *conn) (get chan answer, ok bool)) {
	t.Helper()
	s := w.with(t, "--upgrade-timeout", "90ms")
	for range 50 {
		p := s.polling(t)
		get, ok := try(p, s.mustDial(t, websocket4+"&sid="+p.open.SID))
		select {
		case a := <-get:
			if ok && a.status == 200 && a.body == "6" {
				return
			}
		case <-time.After(time.Second):
			p.must("40/admin,") // whose answer ends the GET
			<-get
		}
	}
	t.Error("no GET was answered with a noop")
}

// waitingBurst is a session on polling with a burst that waits to be fetched, on a broker that is
// its row's alone.
func (s *server) waitingBurst(t *testing.T, headers ...string) *poller {
	t.Helper()
	p := s.polling(t, headers...)
	p.must("40")
	p.want("40{*")
	queued := func() float64 {
		n, err := s.broker.Metric("spanwire_engine_messages_sent_total", `transport="polling"`)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := queued()
	p.must(burst)
	for end := time.Now().Add(limit); queued() < before+burstEvents; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("of the burst %v events were queued", queued()-before)
		}
	}
	return p
}

// wantBurst expects the whole burst in order.
func (p *poller) wantBurst(packets []string) {
	p.t.Helper()
	if len(packets) != burstEvents {
		p.t.Fatalf("%d packets came", len(packets))
	}
	for i, packet := range packets {
		if !strings.HasPrefix(packet, fmt.Sprintf(`42["burst",%d,`, i)) {
			p.t.Fatalf("packet %d is %.60q", i, packet)
		}
	}
}

// burstByPolling asks for a burst at an address, with a GET that waits as that of a client, and
// tells how long it took and how many GETs.
func (s *server) burstByPolling(t *testing.T, address string) (took time.Duration, gets int) {
	t.Helper()
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	do := func(method, query, body string) string {
		r, err := http.NewRequest(method, "http://"+address+"/socket.io/?"+query, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return ""
		}
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
		a, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer func() { _ = a.Body.Close() }()
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != http.StatusOK {
			t.Errorf("%s was answered %d %v", method, a.StatusCode, err)
		}
		return string(text)
	}
	query := polling4 + "&sid=" + parseOpen(t, do("GET", polling4, "")).SID
	do("POST", query, "40")
	if got := do("GET", query, ""); !strings.HasPrefix(got, "40{") {
		t.Fatalf("got %q", got)
	}
	first := make(chan string, 1)
	go func() { first <- do("GET", query, "") }() // ends with the answer
	begin := time.Now()
	do("POST", query, burst)
	for events, text := 0, <-first; ; text = do("GET", query, "") {
		gets++
		for packet := range strings.SplitSeq(text, "\x1e") {
			if strings.HasPrefix(packet, fmt.Sprintf(`42["burst",%d,`, events)) {
				events++
			}
		}
		if events == burstEvents || t.Failed() {
			return time.Since(begin), gets
		}
	}
}

// burstByWebSocket is the same by WebSocket.
func (s *server) burstByWebSocket(t *testing.T, address string) time.Duration {
	t.Helper()
	ws, response, err := websocket.DefaultDialer.Dial("ws://"+address+"/socket.io/?"+websocket4, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	defer func() { _ = ws.Close() }()
	c := &conn{Conn: ws, t: t, heartbeat: true}
	c.send("40")
	c.want("0{*", "40{*")
	begin := time.Now()
	c.send(burst)
	for i := range burstEvents {
		c.want(fmt.Sprintf(`42["burst",%d,*`, i))
	}
	return time.Since(begin)
}
