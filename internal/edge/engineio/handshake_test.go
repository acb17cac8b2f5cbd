// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// E1: every path of the list is served, each exactly, and no other; what is refused names the
// setting.
func TestServer_E1_Paths(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Paths = []string{"/engine.io/", "/chat", "/a/b/"} })
	for path, want := range map[string]int{
		"/engine.io/": 200, "/chat": 200, "/a/b/": 200, "/chat/": 404, "/a/b": 404, "/a/": 404, "/engine.io/chat": 404, "//chat": 404,
	} {
		response, err := w.client.Get("http://" + w.address + path + "?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want || want == 404 && string(body) != refused(3, "Nothing is served at this path, see the setting path") {
			t.Errorf("%s: got %d %s, want %d", path, response.StatusCode, body, want)
		}
	}
}

// E1: exactly one path is served by default.
func TestServer_E1_Path(t *testing.T) {
	w := newWorld(t, nil)
	for path, want := range map[string]int{
		"/engine.io/": 200, "/engine.io": 404, "/engine.io/x": 404, "/": 404, "/Engine.io/": 404, "/socket.io/": 404,
	} {
		response, err := w.client.Get("http://" + w.address + path + "?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, response.StatusCode, want)
		}
	}
}

// E2, E4, E5: the open packet, and what the handshake keeps.
func TestServer_E2_E4_E5_Open(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Replica = "AAAAAA" })
	r := w.do("GET", "EIO=4&transport=polling&t=abc&b64=1&token=x%20y&token=z", "", "X-Custom: 1", "x-custom: 2", "Cookie: a=b")
	o := parseOpen(t, r.body)
	if r.status != 200 || o.PingInterval != 25000 || o.PingTimeout != 20000 || o.MaxPayload != 1000000 || !slices.Equal(o.Upgrades, []string{"websocket"}) {
		t.Errorf("got %+v", r)
	}
	if !strings.HasPrefix(o.SID, "AAAAAA") || len(o.SID) != 30 {
		t.Errorf("sid %q", o.SID)
	}
	h := w.recorder(o.SID).session.Handshake()
	if h.URL != "/engine.io/?EIO=4&transport=polling&t=abc&b64=1&token=x%20y&token=z" || h.Method != "GET" || h.Host != w.address ||
		h.Address != "127.0.0.1" || h.Secure || h.CrossDomain || h.Transport != "polling" || h.EngineProtocol != 4 || h.IssuedMs == 0 {
		t.Errorf("got %+v", h)
	}
	if !slices.IsSortedFunc(h.Headers, func(a, b sio.Header) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("not sorted: %v", h.Headers)
	}
	for _, want := range []sio.Header{{Name: "X-Custom", Value: "1"}, {Name: "X-Custom", Value: "2"}, {Name: "Cookie", Value: "a=b"}} {
		if !slices.Contains(h.Headers, want) {
			t.Errorf("no %v in %v", want, h.Headers)
		}
	}
	s := w.websocket()
	if s.rec.session.Handshake().Transport != "websocket" || s.rec.session.Transport() != WebSocket {
		t.Error("not websocket")
	}
}

// E4, U9: upgrades are advertised only where there are any.
func TestServer_E4_U9_Upgrades(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   int
	}{
		"both":          {func(*Options) {}, 1},
		"not allowed":   {func(o *Options) { o.AllowUpgrades = false }, 0},
		"polling alone": {func(o *Options) { o.Transports = []Transport{Polling} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.change)
			r := w.do("GET", "EIO=4&transport=polling", "")
			if o := parseOpen(t, r.body); len(o.Upgrades) != c.want || !strings.Contains(r.body, `"upgrades":[`) {
				t.Errorf("got %q", r.body)
			}
			p := w.polling()
			_, response, err := w.dialSocket("EIO=4&transport=websocket&sid="+p.sid, nil)
			if (err == nil) != (c.want == 1) {
				t.Errorf("upgrade: %v %v", response, err)
			}
			w.wantOpen(p.rec)
		})
	}
}

// E3, E6, E7, E8, E9, H8, H9, H12, H15: what is refused, in the order of the checks, and how.
func TestServer_E3_E6_E9_Refused(t *testing.T) {
	w := newWorld(t, nil)
	p, s := w.polling(), w.websocket()
	unknown, session := refused(0, "Transport unknown"), refused(1, "Session ID unknown")
	method, bad, version := refused(2, "Bad handshake method"), refused(3, "Bad request"), refused(5, "Unsupported protocol version")
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		name, method, query string
		status              int
		body                string
	}{
		{"no transport", "GET", "EIO=4", 400, unknown},
		{"transport abc", "GET", "EIO=4&transport=abc", 400, unknown},
		{"transport webtransport", "GET", "EIO=4&transport=webtransport", 400, unknown},
		{"E9 transport __proto__", "GET", "EIO=4&transport=__proto__", 400, unknown},
		{"E9 transport constructor", "GET", "EIO=4&transport=constructor", 400, unknown},
		{"H9 transport twice", "GET", "EIO=4&transport=polling&transport=websocket", 400, unknown},
		{"transport before sid", "GET", "EIO=4&transport=abc&sid=abc", 400, unknown},
		{"sid unknown", "GET", "EIO=4&transport=polling&sid=abc", 400, session},
		{"sid of the right form", "GET", "EIO=4&transport=polling&sid=" + string(sio.NewSessionID("AAAAAA")), 400, session},
		{"H8 sid __proto__", "GET", "EIO=4&transport=polling&sid=__proto__", 400, session},
		{"H8 long sid", "GET", "EIO=4&transport=polling&sid=" + long, 400, session},
		{"empty sid", "GET", "EIO=4&transport=polling&sid=", 400, session},
		{"sid twice", "GET", p.query() + "&sid=" + p.sid, 400, session},
		{"POST to an unknown sid", "POST", "EIO=4&transport=polling&sid=abc", 400, session},
		{"E7 POST without sid", "POST", "EIO=4&transport=polling", 400, method},
		{"E7 PUT without sid", "PUT", "EIO=4&transport=polling", 400, method},
		{"E7 DELETE without sid", "DELETE", "EIO=4&transport=polling", 400, method},
		{"E7 OPTIONS without sid", "OPTIONS", "EIO=4&transport=polling", 400, method},
		{"E7 HEAD without sid", "HEAD", "EIO=4&transport=polling", 400, ""},
		{"method before version", "POST", "EIO=3&transport=polling", 400, method},
		{"websocket without Upgrade", "GET", "EIO=4&transport=websocket", 400, bad},
		{"E3 EIO absent", "GET", "transport=polling", 400, version},
		{"E3 EIO=3", "GET", "EIO=3&transport=polling", 400, version},
		{"H12 EIO=5", "GET", "EIO=5&transport=polling", 400, version},
		{"E3 EIO=abc", "GET", "EIO=abc&transport=polling", 400, version},
		{"E3 EIO twice", "GET", "EIO=4&EIO=4&transport=polling", 400, version},
		{"E8 PUT with sid", "PUT", p.query(), 405, ""},
		{"E8 DELETE with sid", "DELETE", p.query(), 405, ""},
		{"E8 OPTIONS with sid", "OPTIONS", p.query(), 405, ""},
		{"E8 HEAD with sid", "HEAD", p.query(), 405, ""},
		{"E6 other transport", "GET", "EIO=4&transport=websocket&sid=" + p.sid, 400, bad},
		{"E6 polling of a websocket session", "GET", "EIO=4&transport=polling&sid=" + s.sid, 400, bad},
		{"E6 POST to a websocket session", "POST", "EIO=4&transport=polling&sid=" + s.sid, 400, bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.do(c.method, c.query, "")
			if got.status != c.status || got.body != c.body {
				t.Errorf("got %d %q, want %d %q", got.status, got.body, c.status, c.body)
			}
			if want := "application/json"; c.body != "" && got.header.Get("Content-Type") != want {
				t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
			}
			if c.status == 405 && got.header.Get("Allow") != "GET, POST" {
				t.Errorf("Allow %q", got.header.Get("Allow"))
			}
		})
	}
	w.wantOpen(p.rec)
	w.wantOpen(s.rec)
}

// H10, H11, H15: a refused WebSocket handshake gets a bare message, and harms no session.
func TestServer_H10_H11_H15_RefusedWebSocket(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	for name, c := range map[string]struct{ query, headers, body string }{
		"unknown transport":            {"EIO=4&transport=abc", "", "Transport unknown"},
		"H10 transport=polling":        {"EIO=4&transport=polling", "", "Bad request"},
		"H10 transport=polling, sid":   {p.query(), "", "Bad request"},
		"H11 unknown sid":              {"EIO=4&transport=websocket&sid=abc", "", "Session ID unknown"},
		"E3 EIO=3":                     {"EIO=3&transport=websocket", "", "Unsupported protocol version"},
		"H15 bad key":                  {"EIO=4&transport=websocket", "Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n", "Bad request"},
		"H15 no version":               {"EIO=4&transport=websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Bad request"},
		"H15 no version, with a sid":   {"EIO=4&transport=websocket&sid=" + p.sid, "", "Bad request"},
		"W10 rubbish in the handshake": {"EIO=4&transport=websocket", "Sec-WebSocket-Key: \xff\xfe\r\nSec-WebSocket-Version: x\r\n", "Bad request"},
	} {
		t.Run(name, func(t *testing.T) {
			response, _ := w.raw("GET /engine.io/?" + c.query + " HTTP/1.1\r\nHost: " + w.address +
				"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + c.headers + "\r\n")
			body := make([]byte, 100)
			n, _ := response.Body.Read(body)
			// Of a revision that is not accepted people learn more, in the one answer that no
			// client reads.
			message, _, _ := strings.Cut(string(body[:n]), ": ")
			if response.StatusCode != 400 || message != c.body || response.Header.Get("Content-Type") != "text/html" || !response.Close {
				t.Errorf("got %v %q", response, body[:n])
			}
		})
	}
	w.wantOpen(p.rec)
	p.wantUsable()
}

// wantUsable tells that the session still carries messages.
func (p *poller) wantUsable() {
	p.t.Helper()
	p.want(p.post("4alive"), 200, "ok")
	if r := p.get(); r.status != 200 || !strings.Contains(r.body, "4alive") {
		p.t.Fatalf("got %+v", r)
	}
}

// E6: the disabled transport is unknown, with and without a session.
func TestServer_Transports(t *testing.T) {
	polling := newWorld(t, func(o *Options) { o.Transports = []Transport{Polling} })
	if _, response, err := polling.dialSocket("EIO=4&transport=websocket", nil); err == nil || response.StatusCode != 400 {
		t.Errorf("got %v %v", response, err)
	}
	websockets := newWorld(t, func(o *Options) { o.Transports = []Transport{WebSocket} })
	websockets.want(websockets.do("GET", "EIO=4&transport=polling", ""), 400, refused(0, "Transport unknown"))
	websockets.websocket()
}

// H16: origins are checked on both transports, before all else, and the answer says what to change.
// C1: allowed ones get CORS.
func TestServer_H16_Origins(t *testing.T) {
	none, listed := func(*Options) {}, func(o *Options) { o.Origins = []string{"https://good.com", "http://other.test:8080"} }
	all := func(o *Options) { o.Origins = []string{"*"} }
	for _, c := range []struct {
		name   string
		change func(*Options)
		origin string
		ok     bool
		cors   string
	}{
		{"same", none, "http://SELF", true, ""},
		{"same, upper case", none, "HTTP://SELF", true, ""},
		{"other scheme", none, "https://SELF", false, ""},
		{"other port", none, "http://127.0.0.1:1", false, ""},
		{"default port", none, "http://127.0.0.1", false, ""},
		{"null", none, "null", false, ""},
		{"evil", none, "http://evil.com", false, ""},
		{"with a path", none, "http://SELF/", false, ""},
		{"with a user", none, "http://good@SELF", false, ""},
		{"rubbish", none, "%%%", false, ""},
		{"listed", listed, "https://good.com", true, "https://good.com"},
		{"listed, upper case and port", listed, "HTTPS://GOOD.com:443", true, "HTTPS://GOOD.com:443"},
		{"listed with port", listed, "http://other.test:8080", true, "http://other.test:8080"},
		{"listed, and same", listed, "http://SELF", true, ""},
		{"listed on another port", listed, "https://good.com:8443", false, ""},
		{"listed on another scheme", listed, "http://good.com", false, ""},
		{"look-alike sub-domain", listed, "https://good.com.evil.com", false, ""},
		{"look-alike prefix", listed, "https://evilgood.com", false, ""},
		{"sub-domain", listed, "https://a.good.com", false, ""},
		{"null, listed", listed, "null", false, ""},
		{"any", all, "http://evil.com", true, "*"},
		{"any, null", all, "null", true, "*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.change)
			origin := strings.ReplaceAll(c.origin, "SELF", w.address)
			cors := strings.ReplaceAll(c.cors, "SELF", w.address)
			r := w.do("GET", "EIO=4&transport=polling", "", "Origin: "+origin)
			if (r.status == 200) != c.ok || r.header.Get("Access-Control-Allow-Origin") != cors {
				t.Errorf("polling: got %+v", r)
			}
			if got, want := r.header.Get("Access-Control-Allow-Credentials"), cors != "" && cors != "*"; (got == "true") != want {
				t.Errorf("credentials: %q", got)
			}
			if !c.ok && (r.status != 403 || !strings.Contains(r.body, strings.ReplaceAll(origin, `"`, `\"`)) ||
				!strings.Contains(r.body, map[bool]string{true: settingProxies, false: "allowed-origins"}[c.name == "other scheme"]) || !strings.HasPrefix(r.body, `{"code":4,`)) {
				t.Errorf("got %+v", r)
			}
			_, response, err := w.dialSocket("EIO=4&transport=websocket", http.Header{"Origin": {origin}})
			if (err == nil) != c.ok || !c.ok && (response.StatusCode != 403 || response.Header.Get("Content-Type") != "application/json") {
				t.Errorf("websocket: got %+v %v", response, err)
			}
		})
	}
}

// H16: no Origin passes, unless one is required; a browser's GET to its own origin has none, and
// says so.
func TestServer_H16_RequireOrigin(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.RequireOrigin = true })
	if r := w.do("GET", "EIO=4&transport=polling", ""); r.status != 403 || !strings.Contains(r.body, "require-origin") {
		t.Errorf("none: got %+v", r)
	}
	if r := w.do("GET", "EIO=4&transport=polling", "", "Sec-Fetch-Site: same-origin"); r.status != 200 {
		t.Errorf("same-origin: got %+v", r)
	}
	if r := w.do("GET", "EIO=4&transport=polling", "", "Sec-Fetch-Site: cross-site"); r.status != 403 {
		t.Errorf("cross-site: got %+v", r)
	}
	if r := w.do("GET", "EIO=4&transport=polling", "", "Origin: http://"+w.address); r.status != 200 {
		t.Errorf("same: got %+v", r)
	}
}

// H16: two Origin headers are refused even when the first is fine, and a long one is cut in the
// answer.
func TestServer_H16_OddOrigins(t *testing.T) {
	w := newWorld(t, nil)
	if r := w.do("GET", "EIO=4&transport=polling", "", "Origin: http://"+w.address, "Origin: http://evil.com"); r.status != 403 {
		t.Errorf("two: got %+v", r)
	}
	if r := w.do("GET", "EIO=4&transport=polling", "", "Origin: http://"+strings.Repeat("x", 10_000)); r.status != 403 || len(r.body) > 500 {
		t.Errorf("long: got %d of %d bytes", r.status, len(r.body))
	}
}

// The session belongs to an origin only by the check, so it is made for every request of it, and
// errors carry CORS, too.
func TestServer_H16_EveryRequest(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Origins = []string{"https://good.com"} })
	p := w.polling()
	if r := p.post("4x", "Origin: http://evil.com"); r.status != 403 {
		t.Errorf("got %+v", r)
	}
	w.wantOpen(p.rec)
	r := w.do("GET", "EIO=4&transport=abc", "", "Origin: https://good.com")
	if r.status != 400 || r.header.Get("Access-Control-Allow-Origin") != "https://good.com" || r.header.Get("Vary") != "Origin" {
		t.Errorf("got %+v", r)
	}
}

// C1: the question before a request from an allowed origin is answered; others are refused.
func TestServer_C1_Preflight(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Origins = []string{"https://good.com"} })
	r := w.do("OPTIONS", "EIO=4&transport=polling", "", "Origin: https://good.com", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: x-a, x-b")
	if r.status != 204 || r.header.Get("Access-Control-Allow-Methods") != "GET,HEAD,PUT,PATCH,POST,DELETE" ||
		r.header.Get("Access-Control-Allow-Headers") != "x-a, x-b" || r.header.Get("Access-Control-Allow-Origin") != "https://good.com" {
		t.Errorf("got %+v", r)
	}
	if r := w.do("OPTIONS", "EIO=4&transport=polling", "", "Origin: https://evil.com"); r.status != 403 {
		t.Errorf("got %+v", r)
	}
}

// C1: browsers may learn how long to remember the answer.
func TestServer_C1_MaxAge(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"": func(*Options) {}, "600": func(o *Options) { o.CORSMaxAge = 10 * time.Minute },
	} {
		w := newWorld(t, func(o *Options) {
			o.Origins = []string{"https://good.com"}
			change(o)
		})
		r := w.do("OPTIONS", "EIO=4&transport=polling", "", "Origin: https://good.com", "Access-Control-Request-Method: POST")
		if r.status != 204 || r.header.Get("Access-Control-Max-Age") != want {
			t.Errorf("want %q, got %+v", want, r)
		}
	}
}

// Each refusal is logged with its cause, the address and the setting that governs it; a flood of
// one cause is one line a second, and hides no other.
func TestServer_Refused_Log(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		var log bytes.Buffer
		w.engine.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 5 {
			w.do("GET", "EIO=4&transport=polling", "", "Origin: http://evil.com")
			w.do("GET", "EIO=4&transport=polling&sid=abc", "")
		}
		time.Sleep(time.Second)
		w.do("GET", "EIO=4&transport=polling", "", "Origin: http://evil.com/"+strings.Repeat("x", 1000))
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines: %s", len(lines), &log)
		}
		for i, want := range []string{
			`level=WARN msg="request rejected: the page is of another origin than the broker; if it may connect, add its origin to the setting allowed-origins" reason=origin address=192.0.2.7 method=GET suppressed=0 setting=allowed-origins origin=http://evil.com host=server.test path=/engine.io/`,
			`level=INFO msg="request rejected: no session has this id: it has ended, or its replica was restarted; clients open a new one by themselves" reason="session unknown" address=192.0.2.7 method=GET suppressed=0`,
			`reason=origin address=192.0.2.7 method=GET suppressed=4 `,
		} {
			if !strings.Contains(lines[i], want) || len(lines[i]) > 600 {
				t.Errorf("got %s, want %s", lines[i], want)
			}
		}
		if w.obs.refused["origin"] != 6 || w.obs.refused["session unknown"] != 5 {
			t.Errorf("counted %v", w.obs.refused)
		}
	})
}

// No refusal is logged without what is wrong: the words are of the request that it rejects.
func TestServer_Refused_Say(t *testing.T) {
	for _, c := range []struct {
		method, query, body string
		headers             []string
		change              func(*Options)
		want                string
	}{
		{method: "GET", query: "EIO=4&transport=pigeon", want: "a transport that is none of polling, websocket"},
		{method: "GET", query: "EIO=4&transport=websocket", change: func(o *Options) { o.Transports = []Transport{Polling} }, want: "the setting transports leaves out"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Connection: Upgrade", "Upgrade: websocket"}, want: "does not say transport=websocket"},
		{method: "POST", query: "EIO=4&transport=polling", want: "only a GET opens a session"},
		{method: "GET", query: "EIO=4&transport=polling&j=0", want: "set allow-jsonp"},
		{method: "GET", query: "EIO=4&transport=polling", change: func(o *Options) { o.RequireOrigin = true }, want: "it has no Origin"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Origin: https://server.test"}, want: "X-Forwarded-Proto, and add its address"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Origin: https://server.test"},
			change: func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, want: "does not send X-Forwarded-Proto: https"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Origin: https://app.example.com", "Host: broker", "X-Forwarded-For: 192.0.2.1"},
			want: "a proxy in front replaces the Host header"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Origin: https://app.example.com", "Host: 10.1.2.3:80", "Via: 1.1 front"},
			want: "a proxy in front replaces the Host header"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Origin: https://evil.example", "X-Forwarded-For: 198.51.100.1", "X-Forwarded-Host: localhost:8100"},
			change: func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, want: "the page is of another origin"},
		{method: "GET", query: "EIO=4&transport=polling", headers: []string{"Origin: https://evil.example"},
			want: "the page is of another origin"},
	} {
		inBubble(t, c.change, func(t *testing.T, w *world) {
			var log bytes.Buffer
			w.engine.log = slog.New(slog.NewTextHandler(&log, nil))
			w.do(c.method, c.query, c.body, c.headers...)
			if line := log.String(); !strings.Contains(line, "request rejected: ") || !strings.Contains(line, c.want) {
				t.Errorf("%s %s %v: got %q, want %s", c.method, c.query, c.headers, line, c.want)
			}
		})
	}
}

// A session that ends for a limit of its body says so, not that a packet could not be read.
func TestServer_TooManyPackets_Log(t *testing.T) {
	inBubble(t, func(o *Options) { o.MaxPacketsPerPayload = 2 }, func(t *testing.T, w *world) {
		var log bytes.Buffer
		w.engine.log = slog.New(slog.NewTextHandler(&log, nil))
		w.do("POST", "EIO=4&transport=polling&sid="+w.polling().sid, "4a\x1e4b\x1e4c")
		want := "session closed: the browser sent more packets in one body than max-packets-per-payload allows"
		if got := log.String(); !strings.Contains(got, want) || strings.Contains(got, "could not be read") {
			t.Errorf("got %s", got)
		}
	})
}

// H15: a handshake with very many tokens is answered in time that grows with their number alone.
func TestServer_H15_ManyTokens(t *testing.T) {
	w := newWorld(t, nil)
	const many = 20_000
	for _, line := range []string{
		"Sec-WebSocket-Extensions: " + strings.Repeat("a; b=c, ", many), "Sec-WebSocket-Extensions: " + strings.Repeat("a \t ", many),
		"Sec-WebSocket-Protocol: " + strings.Repeat("a \t, ", many) + "b", "Connection: " + strings.Repeat("x, ", many),
	} {
		response, _ := w.raw("GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: " + w.address + "\r\n" + line +
			"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if response.StatusCode != 101 {
			t.Errorf("%.30s: got %v", line, response)
		}
	}
}

// W7: the first subprotocol is echoed.
func TestServer_W7_Subprotocol(t *testing.T) {
	w := newWorld(t, nil)
	s, response, err := w.dialSocket("EIO=4&transport=websocket", http.Header{"Sec-Websocket-Protocol": {"a, b"}})
	if err != nil || response.Header.Get("Sec-Websocket-Protocol") != "a" {
		t.Fatalf("got %v %v", response, err)
	}
	if kind, data, err := s.conn.ReadMessage(); kind != websocket.TextMessage || err != nil {
		t.Errorf("got %q %v", data, err)
	}
}

// All faults of the options are reported at once.
func TestOptions_Validate(t *testing.T) {
	o := DefaultOptions()
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	err := (&Options{Paths: []string{"x"}, DrainSpread: -1, Transports: []Transport{"pigeon"}, Origins: []string{"good.com", "https://*.com", "null", "*", "http://x"}}).Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"path", "ping-interval", "ping-timeout", "max-payload", "pigeon", `"good.com"`, `"https://*.com"`, "drain-spread"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), `"*"`) || strings.Contains(err.Error(), `"null"`) || strings.Contains(err.Error(), `"http://x"`) {
		t.Error(err)
	}
}
