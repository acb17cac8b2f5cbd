// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/origin"
)

// guard refuses requests at one HTTP listener before any handler sees them. It counts and logs
// each, with its reason.
type guard struct {
	listener string
	rejected metrics.Counters // by reason
	log      *slog.Logger
	quiet    loglimit.ByReason // a line a second for each reason
}

func (b *Broker) guard(listener string) *guard {
	return &guard{
		listener: listener, rejected: b.listenerMetrics.Rejected.Of("listener", listener),
		log: b.log.With("listener", listener), quiet: loglimit.ByReason{PerSecond: 1},
	}
}

// refusal is why a request is refused.
type refusal struct {
	status  int
	reason  string // for the counter
	setting string // what to change; empty when no setting governs it
	text    string // for the client and the log
}

// refuse answers a request. The log gets more facts with args.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, why *refusal, args ...any) {
	g.rejected.With(why.reason).Inc()
	g.say(why, r.RemoteAddr, args...)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	explain(w, r, why.status, 0, why.text)
}

// say writes the line of a refusal.
func (g *guard) say(why *refusal, address string, args ...any) {
	ok, suppressed := g.quiet.Allow(why.reason)
	if !ok {
		return
	}
	args = append([]any{"reason", why.reason, "address", address}, args...)
	if why.setting != "" {
		args = append(args, "setting", why.setting)
	}
	g.log.Warn("request rejected: "+why.text, append(args, "suppressed", suppressed)...)
}

var wrongMethod = &refusal{status: http.StatusMethodNotAllowed, reason: "method", text: "the methods CONNECT and TRACE are not allowed"}

// methods refuses CONNECT, which asks for a tunnel, and TRACE, whose answer shows a page the
// headers that a proxy or the browser keeps from it.
func (g *guard) methods(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// the preface of HTTP/2; firstBytes counts and logs it
		if r.Method == "PRI" && r.ProtoMajor == 2 {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
			return
		}
		if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
			w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			w.Header().Set("Connection", "close")
			g.refuse(w, r, wrongMethod)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var wrongHost = &refusal{
	status: http.StatusForbidden, reason: "host", setting: "allowed-hosts",
	text: "the Host of the request is not in the setting allowed-hosts",
}

// hosts refuses requests for hosts that are not in the setting allowed-hosts. No entries allow all.
func (g *guard) hosts(entries []string, proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(entries) == 0 {
		return next
	}
	allowed, _ := origin.ParseHosts(entries) // Validate has read them
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secure, host := engineio.AskedHost(r, proxies); !allowed.Match(origin.Scheme(secure), host) {
			g.refuse(w, r, wrongHost, "host", shortened(host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// shortened quotes what an untrusted client sent, for the log.
func shortened(text string) string {
	const most = 100
	return strconv.QuoteToASCII(text[:min(len(text), most)])
}
