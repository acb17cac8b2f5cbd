// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// handshake is what a handler tells of the request that opened a session.
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

// handshake opens a session on WebSocket with more in its query and headers, and tells what the handler sees of it.
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
		if n, err := s.broker.Metric("spanwire_http_refused_total", `listener="browsers"`, `reason="host"`); err != nil || n < 8*7 {
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
		if n, err := s.broker.Metric("spanwire_http_refused_total", `reason="method"`); err != nil || n != 12 {
			t.Errorf("%v are counted, %v", n, err)
		}
	}},
}
