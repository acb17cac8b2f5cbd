// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/spanwire/spanwire/internal/sio"
)

// embedded is a NATS server within this process.
type embedded struct{ server *server.Server }

const (
	startTimeout = 10 * time.Second
	// maxPending is the server's own bound on the bytes that wait for a client; an envelope must
	// fit in.
	maxPending = 64 << 20
)

func startEmbedded(o *Options) (*embedded, error) {
	fail := func(cause error) error {
		return &sio.Error{Code: sio.CodeUnavailable, Op: "start embedded NATS", Message: "the server did not start", Cause: cause}
	}
	if o.MaxEnvelope <= 0 || o.MaxEnvelope > maxPending {
		return nil, sio.E(sio.CodeInvalid, "start embedded NATS", fmt.Sprintf("envelopes of %d bytes are not possible: the bound is %d", o.MaxEnvelope, maxPending))
	}
	settings := &server.Options{
		ServerName:    "spanwire-" + string(sio.NewReplicaID()),
		DontListen:    o.Listen == "",
		NoLog:         true,
		NoSigs:        true,
		MaxPayload:    int32(o.MaxEnvelope),
		MaxPending:    maxPending,
		Authorization: o.Token,
		TLS:           o.ServerTLS != nil,
		TLSConfig:     o.ServerTLS,
		TLSVerify:     o.ServerTLS != nil,
	}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return nil, sio.E(sio.CodeInvalid, "start embedded NATS", fmt.Sprintf("%q is not an address like host:port", o.Listen))
		}
		if settings.Host, settings.Port, err = listenOn(host, port); err != nil {
			return nil, err
		}
		// The server would say nothing of an address that is taken, so it is tried here first.
		try, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return nil, fail(err)
		}
		try.Close() //nolint:errcheck // nothing was done with it
	}
	s, err := server.NewServer(settings)
	if err != nil {
		return nil, fail(err)
	}
	go s.Start() // returns by itself; the server's goroutines end in stop
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fail(errors.New("it is not ready after " + startTimeout.String()))
	}
	return &embedded{server: s}, nil
}

// listenOn reads host and port as the server wants them: it takes port 0 for its default, and -1
// for any.
func listenOn(host, port string) (string, int, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, sio.E(sio.CodeInvalid, "start embedded NATS", fmt.Sprintf("%q is not a port", port))
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if n == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(n), nil
}

func (e *embedded) address() string {
	if addr := e.server.Addr(); addr != nil {
		return addr.String()
	}
	return ""
}

func (e *embedded) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}
