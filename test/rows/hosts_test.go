// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"strings"
	"testing"

	"github.com/spanwire/spanwire/test/process"
)

// at asks for a path of an address.
func at(t *testing.T, address, path string, headers ...string) answer {
	t.Helper()
	s := &server{broker: &process.Broker{HTTP: address}}
	return s.doAt(t, "GET", path, nil, headers...)
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

var hostRows = []row{
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
}
