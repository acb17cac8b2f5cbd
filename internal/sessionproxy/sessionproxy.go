// SPDX-License-Identifier: Apache-2.0

// Package sessionproxy makes every replica serve every session. It stands before the browsers'
// entry point: a request that names a session of another replica is carried there and its answer
// back, so that a balancer need not keep a browser with one replica. A request that opens a
// session, or names one of this replica, goes through untouched.
//
// The other replica takes such requests at a listener of its own (taken.go), which believes what it
// gets the facts of the browser, so that all its checks see what they would see if the browser had
// come to it. What comes in there is never forwarded again. Polling requests travel on connections
// that are used again and again (polling.go), a WebSocket on one of its own (websocket.go).
//
// A session whose replica is gone, or cannot be reached, is left to the browsers' entry point here,
// which does not know it and says so; clients then open a new session.
package sessionproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Options says how requests are forwarded.
type Options struct {
	Replica sio.ReplicaID
	// Secret is what the replicas of the cluster share, and nobody else knows.
	Secret string
	// Cluster is the name of the cluster.
	Cluster string
	// Find tells where another replica takes requests; address is empty when it announced none, and
	// known false when there is no such replica. It is called by many goroutines at the same time
	// and must not block.
	Find func(replica sio.ReplicaID) (address string, known bool)
	// Gone tells how long ago a replica that Find does not know was there. Nil when there are never
	// any others.
	Gone func(replica sio.ReplicaID) (ago time.Duration, was bool)
	// TLS gives what each connection to another replica begins with. Nil is no TLS.
	TLS func() *tls.Config
	// Wake answers the request of a session of this replica that waits for packets, if one does. It
	// must not block.
	Wake func(sio.SessionID)
	// DrainSession drains a session of this replica whose WebSocket another replica forwards, if
	// there is one, within the time. It must not block, and may be called again for the same
	// session.
	DrainSession func(id sio.SessionID, within time.Duration)
	// MaxForwards bounds the requests and WebSockets that are forwarded at a time.
	MaxForwards int
	// WriteTimeout bounds how long either end may take nothing of what is written to it.
	WriteTimeout time.Duration
	// DrainSpread is the time over which Drain ends forwarded WebSockets.
	DrainSpread time.Duration
	// DrainSettle is how long Drain leaves those open whose sessions wait for answers of handlers.
	DrainSettle time.Duration
}

const (
	dialTimeout   = 3 * time.Second
	answerTimeout = 10 * time.Second // for the answer to a WebSocket handshake
	// Shorter than the time for which a replica keeps a connection between two requests.
	keepIdle     = time.Minute
	keepPerOther = 256         // connections without a request, to one replica
	restartTime  = time.Minute // after a start in which sessions of the time before are usual
)

// Forwarder is an http.Handler before the browsers' entry point.
type Forwarder struct {
	// fixed at birth
	o         Options
	started   time.Time
	next      http.Handler
	metrics   *metrics.SessionProxy
	log       *slog.Logger
	quiet     loglimit.ByReason
	rarely    loglimit.ByReason
	dialer    net.Dialer
	transport *http.Transport
	buffers   sync.Pool

	open     atomic.Int64
	draining atomic.Bool
	carried  sync.WaitGroup // links and their goroutines; Close ends them

	mu     sync.Mutex // guards the fields below
	links  map[*link]struct{}
	polls  map[*proxyRequest]struct{} // which may wait for their answers
	closed bool
	quit   chan struct{} // closed with it
}

// New makes a Forwarder before the browsers' entry point.
func New(o Options, next http.Handler, m *metrics.SessionProxy, log *slog.Logger) *Forwarder {
	f := &Forwarder{
		o: o, started: time.Now(), next: next, metrics: m, log: log, quiet: loglimit.ByReason{PerSecond: 1},
		rarely: loglimit.ByReason{PerSecond: 1, Window: time.Minute}, links: make(map[*link]struct{}),
		polls: make(map[*proxyRequest]struct{}), quit: make(chan struct{}),
		dialer:  net.Dialer{Timeout: dialTimeout},
		buffers: sync.Pool{New: func() any { return new([largeBuffer]byte) }},
	}
	// One of its own, because the usual one goes through the proxy that the environment names.
	f.transport = &http.Transport{
		DialContext: f.dial, DisableCompression: true, MaxIdleConnsPerHost: keepPerOther, IdleConnTimeout: keepIdle,
	}
	return f
}

// dial reaches another replica.
func (f *Forwarder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.o.TLS == nil {
		return f.dialer.DialContext(ctx, network, address)
	}
	d := tls.Dialer{NetDialer: &f.dialer, Config: f.o.TLS()}
	return d.DialContext(ctx, network, address)
}

// ServeHTTP implements http.Handler.
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	session := sessionFromQuery(r.URL.RawQuery)
	owner, named := session.Replica()
	// What a browser asks before a request to another origin has nothing to do with the session.
	if !named || owner == f.o.Replica || r.Method == http.MethodOptions {
		f.next.ServeHTTP(w, r)
		return
	}
	address, known := f.o.Find(owner)
	if !known {
		f.metrics.UnknownReplica.Inc()
		f.tellUnknown(owner)
		f.next.ServeHTTP(w, r)
		return
	}
	e := &proxyRequest{f: f, session: session, owner: owner, address: address}
	if address == "" {
		e.fail(w, r, f.metrics.NoAddress, "it takes no requests of its sessions, see the setting forward-address there", nil)
		return
	}
	if isWebSocket(r) && f.draining.Load() {
		refuseDraining(w)
		return
	}
	if !f.enter() {
		f.refuse(w)
		return
	}
	if isWebSocket(r) {
		if e.websocket(w, r) {
			return // it leaves when the WebSocket ends
		}
	} else {
		e.poll(w, r)
	}
	f.leave()
}

// tellUnknown says why a session is not found: its id names its replica. One that was there a while
// ago has ended, and clients open a new one; one that never was belongs to replicas that this one
// has no tie to, and every second request of a balancer fails.
func (f *Forwarder) tellUnknown(owner sio.ReplicaID) {
	const ended = "its replica has left or died"
	reason := "this replica knows no other one: neither nats-url nor nats-listen is set"
	if f.o.Gone != nil {
		if ago, was := f.o.Gone(owner); was {
			if ok, suppressed := f.rarely.Allow(ended); ok {
				f.log.Info("session unknown: "+ended+", and its client opens a new one", "peer", owner, "since", ago, "suppressed", suppressed)
			}
			return
		}
		reason = "no such replica was ever heard of: it has another NATS, or its cluster has another name or secret"
	}
	if ok, suppressed := f.rarely.Allow(reason); ok {
		if up := time.Since(f.started); up < restartTime {
			reason += fmt.Sprintf("; or it was restarted, since this one started %v ago: nothing is to be done then", up.Round(time.Millisecond))
		}
		f.log.Warn("session unknown: it belongs to an unknown replica, or to one that ended before this one started",
			"peer", owner, "reason", reason, "setting", "nats-url, nats-listen, cluster, cluster-secret", "cluster", f.o.Cluster, "suppressed", suppressed)
	}
}

// sessionFromQuery is the session that a query names. Ids need no escapes, so there is nothing to
// be decoded; a key that occurs twice names nothing.
func sessionFromQuery(query string) (id sio.SessionID) {
	const key = "sid="
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		value, ok := strings.CutPrefix(pair, key)
		switch {
		case !ok:
		case id != "":
			return ""
		default:
			id = sio.SessionID(value)
		}
	}
	return id
}

// isWebSocket tells a WebSocket handshake; what is wrong with one is for the owner to say.
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// enter lets one more request be forwarded, unless there are too many.
func (f *Forwarder) enter() bool {
	if f.open.Add(1) > int64(f.o.MaxForwards) {
		f.open.Add(-1)
		return false
	}
	f.metrics.Open.Inc()
	return true
}

func (f *Forwarder) leave() {
	f.open.Add(-1)
	f.metrics.Open.Dec()
}

// retryAfter is when a browser may come again that was rejected since there is no room, in
// seconds.
const retryAfter = 5

// refuse rejects a request that would be one too many. Clients open a new session then, here or
// elsewhere.
func (f *Forwarder) refuse(w http.ResponseWriter) {
	f.metrics.TooMany.Inc()
	if ok, suppressed := f.quiet.Allow("too many"); ok {
		f.log.Warn("request not forwarded: too many are being forwarded", "setting", "max-forwards", "limit", f.o.MaxForwards, "suppressed", suppressed)
	}
	unavailable(w, "This server forwards as many requests as its setting max-forwards allows")
}

// refuseDraining turns a WebSocket away that would be ended soon. Clients that are cut off within
// an upgrade may wait for long; one that is refused goes on polling.
func refuseDraining(w http.ResponseWriter) {
	unavailable(w, "This server is stopping, and carries no WebSocket to another")
}

// unavailable asks the browser to come again.
func unavailable(w http.ResponseWriter, message string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	h.Set("Retry-After", strconv.Itoa(retryAfter))
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"code":4,"message":"` + message + `"}`)) // or the browser left
}

// proxyRequest is one request on its way to the replica of its session.
type proxyRequest struct {
	f       *Forwarder
	session sio.SessionID
	owner   sio.ReplicaID
	address string
}

// fail leaves a request to the browsers' entry point here, which says that there is no such
// session. Nothing has been answered yet.
func (e *proxyRequest) fail(w http.ResponseWriter, r *http.Request, counter metrics.Counter, why string, err error) {
	counter.Inc()
	if ok, suppressed := e.f.quiet.Allow(why); ok {
		e.f.log.Warn("request not forwarded to the replica of its session", "peer", e.owner, "address", e.address, "reason", why,
			"err", err, "suppressed", suppressed)
	}
	e.f.next.ServeHTTP(w, r)
}
