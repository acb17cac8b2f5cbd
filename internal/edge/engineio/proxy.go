// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanwire/spanwire/internal/origin"
)

// Behind a proxy every request comes from the proxy's address, by plain HTTP. What the proxy says
// of the browser in X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Port is
// believed when the request's own address is one of TrustedProxies, and else ignored: anybody can
// write such headers.
//
// X-Forwarded-For is read from the right, where the nearest proxy wrote: the first address that is
// no trusted proxy is the browser's. What stands left of it is the browser's own claim. The other
// headers may have one value for each proxy, or one for all; the value is taken that the same proxy
// wrote which saw the browser.
//
// X-Forwarded-Port completes a host without a port. It gives way to a port in the host, and is
// ignored when it is the default port of the other scheme: a balancer behind the proxy that ends
// TLS writes its own port there, 80, beside the scheme https of the first.

// caller is who sent a request, as far as can be believed.
type caller struct {
	address string
	host    string
	secure  bool
}

// AskedHost tells the host that a browser asked for, with its port if it named one, and whether it
// came by TLS. What trusted proxies say of that is believed.
func AskedHost(r *http.Request, proxies []netip.Prefix) (secure bool, host string) {
	c := callerFromRequest(r, proxies)
	return c.secure, c.host
}

// SaidByProxy tells headers that a handler or an application takes for the word of a proxy, and
// that nobody said who is believed. It also tells those of the broker's own, which are never a
// browser's nor a proxy's. In many environments of applications "_" and "-" are the same, so that a
// browser can speak for a proxy with "_", which no proxy writes and some pass on.
func SaidByProxy(name string, trusted bool) bool {
	lower := strings.ToLower(name)
	plain := strings.ReplaceAll(lower, "_", "-")
	if strings.HasPrefix(plain, "x-spanwire-") {
		return true
	}
	spoken := strings.HasPrefix(plain, "x-forwarded-") || plain == "x-real-ip" || plain == "forwarded"
	return spoken && !(trusted && plain == lower)
}

// callerFromRequest tells who sent a request.
func (s *Server) callerFromRequest(r *http.Request) caller {
	return callerFromRequest(r, s.o.TrustedProxies)
}

func callerFromRequest(r *http.Request, proxies []netip.Prefix) caller {
	c := caller{address: origin.Address(r.RemoteAddr), host: r.Host, secure: r.TLS != nil}
	if !origin.Trusted(proxies, c.address) {
		return c
	}
	forwarded, hops := elements(r.Header["X-Forwarded-For"]), 1
	for _, value := range slices.Backward(forwarded) {
		address := origin.Address(value)
		if _, err := netip.ParseAddr(address); err != nil {
			break // what stands further left cannot be trusted either
		}
		c.address = address
		if !origin.Trusted(proxies, address) {
			break
		}
		hops++
	}
	if scheme := said(r.Header["X-Forwarded-Proto"], hops); scheme != "" {
		c.secure = strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "wss")
	}
	if host := said(r.Header["X-Forwarded-Host"], hops); host != "" {
		c.host = host
	}
	c.host = withPort(c.host, c.secure, said(r.Header["X-Forwarded-Port"], hops))
	return c
}

// withPort completes a host that names no port.
func withPort(host string, secure bool, port string) string {
	otherDefault := "443"
	if secure {
		otherDefault = "80"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port == otherDefault {
		return host
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(origin.Address(host), port)
}

// trusts tells whether an address is that of a trusted proxy.
func (s *Server) trusts(address string) bool { return origin.Trusted(s.o.TrustedProxies, address) }

// said is the value that the proxy wrote which is so many hops away.
func said(lines []string, hops int) string {
	values := elements(lines)
	if len(values) == 0 {
		return ""
	}
	return values[max(0, len(values)-hops)]
}

// elements are the values of a header that is a list, from all its lines.
func elements(lines []string) (values []string) {
	for _, line := range lines {
		for value := range strings.SplitSeq(line, ",") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}
