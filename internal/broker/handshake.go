// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bytes"
	"log/slog"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
)

// handshakes counts and logs the TLS handshakes of a listener that fail: plain text, certificates
// that are unknown, expired or missing.
type handshakes struct {
	log     *slog.Logger
	counter metrics.Counter
	quiet   loglimit.Limiter
}

func (b *Broker) handshakes(listener string) *handshakes {
	return &handshakes{log: b.log.With("listener", listener), counter: b.tlsMetrics.FailedHandshakes.With(listener)}
}

func (h *handshakes) failed(reason string) {
	h.counter.Inc()
	if ok, suppressed := h.quiet.Allow(); ok {
		h.log.Warn("TLS handshake failed", "reason", reason, "suppressed", suppressed)
	}
}

// httpErrors is where an http.Server writes its errors, of which the standard library makes lines
// only.
type httpErrors struct {
	*handshakes
}

var handshakeError = []byte("http: TLS handshake error from ")

// Write implements io.Writer.
func (e httpErrors) Write(p []byte) (int, error) {
	line := bytes.TrimSpace(p)
	if reason, ok := bytes.CutPrefix(line, handshakeError); ok {
		e.failed(string(reason))
	} else {
		e.log.Debug(string(line))
	}
	return len(p), nil
}

// watchedCredentials reports handshakes with services that fail, and connections that begin with
// another protocol. The listener cannot look at those, since gRPC sets options of the
// TCP connections that it accepts.
type watchedCredentials struct {
	credentials.TransportCredentials
	*handshakes
	first *firstBytes
}

// ServerHandshake implements credentials.TransportCredentials.
func (w watchedCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := w.TransportCredentials.ServerHandshake(w.first.watch(conn))
	if err != nil {
		w.failed(conn.RemoteAddr().String() + ": " + err.Error())
	}
	return secured, info, err
}

// Clone implements credentials.TransportCredentials.
func (w watchedCredentials) Clone() credentials.TransportCredentials {
	return watchedCredentials{w.TransportCredentials.Clone(), w.handshakes, w.first}
}
