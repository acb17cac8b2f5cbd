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
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/test/process"
)

// handshake is how a handler describes the request that opened a session.
type handshake struct {
	URL     string
	Address string
	Auth    json.RawMessage
	Query   map[string][]string
	Headers map[string][]string
}

// parseHandshake reads the handler's answer to the event "handshake" with the ack id 1.
func parseHandshake(t *testing.T, packet string) handshake {
	t.Helper()
	var list []handshake
	if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "431")), &list); err != nil || len(list) != 1 {
		t.Fatalf("the handshake is %s", packet)
	}
	return list[0]
}

// handshake opens a session on WebSocket with more in its query and headers, and tells what the
// handler sees of it.
func (s *server) handshake(t *testing.T, query string, headers ...string) handshake {
	t.Helper()
	c := s.mustDial(t, websocket4+query, headers...)
	c.send("40")
	c.want("0{*", "40{*")
	c.send(`421["handshake"]`)
	return parseHandshake(t, c.next())
}

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

// bareBroker starts a broker of one row, without a handler.
func bareBroker(t *testing.T, flags ...string) *process.Broker {
	t.Helper()
	b, err := process.StartBroker(binaries.broker, "broker", flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b
}

// exposedBroker starts a broker whose operators' listener can be reached from other machines, and
// gives the address at which it is asked as from one of them.
func exposedBroker(t *testing.T, flags ...string) (b *process.Broker, outside string) {
	t.Helper()
	ip := outsideIP(t)
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address) // it is one
	// What stands later counts: the broker listens on all interfaces, and on the loopback too.
	b, err = process.StartBrokerAt(binaries.broker, "broker", address, append([]string{"--operator-address", "0.0.0.0:" + port}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b, net.JoinHostPort(ip, port)
}

// outsideIP is an address of this machine beside the loopback. A machine without a network is given
// one.
func outsideIP(t *testing.T) string {
	t.Helper()
	find := func() string {
		all, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
				return ip.IP.String()
			}
		}
		return ""
	}
	if ip := find(); ip != "" {
		return ip
	}
	const add = "ip address add 192.0.2.2/32 dev lo"
	if out, err := exec.Command("sh", "-c", add).CombinedOutput(); err != nil {
		t.Logf("%s: %v\n%s", add, err, out)
	}
	ip := find()
	if ip == "" {
		t.Fatal("this row needs an IPv4 address beside the loopback; as root: " + add)
	}
	return ip
}

// at asks for a path of an address.
func at(t *testing.T, address, path string, headers ...string) answer {
	t.Helper()
	s := &server{broker: &process.Broker{HTTP: address}}
	return s.doAt(t, "GET", path, nil, headers...)
}

var doorRows = []row{
	{"O21", "handlers get every pair of a query, whatever stands in it", func(t *testing.T, w *world) {
		s := w.with(t)
		var v struct {
			Cases []struct {
				Name, Query string
				Values      map[string][]string
			}
		}
		vectors(t, "queries.json", &v)
		for _, c := range v.Cases {
			if c.Values["EIO"] != nil {
				continue // it would stand twice
			}
			c.Values["EIO"], c.Values["transport"] = []string{"4"}, []string{"websocket"}
			got := s.handshake(t, "&"+c.Query)
			if !reflect.DeepEqual(got.Query, c.Values) || got.URL != "/socket.io/?"+websocket4+"&"+c.Query {
				t.Errorf("%s: the handler gets %q of %s, want %q", c.Name, got.Query, got.URL, c.Values)
			}
		}
		p := &poller{t, s, polling4, openData{}}
		for _, pair := range []string{"token=a;b", "token=100%", "token=%zz", "%=1", "sid", "sid=%zz"} {
			p.query = pair + "&" + polling4
			a := p.get()
			if strings.HasPrefix(pair, "sid") {
				refusedWith(t, a, 400, unknownSession)
				continue
			}
			if p.query += "&sid=" + parseOpen(t, a.body).SID; p.post("40").body != "ok" {
				t.Errorf("a session is not found beside %s", pair)
			}
		}
	}},
	{"O21b", "the query of a namespace reaches handlers of old clients whole", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send("40/custom?token=100%&b=x;y&b=%zz+%E2%82%AC&=,")
		c.want("40/custom,")
		c.send(`42/custom,1["handshake"]`)
		got := parseHandshake(t, strings.Replace(c.next(), "43/custom,1", "431", 1))
		var auth map[string]any
		want := map[string]any{"token": "100%", "b": []any{"x;y", "%zz €"}, "": ""}
		if err := json.Unmarshal(got.Auth, &auth); err != nil || !reflect.DeepEqual(auth, want) {
			t.Errorf("the handler gets %s", got.Auth)
		}
	}},
	{"O21c", "a query reaches the upstream application as it was sent", func(t *testing.T, w *world) {
		s := w.with(t, "--upstream", echoUpstream(t))
		for _, query := range []string{"token=a;b", "token=100%", "a=1&token=%zz&a=2", "&&=&", "q=a+b%20c", "", "a=%00"} {
			if got, want := s.throughUpstream(t, "/page?"+query).Get("Request-Uri"), fmt.Sprint("/page?", query); got != want {
				t.Errorf("the application gets %s, want %s", got, want)
			}
		}
	}},
	{"O19", "entries of allowed-origins match the same origin in every form, and no look-alike", func(t *testing.T, w *world) {
		s := w.with(t, "--allowed-origins", "http://localhost:8100/,HTTPS://Good.com:443,https://*.example.com,https://*.example.org:8443,http://[0:0::1]:8100,null,https://B\u00fccher.example")
		for origin, ok := range map[string]bool{
			"http://localhost:8100": true, "https://good.com": true, "https://GOOD.com": true, "https://good.com:443": true, "https://a.example.com": true,
			"https://a.example.com:443": true, "https://a.example.org:8443": true, "http://[::1]:8100": true, "null": true, "https://xn--bcher-kva.example": true,
			"http://" + s.broker.HTTP: true,
			"http://localhost":        false, "http://localhost:8100/": false, "https://localhost:8100": false, "http://good.com": false, "https://good.com.evil.com": false, "https://evilgood.com": false,
			"https://good.com@evil.com": false, "https://example.com": false, "https://a.b.example.com": false, "https://.example.com": false, "https://*.example.com": false,
			"https://a.example.com.evil.com": false, "https://aexample.com": false, "https://a.example.org": false, "https://b\u00fccher.example": false, "file://": false, "Null": false,
		} {
			a := s.do(t, "GET", polling4, "", "Origin", origin)
			if want := map[bool]int{true: 200, false: 403}[ok]; a.status != want {
				t.Errorf("polling from %s was answered %d, want %d", origin, a.status, want)
			}
			if allow := a.header.Get("Access-Control-Allow-Origin"); ok && origin != "http://"+s.broker.HTTP && allow != origin || !ok && allow != "" {
				t.Errorf("%s may read as %q", origin, allow)
			}
			if origin == "null" && a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("any page can have no origin, and may read with the user's cookies")
			}
			_, response, err := s.dial(t, websocket4, "Origin", origin)
			if ok && err != nil || !ok && (err == nil || response == nil || response.StatusCode != 403) {
				t.Errorf("a WebSocket from %s: %v, %v", origin, response, err)
			}
		}
		if a := w.with(t).do(t, "GET", polling4, "", "Origin", "null"); a.status != 403 {
			t.Errorf("null was answered %d where it is not allowed", a.status)
		}
		if a := w.with(t, "--allowed-origins", "*").do(t, "GET", polling4, "", "Origin", "null"); a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("null was answered %d where all are allowed", a.status)
		}
	}},
	{"O19b", "an entry of allowed-origins that could never match stops the start and is named", func(t *testing.T, _ *world) {
		entries := []string{
			"example.com", "*.com", "*.example.com", "localhost:8100", "https://example.com/app", "https://example.com?x=1", "https://example.com#x", "https://u:p@example.com",
			"https://*", "https://*:8443", "https://*.com", "https://*.*.example.com", "https://a.*.example.com", "https://a*.example.com", "https://*.127.0.0.1", "https://", "https://example.com:",
			"https://example.com:99999", "https://::1", "https://127.1", "wss://example.com", "file:///x", "https://exa mple.com", "nul",
		}
		for _, entry := range entries {
			said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--allowed-origins", "https://fine.example,"+entry)
			if err == nil || !strings.Contains(said, "setting allowed-origins: \""+entry+"\" is no origin: ") || strings.Contains(said, "fine.example") {
				t.Errorf("%s: %v, %s", entry, err, said)
			}
		}
	}},
	{"O14", "requests for hosts that are not allowed are refused on every path and transport", func(t *testing.T, w *world) {
		flags := []string{"--allowed-hosts", "App.example.com,*.example.org:8443,[0:0::1],127.0.0.1", "--upstream", echoUpstream(t), "--allow-jsonp"}
		s := w.with(t, flags...)
		paths := []string{"/socket.io/?" + polling4, "/socket.io/?" + polling4 + "&j=0", "/socket.io/socket.io.js", "/", "/page", "/socket.io/nothing"}
		for host, ok := range map[string]bool{
			"app.example.com": true, "APP.EXAMPLE.COM.": true, "app.example.com:5000": true, "a.example.org:8443": true, "[::1]": true, "[::1]:5000": true, s.broker.HTTP: true,
			"evil.example": false, "evil.example:5000": false, "app.example.com.evil.example": false, "evilapp.example.com": false, "a.example.org": false, "a.b.example.org:8443": false,
			"[::2]": false, "localhost": false,
		} {
			for _, path := range paths {
				a := s.doAt(t, "GET", path, nil, "Host", host, "X-Forwarded-Host", "app.example.com")
				if ok && a.status == 403 || !ok && (a.status != 403 || !strings.Contains(a.body, "allowed-hosts")) {
					t.Errorf("%s of %s was answered %d %s", path, host, a.status, a.body)
				}
			}
			// A page of that host is same-origin for the browser.
			_, response, err := s.dial(t, websocket4, "Host", host, "Origin", "http://"+strings.TrimSuffix(host, "."))
			if refused := response != nil && response.StatusCode == 403; !ok && !refused || ok && refused && !strings.HasSuffix(host, ".") {
				t.Errorf("a WebSocket for %s: %v, %v", host, response, err)
			}
		}
		if n, err := s.broker.Metric("spanwire_http_rejected_requests_total", `listener="browsers"`, `reason="host"`); err != nil || n < 8*7 {
			t.Errorf("%v are counted, %v", n, err)
		}
		if err := s.broker.WaitFor(`setting=allowed-hosts`, limit); err != nil {
			t.Error(err)
		}
	}},
	{"O14b", "the host that a trusted proxy says is the one that is checked", func(t *testing.T, w *world) {
		s := w.with(t, "--allowed-hosts", "app.example.com:443", "--trusted-proxies", "127.0.0.0/8")
		for _, test := range []struct {
			host, forwarded, proto string
			want                   int
		}{
			{"backend:5000", "app.example.com", "https", 200}, {"backend:5000", "app.example.com", "http", 403}, {"backend:5000", "app.example.com:443", "http", 200},
			{"app.example.com", "evil.example", "https", 403}, {"app.example.com", "app.example.com, evil.example", "https", 403},
		} {
			a := s.do(t, "GET", polling4, "", "Host", test.host, "X-Forwarded-Host", test.forwarded, "X-Forwarded-Proto", test.proto)
			if a.status != test.want {
				t.Errorf("%+v was answered %d", test, a.status)
			}
		}
		if a := w.with(t).do(t, "GET", polling4, "", "Host", "evil.example"); a.status != 200 {
			t.Errorf("without the setting, a host was answered %d", a.status)
		}
	}},
	{"O14c", "an entry of allowed-hosts that could never match stops the start and is named", func(t *testing.T, _ *world) {
		for _, entry := range []string{"https://example.com", "example.com/", "*.com", "a.*.com", "::1", "example.com:x", "u@example.com", "1.2.3"} {
			said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--allowed-hosts", "fine.example,"+entry)
			if err == nil || !strings.Contains(said, "setting allowed-hosts: \""+entry+"\" is no host: ") {
				t.Errorf("%s: %v, %s", entry, err, said)
			}
		}
	}},
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
	{"O11", "the operators' listener shows no secret on any path", func(t *testing.T, _ *world) {
		secrets := []string{"first-long-secret", "second-long-secret", "third-long-secret"}
		b := bareBroker(t, "--service-tokens", secrets[0], "--cluster-secret="+secrets[1], "--nats-token", secrets[2])
		for path, want := range map[string]int{
			"/debug/pprof/cmdline": 404, "/debug/pprof/cmdline/": 404, "/debug/vars": 404, "/debug/pprof/": 200, "/debug/pprof/goroutine?debug=2": 200,
			"/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap?debug=1": 200, "/debug/pprof/heap": 200, "/debug/pprof/allocs?debug=1": 200,
			"/debug/pprof/threadcreate?debug=1": 200, "/debug/pprof/trace?seconds=0.2": 200, "/metrics": 200, "/status": 200, "/": 200, "/healthz": 200, "/readyz": 200,
		} {
			a := at(t, b.Operators, path)
			if a.status != want {
				t.Errorf("%s was answered %d", path, a.status)
			}
			for _, secret := range secrets {
				if strings.Contains(a.body, secret) {
					t.Errorf("%s shows %s", path, secret)
				}
			}
			csp := a.header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s has the headers %v", path, a.header)
			}
		}
		for i, name := range []string{"service-tokens", "cluster-secret", "nats-token"} {
			if err := b.WaitFor("process list", limit); err != nil || !strings.Contains(b.Log(), "setting="+name+"-file") || strings.Contains(b.Log(), secrets[i]) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"O11b", "the operators' listener answers addresses and known names only, on every path", func(t *testing.T, _ *world) {
		b := bareBroker(t, "--operator-hosts", "Ops.example.com,*.svc.example.com:9090")
		paths := []string{"/", "/metrics", "/status", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/goroutine", "/api/v1/services", "/nothing"}
		for host, ok := range map[string]bool{
			b.Operators: true, "127.0.0.1": true, "localhost:5001": true, "[::1]:5001": true, "192.0.2.77:5001": true, "ops.example.com": true, "OPS.example.com.:5001": true,
			"a.svc.example.com:9090": true, "evil.example": false, "evil.example:5001": false, "127.0.0.1.evil.example": false, "ops.example.com.evil.example": false,
			"a.svc.example.com": false, "localhost.evil.example": false,
		} {
			for _, path := range paths {
				a := at(t, b.Operators, path, "Host", host)
				if refused := a.status == 403 && strings.Contains(a.body, "operator-hosts"); refused == ok {
					t.Errorf("%s of %s was answered %d %s", path, host, a.status, a.body)
				}
			}
		}
		for _, path := range []string{"/metrics", "/debug/pprof/profile?seconds=1"} {
			if a := at(t, b.Operators, path, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); a.status != 403 {
				t.Errorf("%s was answered %d to a page of another origin", path, a.status)
			}
		}
		if n, err := b.Metric("spanwire_http_rejected_requests_total", `listener="operators"`, `reason="host"`); err != nil || n < 6*9 {
			t.Errorf("%v are counted, %v", n, err)
		}
	}},
	{"O11c", "beyond loopback the operators' listener needs credentials, but for health and readiness", func(t *testing.T, _ *world) {
		said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--service-address", "127.0.0.1:0", "--operator-address", "0.0.0.0:0")
		if err == nil || !strings.Contains(said, "setting operator-address") || !strings.Contains(said, "insecure-operators") || !strings.Contains(said, "operator-tls-client-ca") {
			t.Errorf("%v: %s", err, said)
		}
		callers := filepath.Join(t.TempDir(), "callers.yaml")
		if err := os.WriteFile(callers, []byte("callers:\n- {name: usual, tokens: [usual-long-secret-1]}\n- {name: prometheus, tokens: [query-long-secret-1], may: [query]}\n"+
			"- {name: oncall, tokens: [operate-long-secret], may: [operate]}\n- {name: emitter, tokens: [emitter-long-secret], may: [emit]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		b, outside := exposedBroker(t, "--service-callers", callers)
		for token, want := range map[string][2]int{
			"": {401, 401}, "nobody-long-secret": {401, 401}, "usual-long-secret-1": {200, 403}, "query-long-secret-1": {200, 403}, "operate-long-secret": {200, 200}, "emitter-long-secret": {403, 403},
		} {
			var headers []string
			if token != "" {
				headers = []string{"Authorization", "Bearer " + token}
			}
			for path, status := range map[string]int{
				"/healthz": 200, "/readyz": 200, "/metrics": want[0], "/status": want[0], "/": want[0], "/debug/pprof/": want[1], "/debug/pprof/goroutine": want[1], "/debug/pprof/profile?seconds=1": want[1],
			} {
				if a := at(t, outside, path, headers...); a.status != status {
					t.Errorf("%s with the token %q was answered %d, want %d: %s", path, token, a.status, status, a.body)
				}
			}
		}
		for _, path := range []string{"/metrics", "/", "/debug/pprof/goroutine"} {
			if a := at(t, b.Operators, path); a.status != 200 {
				t.Errorf("%s was answered %d to a program of the same machine", path, a.status)
			}
		}
		if n, err := b.Metric("spanwire_http_rejected_requests_total", `reason="unauthenticated"`); err != nil || n != 12 {
			t.Errorf("%v are counted, %v", n, err)
		}
		_, outside = exposedBroker(t, "--insecure-operators")
		for path, status := range map[string]int{"/healthz": 200, "/metrics": 200, "/status": 200, "/debug/pprof/": 401, "/api/v1/services": 403} {
			if a := at(t, outside, path); a.status != status {
				t.Errorf("%s was answered %d where operators are insecure", path, a.status)
			}
		}
	}},
	{"O11d", "secrets come from files", func(t *testing.T, _ *world) {
		folder := t.TempDir()
		file := func(name, text string) string {
			path := filepath.Join(folder, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		b := bareBroker(t, "--service-tokens-file", file("tokens", "first-long-secret\r\nsecond-long-secret\n"), "--cluster-secret-file", file("secret", "third-long-secret\n"))
		for token, want := range map[string]int{"": 401, "first-long-secret": 200, "second-long-secret": 200, "third-long-secret": 401, "first-long-secret,second-long-secret": 401} {
			if a := at(t, b.Operators, "/api/v1/services", "Authorization", "Bearer "+token); a.status != want {
				t.Errorf("the token %q was answered %d", token, a.status)
			}
		}
		if strings.Contains(b.Log(), "process list") || strings.Contains(b.Log(), "long-secret") {
			t.Errorf("the log says %s", b.Log())
		}
		empty := file("empty", "\n")
		for _, test := range []struct{ want, flag, value string }{
			{"no such file", "service-tokens-file", filepath.Join(folder, "nothing")}, {"empty", "nats-token-file", empty}, {"empty", "cluster-secret-file", empty}, {"empty", "service-tokens-file", empty},
			{"more than one line", "cluster-secret-file", file("lines", "third-long-secret\nthird-long-secret\n")}, {"empty", "nats-url-file", empty},
		} {
			said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--"+test.flag, test.value)
			if err == nil || !strings.Contains(said, "setting "+test.flag+": ") || !strings.Contains(said, test.want) || strings.Contains(said, "long-secret") {
				t.Errorf("%+v: %v, %s", test, err, said)
			}
		}
		said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--cluster-secret", "fourth-long-secret", "--cluster-secret-file", file("given", "third-long-secret"))
		if err == nil || !strings.Contains(said, "setting cluster-secret-file: cluster-secret is given too") || strings.Contains(said, "long-secret") {
			t.Errorf("both are given: %v, %s", err, said)
		}
	}},
}
