// SPDX-License-Identifier: Apache-2.0

// Package probe finds out what listens at an address that was expected to be a broker's
// service-address. Handlers, emitters and the command line use it after a failed call, since the
// errors of gRPC name neither a wrong port nor TLS.
package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// Listener is the kind of server at an address.
type Listener int

// The kinds.
const (
	// Unknown means that the probe found no kind.
	Unknown Listener = iota
	// Nobody means that the connection was refused.
	Nobody
	// HTTP1 is a web server, such as the broker's http-address.
	HTTP1
	// HTTPS is a web server with TLS.
	HTTPS
	// TLS is any other server with TLS; of a broker, the service-address with service-tls-cert.
	TLS
	// HTTP2 is HTTP/2 without TLS; of a broker, the service-address without service-tls-cert.
	HTTP2
)

// limit bounds each of the two connections that a probe makes.
const limit = 2 * time.Second

// preface opens a connection of HTTP/2: the preface of RFC 9113 and an empty settings frame.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// settingsFrame is the type of the frame that a server answers with.
const settingsFrame = 4

// Look probes the address, a host and a port. It first speaks as the caller did: HTTP/2, with TLS
// if usedTLS.
func Look(ctx context.Context, address string, usedTLS bool) Listener {
	first, second := plain, secured
	if usedTLS {
		first, second = secured, plain
	}
	found := first(ctx, address)
	if found == Unknown {
		found = second(ctx, address)
	}
	return found
}

func dial(ctx context.Context, address string) (net.Conn, Listener) {
	d := net.Dialer{Timeout: limit}
	conn, err := d.DialContext(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, Nobody
	case err != nil:
		return nil, Unknown
	}
	_ = conn.SetDeadline(time.Now().Add(limit)) // a closed connection fails in the next call
	return conn, Unknown
}

// plain probes without TLS.
func plain(ctx context.Context, address string) Listener {
	conn, found := dial(ctx, address)
	if conn == nil {
		return found
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, preface); err != nil {
		return Unknown
	}
	head := make([]byte, len("HTTP/"))
	if _, err := io.ReadFull(conn, head); err != nil {
		return Unknown
	}
	return listenerFromBytes(head)
}

func listenerFromBytes(head []byte) Listener {
	const frameType = 3
	switch {
	case bytes.HasPrefix(head, []byte("HTTP/")), head[0] == '<': // some servers answer an unknown version with a page alone
		return HTTP1
	case head[0] == 0 && head[frameType] == settingsFrame:
		return HTTP2
	}
	return Unknown
}

// secured probes with TLS. It does not verify the certificate, since it sends no data.
func secured(ctx context.Context, address string) Listener {
	conn, found := dial(ctx, address)
	if conn == nil {
		return found
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // see above
	err := client.HandshakeContext(ctx)
	var header tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case err == nil && client.ConnectionState().NegotiatedProtocol == "http/1.1":
		return HTTPS
	case err == nil, errors.As(err, &alert):
		return TLS
	case errors.As(err, &header):
		return listenerFromBytes(header.RecordHeader[:])
	}
	return Unknown
}

// Advice returns what listens at the address and what to do, as a clause for an error message. It
// returns "" when the listener matches the way in which the caller spoke.
func Advice(ctx context.Context, address string, usedTLS bool) string {
	switch found := Look(ctx, address, usedTLS); {
	case found == Nobody:
		return fmt.Sprintf("nothing listens at %s: start the broker, or set SPANWIRE_ADDRESS to its service-address", address)
	case found == HTTP1, found == HTTPS:
		return fmt.Sprintf("what listens at %s speaks HTTP/1: it is the browsers' port (http-address) or another web server; dial the broker's "+
			"service-address, which is port 50051 by default", address)
	case found == TLS && !usedTLS:
		return fmt.Sprintf("what listens at %s speaks TLS: set SPANWIRE_TLS=true, or SPANWIRE_TLS_CA to a file with its authority's certificate", address)
	case found == HTTP2 && usedTLS:
		return fmt.Sprintf("what listens at %s does not speak TLS: unset SPANWIRE_TLS, SPANWIRE_TLS_CA and SPANWIRE_TLS_CERT, or give the broker "+
			"service-tls-cert", address)
	}
	return ""
}
