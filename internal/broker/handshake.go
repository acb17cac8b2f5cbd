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

// handshakes tells of TLS handshakes that came to nothing: plain text, certificates that are
// unknown, out of date or missing.
type handshakes struct {
	log     *slog.Logger
	counter metrics.Counter
	quiet   loglimit.Limiter
}

func (b *Broker) handshakes(door string) *handshakes {
	return &handshakes{log: b.log.With("door", door), counter: b.tlsMetrics.FailedHandshakes.With(door)}
}

func (h *handshakes) failed(cause string) {
	h.counter.Inc()
	if ok, suppressed := h.quiet.Allow(); ok {
		h.log.Warn("TLS handshake failed", "reason", cause, "suppressed", suppressed)
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
	if cause, ok := bytes.CutPrefix(line, handshakeError); ok {
		e.failed(string(cause))
	} else {
		e.log.Debug(string(line))
	}
	return len(p), nil
}

// watchedCredentials tells of handshakes with services that came to nothing, and of connections
// that begin with something else. The listener cannot look at those, since gRPC sets options of the
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
