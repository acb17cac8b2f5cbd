// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// C9: who a request is from is believed of trusted proxies alone, and read from the nearest to the
// farthest.
func TestServer_C9_Caller(t *testing.T) {
	trusting, wary := &Server{o: Options{TrustedProxies: prefixes("10.0.0.0/8", "fd00::/8")}}, &Server{}
	for _, c := range []struct {
		name, remote, headers, want string
		server                      *Server
	}{
		{"nobody is trusted", "10.0.0.1:1", "For: 192.0.2.1|Proto: https|Host: evil.test", "10.0.0.1 http own.test", wary},
		{"not this one", "192.0.2.9:1", "For: 192.0.2.1|Proto: https|Host: evil.test", "192.0.2.9 http own.test", trusting},
		{"trusted and silent", "10.0.0.1:1", "", "10.0.0.1 http own.test", trusting},
		{"one proxy", "10.0.0.1:1", "For: 192.0.2.1|Proto: https|Host: app.test", "192.0.2.1 https app.test", trusting},
		{"over IPv6", "[fd00::1]:1", "For: 2001:db8::1", "2001:db8::1 http own.test", trusting},
		{"mapped IPv4", "[::ffff:10.0.0.1]:1", "For: 192.0.2.1", "192.0.2.1 http own.test", trusting},
		{"two proxies", "10.0.0.1:1", "For: 192.0.2.1, 10.0.0.2|Proto: https, http|Host: app.test, inner.test", "192.0.2.1 https app.test", trusting},
		{"two proxies, two lines", "10.0.0.1:1", "For: 192.0.2.1|For: 10.0.0.2", "192.0.2.1 http own.test", trusting},
		{"two proxies, one scheme", "10.0.0.1:1", "For: 192.0.2.1, 10.0.0.2|Proto: https", "192.0.2.1 https own.test", trusting},
		{"the browser's own claims", "10.0.0.1:1", "For: 127.0.0.1, 192.0.2.1|Proto: https, http|Host: evil.test, app.test", "192.0.2.1 http app.test", trusting},
		{"a claim to be a proxy", "10.0.0.1:1", "For: 198.51.100.1, 10.9.9.9, 192.0.2.1", "192.0.2.1 http own.test", trusting},
		{"all are proxies", "10.0.0.1:1", "For: 10.0.0.3, 10.0.0.2", "10.0.0.3 http own.test", trusting},
		{"rubbish", "10.0.0.1:1", "For: 192.0.2.1, unknown", "10.0.0.1 http own.test", trusting},
		{"rubbish behind a proxy", "10.0.0.1:1", "For: unknown, 10.0.0.2", "10.0.0.2 http own.test", trusting},
		{"empty", "10.0.0.1:1", "For: |Proto: |Host: ", "10.0.0.1 http own.test", trusting},
		{"with ports", "10.0.0.1:1", "For: 192.0.2.1:4711, [fd00::2]:443", "192.0.2.1 http own.test", trusting},
		{"in brackets", "10.0.0.1:1", "For: [2001:db8::1]", "2001:db8::1 http own.test", trusting},
		{"a port", "10.0.0.1:1", "Port: 8443|Proto: https|Host: app.test", "10.0.0.1 https app.test:8443", trusting},
		{"a port without a host", "10.0.0.1:1", "Port: 8080", "10.0.0.1 http own.test:8080", trusting},
		{"a port beside that of the host", "10.0.0.1:1", "Port: 80|Host: app.test:8443", "10.0.0.1 http app.test:8443", trusting},
		{"a port of an IPv6 host", "10.0.0.1:1", "Port: 8443|Host: [fd00::3]", "10.0.0.1 http [fd00::3]:8443", trusting},
		{"the default port", "10.0.0.1:1", "Port: 443|Proto: https", "10.0.0.1 https own.test:443", trusting},
		{"the port of an inner proxy", "10.0.0.1:1", "Port: 80|Proto: https", "10.0.0.1 https own.test", trusting},
		{"ports of two proxies", "10.0.0.1:1", "For: 192.0.2.1, 10.0.0.2|Port: 8443, 81|Proto: https", "192.0.2.1 https own.test:8443", trusting},
		{"no port", "10.0.0.1:1", "Port: 70000|Port: x", "10.0.0.1 http own.test", trusting},
		{"an untrusted port", "192.0.2.9:1", "Port: 8443", "192.0.2.9 http own.test", trusting},
		{"no address", "@", "For: 192.0.2.1", "@ http own.test", trusting},
	} {
		r := &http.Request{RemoteAddr: c.remote, Host: "own.test", Header: http.Header{}}
		if c.headers != "" {
			for h := range strings.SplitSeq(c.headers, "|") {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Add("X-Forwarded-"+name, value)
			}
		}
		got, scheme := c.server.callerFromRequest(r), "http"
		if got.secure {
			scheme = "https"
		}
		if text := got.address + " " + scheme + " " + got.host; text != c.want {
			t.Errorf("%s: got %s, want %s", c.name, text, c.want)
		}
	}
}

// C9, H16: behind a trusted proxy the handshake and the check of origins go by the browser's side
// of it; without trust not.
func TestServer_C9_H16_Forwarded(t *testing.T) {
	headers := []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: app.test", "Origin: https://app.test"}
	w := newWorld(t, func(o *Options) { o.TrustedProxies = prefixes("127.0.0.1/32") })
	r := w.do("GET", "EIO=4&transport=polling", "", headers...)
	if r.status != 200 {
		t.Fatalf("got %+v", r)
	}
	h := w.recorder(parseOpen(t, r.body).SID).session.Handshake()
	if h.Address != "192.0.2.1" || !h.Secure || h.Host != "app.test" || h.CrossDomain {
		t.Errorf("got %+v", h)
	}
	if r := w.do("GET", "EIO=4&transport=polling", "", append(headers[:3:3], "Origin: http://app.test")...); r.status != 403 {
		t.Errorf("other scheme: got %+v", r)
	}
	if r := w.do("GET", "EIO=4&transport=polling", "", append(headers[:3:3], "Origin: http://"+w.address)...); r.status != 403 {
		t.Errorf("the proxy's side: got %+v", r)
	}
	wary := newWorld(t, nil)
	if r := wary.do("GET", "EIO=4&transport=polling", "", headers...); r.status != 403 || !strings.Contains(r.body, "https://app.test") {
		t.Errorf("untrusted: got %+v", r)
	}
	_, response, err := wary.dialSocket("EIO=4&transport=websocket", http.Header{"X-Forwarded-Host": {"app.test"}, "Origin": {"http://app.test"}})
	if err == nil || response.StatusCode != 403 {
		t.Errorf("untrusted websocket: got %v %v", response, err)
	}
}
