// SPDX-License-Identifier: Apache-2.0

// Package probe finds out what listens at an address where a broker's service-address was expected.
// Handlers, emitters and the command line ask it when a call failed, since what gRPC says of a
// wrong port or of TLS names neither.
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

// Listener is what answers at an address.
type Listener int

// The kinds.
const (
	// Unknown means that nothing can be said.
	Unknown Listener = iota
	// Nobody means that the connection was refused.
	Nobody
	// HTTP1 is a web server, such as the broker's http-address.
	HTTP1
	// HTTPS is a web server with TLS.
	HTTPS
	// TLS is anything else with TLS: of a broker, the service-address with service-tls-cert.
	TLS
	// HTTP2 is HTTP/2 without TLS: of a broker, the service-address without service-tls-cert.
	HTTP2
)

// limit bounds each of the two connections that a probe makes.
const limit = 2 * time.Second

// preface begins a connection of HTTP/2: the words of RFC 9113, and settings that change nothing.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// settingsFrame is the type of the frame that answers it.
const settingsFrame = 4

// Look asks what listens at the address, a host and a port. The first question is in HTTP/2, which
// is what the caller will have spoken, unless it used TLS.
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
	_ = conn.SetDeadline(time.Now().Add(limit)) // a connection that is gone fails in the next call
	return conn, Unknown
}

// plain asks without TLS.
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
	case bytes.HasPrefix(head, []byte("HTTP/")), head[0] == '<': // some refuse a version that they do not know with a page alone
		return HTTP1
	case head[0] == 0 && head[frameType] == settingsFrame:
		return HTTP2
	}
	return Unknown
}

// secured asks with TLS. Whether the certificate can be trusted is none of its business: it sends
// nothing.
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

// Advice says in a clause what listens at the address and what to do, or is empty when the caller's
// way to speak is not what is wrong.
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
