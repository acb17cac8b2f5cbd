// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/origin"
)

// Behind a proxy a page of the broker's own origin is refused when the proxy alters what the origin
// is made of, or says it in headers that are not believed. Then allowed-origins would hide the
// mistake, so that the refusal names what is wrong in its place.

const settingProxies = "trusted-proxies"

// originRefused names what was received and what to change.
func (s *Server) originRefused(r *http.Request) *refusal {
	page := r.Header.Get("Origin")
	why := &refusal{code: codeForbidden, status: http.StatusForbidden, cause: "origin", setting: "allowed-origins",
		say: "the page is of another origin than the broker; if it may connect, add its origin to the setting allowed-origins"}
	if page == "" {
		why.setting, why.message = "require-origin", "A request without Origin is not allowed: clear the setting require-origin"
		why.say = "it has no Origin, so that no browser sent it; clear the setting require-origin to let other programs in"
		return why
	}
	advice := "add it to the setting allowed-origins"
	if said := s.proxyAdvice(r, page); said != "" {
		why.setting, why.say, advice = settingProxies, said, said
	}
	why.message = "Origin " + strconv.Quote(loglimit.Cut(page)) + " is not allowed: " + advice
	return why
}

// proxyAdvice says what is wrong with a proxy in front if the origin is that of the page that the
// proxy serves. It is empty when nothing tells that.
func (s *Server) proxyAdvice(r *http.Request, said string) string {
	page, err := url.Parse(strings.ToLower(said))
	if _, ok := origin.Normal(said); !ok || err != nil {
		return ""
	}
	c, trusted := s.callerFromRequest(r), s.trusts(origin.Address(r.RemoteAddr))
	switch {
	case !trusted && forwardedOrigin(r, said):
		return "X-Forwarded-Host and X-Forwarded-Proto say that it is the broker's own, but the proxy that sent them is not trusted: add its address " +
			"to the setting trusted-proxies"
	case strings.EqualFold(page.Host, c.host) && page.Scheme == "https" && !c.secure && trusted:
		return "it is the broker's own but for https: TLS ends at a proxy in front, which is in the setting trusted-proxies but does not send " +
			"X-Forwarded-Proto: https; have it do so"
	case strings.EqualFold(page.Host, c.host) && page.Scheme == "https" && !c.secure:
		return "it is the broker's own but for https: TLS ends at a proxy in front; have it send X-Forwarded-Proto, and add its address to the setting " +
			"trusted-proxies"
	case page.Hostname() == strings.ToLower(origin.Address(c.host)) && (proxied(r) || !c.asksHere(r)):
		return "it is the broker's own but for scheme or port: a proxy in front changes the Host header; have it pass Host on with its port (in nginx " +
			"$http_host), or send X-Forwarded-Host and X-Forwarded-Proto and add its address to the setting trusted-proxies"
	case trusted && r.Header.Get("X-Forwarded-Host") != "": // the proxy tells the host that the browser asked for
		return ""
	case proxied(r) && (c.asksHere(r) || inward(c.host)):
		return "a proxy in front replaces the Host header; have it pass Host on (in nginx proxy_set_header Host $http_host), or send X-Forwarded-Host and " +
			"add its address to the setting trusted-proxies; a page of another site belongs in allowed-origins"
	}
	return ""
}

// forwardedOrigin tells whether the origin is the one that a proxy says the browser used. Proxies
// that say the host alone count too.
func forwardedOrigin(r *http.Request, page string) bool {
	host, scheme := said(r.Header["X-Forwarded-Host"], 1), strings.ToLower(said(r.Header["X-Forwarded-Proto"], 1))
	if host == "" && scheme == "" {
		return false
	}
	if host == "" {
		host = r.Host
	}
	host = withPort(host, scheme == "https", said(r.Header["X-Forwarded-Port"], 1))
	normal, _ := origin.Normal(page)
	if scheme == "" {
		return normal == origin.Of("https", host) || normal == origin.Of("http", host)
	}
	return normal == origin.Of(scheme, host)
}

// proxied tells whether a proxy shows itself in the request.
func proxied(r *http.Request) bool {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	// as nginx speaks unless it is configured otherwise, and no browser does
	return r.ProtoMinor == 0 && r.ProtoMajor == 1
}

// inward tells whether a host leads nowhere from the browsers of others, as names do that proxies
// give their backends: then a browser hardly asked for it.
func inward(host string) bool {
	name := strings.Trim(origin.Address(host), "[]")
	if address, err := netip.ParseAddr(name); err == nil {
		return address.IsLoopback() || address.IsPrivate()
	}
	return !strings.Contains(name, ".")
}

// asksHere tells whether the port of Host is the one at which the request came in.
func (c *caller) asksHere(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	_, port, err := net.SplitHostPort(local.String())
	return err != nil || strings.HasSuffix(c.ownOrigin(), ":"+port)
}
