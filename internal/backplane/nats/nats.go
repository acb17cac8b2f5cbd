// SPDX-License-Identifier: Apache-2.0

// Package nats is the backplane over NATS, embedded or external. It is the only package that knows
// NATS.
//
// There are two kinds of subjects: `spanwire.<cluster>.all`, and `spanwire.<cluster>.replica.<id>`
// for each replica. Nothing that users of the product choose (rooms, namespaces, events) ever
// becomes part of a subject. All clusters share `spanwire.presence`, where each tells its name.
package nats

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/nats-io/nats.go"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Options of a backplane over NATS.
type Options struct {
	// URL is where NATS is, "nats://host:4222"; several may stand with commas between. Empty means
	// to embed a server.
	URL string
	// Listen is the address "host:port" at which other replicas reach the embedded server. Empty
	// means that only this one uses it.
	Listen string
	// Token is the secret that clients of the embedded server must know, and that is shown to the
	// server of URL. May be empty.
	Token string
	// Cluster keeps the replicas of one cluster apart from those of others on the same server: 1 to
	// 64 letters, digits, "-" and "_".
	Cluster string
	// MaxEnvelope is the size in bytes of the largest envelope. The embedded server takes it; an
	// external one is checked for it.
	MaxEnvelope int
	// Pending is how many envelopes wait for this replica at most; what comes while so many wait is
	// lost, which is counted.
	Pending int
	// ReconnectBuffer is how many bytes are kept for sending while NATS is away; over it,
	// publishing fails.
	ReconnectBuffer int
	// PingInterval is the time between two pings of the server. One that hangs is noticed after
	// three of them.
	PingInterval time.Duration
	// ReconnectWait is the time between two attempts to reach NATS, and up to as much again by
	// chance.
	ReconnectWait time.Duration
	// ServerTLS is the certificate of the embedded server, and whose certificates it asks for. Nil
	// is no TLS.
	ServerTLS *tls.Config
	// ClientTLS gives what each connection to the server of URL begins with. Nil leaves it to the
	// URL, which may begin with tls://.
	ClientTLS func() *tls.Config
}

const (
	writeTimeout  = 5 * time.Second // how long a server that does not read may hold up a publisher
	flushTimeout  = time.Second     // how long Close and Subscribe wait for the server
	dialTimeout   = 2 * time.Second
	subjectPrefix = "spanwire."
)

// Backplane is one replica's connection to NATS.
type Backplane struct {
	options Options
	metrics *metrics.Backplane
	log     *slog.Logger
	conn    *client.Conn
	server  *embedded // nil when NATS is external
	link    link
	losses  atomic.Uint64
	changes chan struct{}
	quiet   loglimit.ByReason

	presence *presence // nil when nobody else can use the server

	mu   sync.Mutex
	subs []*subscription // guarded by mu
}

// New starts the embedded server, or connects to the one that the options name. An external server
// may be away: it is then retried without end, and Healthy says so meanwhile.
func New(o Options, m *metrics.Backplane, log *slog.Logger) (*Backplane, error) {
	if err := validCluster(o.Cluster); err != nil {
		return nil, sio.E(sio.CodeInvalid, "start backplane", "the cluster's name "+err.Error())
	}
	b := &Backplane{
		link: link{limit: o.ReconnectBuffer}, options: o, metrics: m, log: log, changes: make(chan struct{}, 1), quiet: loglimit.ByReason{PerSecond: 1},
	}
	settings := b.settings()
	url := o.URL
	if url == "" {
		server, err := startEmbedded(&o)
		if err != nil {
			return nil, err
		}
		b.server = server
		url = client.DefaultURL // not dialled: the connection stays within the process
		settings = append(settings, client.InProcessServer(server.server))
	}
	conn, err := client.Connect(url, settings...)
	if err != nil {
		if b.server != nil {
			b.server.stop()
		}
		return nil, &sio.Error{Code: sio.CodeUnavailable, Op: "start backplane", Message: "NATS refused the connection", Cause: err}
	}
	b.conn = conn
	if conn.IsConnected() {
		b.connected(conn)
	} else {
		b.lost()
		log.Warn("NATS unreachable; retrying. Only sockets of this replica are served until it connects", "setting", "nats-url")
	}
	if o.URL != "" || o.Listen != "" {
		b.startPresence()
	}
	return b, nil
}

func (b *Backplane) settings() []client.Option {
	settings := []client.Option{
		client.Name("spanwire " + b.options.Cluster),
		client.NoEcho(),
		client.RetryOnFailedConnect(true),
		client.MaxReconnects(-1),
		client.IgnoreAuthErrorAbort(),
		client.ReconnectWait(b.options.ReconnectWait),
		client.ReconnectJitter(b.options.ReconnectWait, b.options.ReconnectWait),
		client.ReconnectBufSize(-1), // the link keeps it
		client.Timeout(dialTimeout),
		client.PingInterval(b.options.PingInterval),
		client.FlusherTimeout(writeTimeout),
		client.ConnectHandler(b.connected),
		client.DisconnectErrHandler(b.disconnected),
		client.ReconnectHandler(b.reconnected),
		client.ErrorHandler(b.failed),
	}
	if b.options.ClientTLS != nil && b.options.URL != "" {
		settings = append(settings, client.ClientTLSConfig(
			func() (tls.Certificate, error) { return b.options.ClientTLS().Certificates[0], nil },
			func() (*x509.CertPool, error) { return b.options.ClientTLS().RootCAs, nil },
		))
	}
	if b.options.Token != "" {
		settings = append(settings, client.Token(b.options.Token))
	}
	return settings
}

// Publish implements backplane.Backplane. While NATS is away it keeps what it can until NATS is
// back.
func (b *Backplane) Publish(to sio.ReplicaID, data []byte) error {
	subject := b.subject(to)
	up, fits := b.link.keep(subject, data)
	if !up {
		return away(fits)
	}
	err := b.conn.Publish(subject, data)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrMaxPayload):
		return &sio.Error{Code: sio.CodeTooLarge, Op: "publish", Cause: err, Message: fmt.Sprintf("an envelope of %d bytes is more than the "+
			"NATS server takes (its max_payload is %d): raise that, or lower max-payload here", len(data), b.conn.MaxPayload())}
	case errors.Is(err, client.ErrReconnectBufExceeded):
		sent, fits := b.link.keepAnyway(b.conn, subject, data)
		if sent {
			return nil
		}
		return away(fits)
	default:
		return &sio.Error{Code: sio.CodeUnavailable, Op: "publish", Cause: err, Message: "NATS cannot be reached"}
	}
}

// away is the error for what could not be published, and was kept if it fits.
func away(fits bool) error {
	if fits {
		return &sio.Error{Code: sio.CodeUnavailable, Op: "publish", Cause: backplane.ErrKept, Message: "NATS is away"}
	}
	return sio.E(sio.CodeUnavailable, "publish", "NATS is away and the buffer for it is full")
}

// Healthy implements backplane.Backplane.
func (b *Backplane) Healthy() error {
	up, err := b.link.state()
	if up {
		return nil
	}
	return &sio.Error{Code: sio.CodeUnavailable, Op: "check backplane", Message: "NATS cannot be reached", Cause: err}
}

// Losses implements backplane.Backplane: it counts the times that NATS was away, or that this
// replica did not keep up.
func (b *Backplane) Losses() uint64 { return b.losses.Load() }

// Changes implements backplane.Backplane.
func (b *Backplane) Changes() <-chan struct{} { return b.changes }

// lost notes that data may have been lost.
func (b *Backplane) lost() {
	b.losses.Add(1)
	b.changed()
}

func (b *Backplane) changed() {
	select {
	case b.changes <- struct{}{}:
	default: // it is known that there is a change
	}
}

// Address is where the embedded server listens, and empty when it does not.
func (b *Backplane) Address() string {
	if b.server == nil {
		return ""
	}
	return b.server.address()
}

// Close implements backplane.Backplane.
func (b *Backplane) Close() {
	b.mu.Lock()
	subs := b.subs
	b.subs = nil
	b.mu.Unlock()
	for _, s := range subs {
		s.stop()
	}
	if b.presence != nil {
		b.presence.stop()
	}
	if b.conn.IsConnected() {
		b.conn.FlushTimeout(flushTimeout) //nolint:errcheck // what did not get out by now is lost, and its receivers notice
	}
	b.conn.Close()
	b.link.lower(client.ErrConnectionClosed)
	b.metrics.Connected.Set(0)
	if b.server != nil {
		b.server.stop()
	}
}

func (b *Backplane) subject(to sio.ReplicaID) string {
	if to == "" {
		return subjectPrefix + b.options.Cluster + ".all"
	}
	return subjectPrefix + b.options.Cluster + ".replica." + string(to)
}

func (b *Backplane) connected(conn *client.Conn) {
	b.metrics.Connected.Set(1)
	b.link.raise(conn)
	b.changed()
	if limit := conn.MaxPayload(); limit < int64(b.options.MaxEnvelope) {
		b.log.Warn("the NATS server accepts smaller envelopes than replicas may send; larger ones will be rejected; "+
			"raise its max_payload or lower max-payload here", "setting", "max-payload", "limit", limit, "value", b.options.MaxEnvelope)
	}
}

func (b *Backplane) disconnected(conn *client.Conn, err error) {
	b.link.lower(err)
	b.metrics.Connected.Set(0)
	if conn.IsClosed() {
		return
	}
	b.metrics.Disconnects.Inc()
	b.lost()
	b.log.Warn("NATS disconnected; only sockets of this replica are reached until it reconnects", "err", err)
}

func (b *Backplane) reconnected(conn *client.Conn) {
	b.metrics.Reconnects.Inc()
	b.log.Info("NATS reconnected; what peers sent in between may be lost", "address", conn.ConnectedServerName())
	b.connected(conn)
}

// failed gets the errors that belong to no call.
func (b *Backplane) failed(_ *client.Conn, _ *client.Subscription, err error) {
	if errors.Is(err, client.ErrSlowConsumer) {
		b.metrics.SlowConsumer.Inc()
		b.lost()
		b.log.Warn("slow consumer: envelopes of peers dropped", "setting", "replica-backlog", "limit", b.options.Pending)
		return
	}
	if strings.Contains(err.Error(), presenceSubject) {
		if ok, _ := b.quiet.Allow("presence refused"); ok {
			b.log.Info("other clusters on this NATS are not detected: permission denied on the subject "+presenceSubject, "err", err)
		}
		return
	}
	b.log.Warn("NATS reported an error", "err", err)
}
