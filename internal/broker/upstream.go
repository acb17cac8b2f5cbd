// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/origin"
)

const upstreamIdle = 100 // connections to the web application that are kept

// upstream passes the requests that are not Socket.IO to the web application behind the broker.
//
// No side may hold the other up without end: the body of a request must come at a least rate, the
// application must take it and answer in time, and the browser must take the answer. An answer that
// has begun may last, and so may a WebSocket: those that stream do.
type upstream struct {
	limits       Upstream
	target       *url.URL
	writeTimeout time.Duration
	proxies      []netip.Prefix
	proxy        *httputil.ReverseProxy
	failures     metrics.Counters
	log          *slog.Logger
	quiet        loglimit.ByReason // a line a second for each reason
}

// newUpstream makes the handler of the requests that are not Socket.IO. Without a web application
// it explains that there is none.
func (b *Broker) newUpstream(proxies []netip.Prefix) (h http.Handler, err error) {
	c := b.config
	if c.Listen.Upstream.URL == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.edge.NotServed(r, false)
			explain(w, r, http.StatusNotFound, 0, fmt.Sprintf("Nothing is served at %s. Spanwire speaks Socket.IO at %s. To serve a web "+
				"application at the same origin, start the broker with --upstream http://host:port, or the application under "+
				"it with: broker dev -- COMMAND.", r.URL.Path, c.Edge.Engine.Paths[0]))
		}), nil
	}
	u := &upstream{
		limits: c.Listen.Upstream, writeTimeout: c.Edge.Engine.WriteTimeout, proxies: proxies, failures: metrics.NewUpstream(b.registry), log: b.log,
		quiet: loglimit.ByReason{PerSecond: 1},
	}
	if u.target, err = url.Parse(u.limits.URL); err != nil {
		return nil, errors.New("setting upstream: it is no URL")
	}
	u.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// the library has taken out the pairs that it cannot parse
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.SetURL(u.target)
			r.Out.Host = r.In.Host // the application sees the origin that the browser sees
			introduce(r, proxies)
		},
		// One of its own, because the usual one goes through the proxy that the environment names.
		Transport: &http.Transport{
			DialContext:           u.dial,
			TLSHandshakeTimeout:   u.limits.ConnectTimeout,
			ResponseHeaderTimeout: u.limits.AnswerTimeout,
			MaxIdleConnsPerHost:   upstreamIdle,
			IdleConnTimeout:       idleTimeout,
		},
		// An application may serve Socket.IO of its own. What it does not know either was meant for
		// the broker.
		ModifyResponse: func(response *http.Response) error {
			if response.StatusCode == http.StatusNotFound {
				b.edge.NotServed(response.Request, true)
			}
			return nil
		},
		ErrorHandler: u.fail,
		ErrorLog:     slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}
	return u, nil
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		body := newPacedBody(r.Body, http.NewResponseController(w).SetReadDeadline, u.limits.BodyTimeout, u.limits.MinBodyRate)
		// a copy, since the HTTP server looks at the body of its own
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body))
		r.Body = body
	}
	u.proxy.ServeHTTP(&takenAnswer{w, http.NewResponseController(w), u.writeTimeout}, r)
}

// bodyKey is where the context of a request holds its *pacedBody.
type bodyKey struct{}

// fail answers a request that the application did not.
func (u *upstream) fail(w http.ResponseWriter, r *http.Request, err error) {
	if a, ok := w.(*takenAnswer); ok && a.refusedUpgrade() {
		return // answered
	}
	var network net.Error
	var op *net.OpError
	body, _ := r.Context().Value(bodyKey{}).(*pacedBody)
	if why := body.end(); why != nil {
		err = why // it says more than the error at hand
	}
	if body != nil {
		w.Header().Set("Connection", "close")                // the rest of the body would follow
		_ = http.NewResponseController(w).EnableFullDuplex() // the answer first
		defer body.discard(w)
	}
	switch {
	case errors.Is(err, errSlowBody):
		u.answer(w, r, "slow_body", "upstream-body-timeout, upstream-min-body-rate", err, http.StatusRequestTimeout, 0,
			"The body of the request came too slowly (settings upstream-body-timeout, upstream-min-body-rate).")
	case errors.Is(err, context.Canceled), errors.Is(err, errBrokenBody):
		panic(http.ErrAbortHandler) // the browser went away; that is how a handler says so
	case errors.As(err, &network) && network.Timeout() && !(errors.As(err, &op) && op.Op == "dial"):
		u.answer(w, r, "slow_answer", "upstream-answer-timeout", err, http.StatusGatewayTimeout, 0, fmt.Sprintf("The web application at %s (setting "+
			"upstream) did not answer within %v (setting upstream-answer-timeout).", u.target.Redacted(), u.limits.AnswerTimeout))
	default:
		u.answer(w, r, "unreachable", "upstream", err, http.StatusBadGateway, time.Second, fmt.Sprintf("The web application at %s (setting upstream) does not "+
			"answer: %v. If it is starting, it will be here in a moment. If it is running, it listens elsewhere: under broker dev it must listen at the "+
			"address in SPANWIRE_APP_ADDRESS, else --upstream must name where it listens.", u.target.Redacted(), err))
	}
}

// answer counts, logs and answers a failure.
func (u *upstream) answer(w http.ResponseWriter, r *http.Request, reason, setting string, err error, code int, again time.Duration, text string) {
	u.failures.With(reason).Inc()
	if ok, suppressed := u.quiet.Allow(reason); ok {
		u.log.Warn("request to the upstream failed", "reason", reason, "url", u.target.Redacted(), "address", r.RemoteAddr,
			"setting", setting, "err", err, "suppressed", suppressed)
	}
	explain(w, r, code, again, text)
}

// dial reaches the application.
func (u *upstream) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: u.limits.ConnectTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &takenRequest{c, u.limits.AnswerTimeout}, nil
}

// introduce tells the application whom the request is from, in X-Forwarded-For, -Proto, -Host and
// -Port. What a trusted proxy in front has said there is passed on, and what others have said is
// not.
func introduce(r *httputil.ProxyRequest, proxies []netip.Prefix) {
	trusted := origin.Trusted(proxies, r.In.RemoteAddr)
	for name := range r.In.Header {
		if engineio.SaidByProxy(name, trusted) {
			delete(r.Out.Header, name)
		}
	}
	if trusted {
		// to which the next call appends
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	}
	r.SetXForwarded()
	if !trusted {
		return
	}
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"} {
		if said := r.In.Header[name]; len(said) > 0 {
			r.Out.Header[name] = said
		}
	}
}
