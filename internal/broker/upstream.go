// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	upstreamDial = 5 * time.Second // for the web application to take a connection
	upstreamIdle = 100             // connections to it that are kept
)

// newUpstream answers the requests that are not Socket.IO: it passes them to the web application behind the broker, or explains
// that there is none.
//
// The application hears in X-Forwarded-For, -Proto and -Host whom a request is from. What a trusted proxy in front has said there is
// passed on, and what others have said is not.
func newUpstream(target, enginePath string, proxies []netip.Prefix, log *slog.Logger) (http.Handler, error) {
	if target == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			explain(w, r, http.StatusNotFound, 0, fmt.Sprintf("Nothing is served at %s. Spanwire speaks Socket.IO at %s. To serve a web "+
				"application at the same origin, start the broker with --upstream http://host:port, or the application under "+
				"it with: broker dev -- COMMAND.", r.URL.Path, enginePath))
		}), nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("setting upstream: %w", err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery // the library has taken out the pairs that it cannot parse
			r.SetURL(u)
			r.Out.Host = r.In.Host // the application sees the origin that the browser sees
			introduce(r, proxies)
		},
		// One of its own, because the usual one goes through the proxy that the environment names.
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: upstreamDial}).DialContext,
			MaxIdleConnsPerHost: upstreamIdle,
			IdleConnTimeout:     idleTimeout,
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, context.Canceled) {
				return // the browser went away
			}
			if u, ok := w.(*upgrading); ok && u.refused {
				return // answered
			}
			log.Warn("the web application does not answer", "upstream", target, "path", r.URL.Path, "error", err)
			explain(w, r, http.StatusBadGateway, time.Second, fmt.Sprintf("The web application at %s (setting upstream) does not answer: %v. "+
				"If it is starting, it will be here in a moment. If it is running, it listens elsewhere: under broker dev it must listen at the "+
				"address in SPANWIRE_APP_ADDRESS, else --upstream must name where it listens.", target, err))
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, nil
}

// introduce tells the application whom the request is from.
func introduce(r *httputil.ProxyRequest, proxies []netip.Prefix) {
	trusted := trusts(proxies, r.In.RemoteAddr)
	if trusted {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // to which the next call appends
	}
	r.SetXForwarded()
	if !trusted {
		r.Out.Header.Del("X-Forwarded-Port") // which the library passes on
		return
	}
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"} {
		if said := r.In.Header[name]; len(said) > 0 {
			r.Out.Header[name] = said
		}
	}
}

// trusts tells whether an address, with its port, is that of a trusted proxy.
func trusts(proxies []netip.Prefix, address string) bool {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := a.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// explain answers a person in a browser with a page, which may look again after a while, and a program with the bare text.
func explain(w http.ResponseWriter, r *http.Request, code int, again time.Duration, text string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, text, code)
		return
	}
	refresh := ""
	if again > 0 && r.Method == http.MethodGet {
		refresh = fmt.Sprintf(`<meta http-equiv="refresh" content="%d">`, int(again.Seconds()))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "<!doctype html><html lang=en><meta charset=utf-8>%s<title>Spanwire</title>"+
		"<body style=\"font:16px/1.5 system-ui;margin:4rem auto;max-width:40rem;padding:0 1rem\"><h1>Spanwire</h1><p>%s</p></html>\n",
		refresh, html.EscapeString(text))
}
