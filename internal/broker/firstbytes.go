// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
)

// A program that dials the wrong one of the listeners, or with TLS where there is none, hears of
// something else: its peer speaks another language. So the first bytes of each connection are
// looked at, and the log says what arrived where, and what to change.

// protocol is what a connection begins with. Its values are metric labels.
type protocol string

const (
	protocolTLS   protocol = "tls"
	protocolHTTP1 protocol = "http1"
	protocolHTTP2 protocol = "http2"
	protocolProxy protocol = "proxy_protocol"
)

// wrongProtocol is what to say of one protocol at one listener.
type wrongProtocol struct{ text, setting string }

// firstBytes looks at the beginning of a listener's connections. Where gRPC accepts them itself it
// has no listener, and its credentials ask for each.
type firstBytes struct {
	net.Listener
	wrong   map[protocol]wrongProtocol
	counter metrics.Counters // by reason
	log     *slog.Logger
	quiet   loglimit.ByReason // a line a minute for each protocol
	guard   *guard
}

// listening has the first bytes of a listener's connections looked at.
func (b *Broker) listening(name string, l net.Listener, wrong map[protocol]wrongProtocol) net.Listener {
	return b.firstBytes(name, l, wrong)
}

func (b *Broker) firstBytes(name string, l net.Listener, wrong map[protocol]wrongProtocol) *firstBytes {
	return &firstBytes{
		Listener: l, wrong: wrong, counter: b.listenerMetrics.WrongProtocols.Of("listener", name),
		log: b.log.With("listener", name), quiet: loglimit.ByReason{PerSecond: 1, Window: time.Minute},
		guard: b.guard(name),
	}
}

// wrongAtBrowsers says what does not belong to http-address.
func (b *Broker) wrongAtBrowsers() map[protocol]wrongProtocol {
	wrong := map[protocol]wrongProtocol{
		protocolHTTP2: {"HTTP/2, as gRPC speaks it, arrived at http-address, which is for browsers: handlers and emitters dial service-address, " +
			b.ServiceAddress(), "service-address"},
	}
	if b.secured.http == nil {
		wrong[protocolTLS] = wrongProtocol{"TLS arrived at http-address, which has no certificate: use http:// and ws://, or set http-tls-cert", "http-tls-cert"}
	} else {
		wrong[protocolHTTP1] = wrongProtocol{"plain HTTP arrived at http-address, which has a certificate: use https:// and wss://", "http-tls-cert"}
	}
	if !b.config.Listen.ProxyProtocol {
		wrong[protocolProxy] = wrongProtocol{"a header of the PROXY protocol arrived at http-address: set proxy-protocol, and the proxy's address in " +
			"trusted-proxies, or have the proxy leave it out", "proxy-protocol"}
	}
	return wrong
}

// wrongAtServices says what does not belong to service-address.
func (b *Broker) wrongAtServices() map[protocol]wrongProtocol {
	if b.secured.services == nil {
		return map[protocol]wrongProtocol{
			protocolHTTP1: {"HTTP/1 arrived at service-address, which is for handlers and emitters by gRPC: browsers and web pages use http-address, " +
				b.HTTPAddress(), "http-address"},
			protocolTLS: {"TLS arrived at service-address, which has no certificate: set service-tls-cert, or unset SPANWIRE_TLS and SPANWIRE_TLS_CA " +
				"where handlers run", "service-tls-cert"},
		}
	}
	return map[protocol]wrongProtocol{
		protocolHTTP1: {"HTTP/1 without TLS arrived at service-address, which is for handlers and emitters by gRPC with TLS: browsers use http-address, " +
			b.HTTPAddress(), "http-address"},
		protocolHTTP2: {"gRPC without TLS arrived at service-address, which has a certificate: set SPANWIRE_TLS_CA or SPANWIRE_TLS=true where handlers " +
			"run", "service-tls-cert"},
	}
}

// wrongAtOperators says what does not belong to operator-address.
func (b *Broker) wrongAtOperators() map[protocol]wrongProtocol {
	wrong := map[protocol]wrongProtocol{
		protocolHTTP2: {"HTTP/2, as gRPC speaks it, arrived at operator-address: handlers, emitters and commands dial service-address, " +
			b.ServiceAddress(), "service-address"},
	}
	if b.secured.operators == nil {
		wrong[protocolTLS] = wrongProtocol{"TLS arrived at operator-address, which has no certificate: use http://, or set operator-tls-cert", "operator-tls-cert"}
	} else {
		wrong[protocolHTTP1] = wrongProtocol{"plain HTTP arrived at operator-address, which has a certificate: use https://", "operator-tls-cert"}
	}
	return wrong
}

// Accept implements net.Listener.
func (l *firstBytes) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.watch(c), nil
}

func (l *firstBytes) watch(c net.Conn) net.Conn { return &firstBytesConn{Conn: c, listener: l} }

// seen counts and logs a connection that begins with what does not belong there.
func (l *firstBytes) seen(first []byte, from net.Addr) {
	p := protocolFromBytes(first)
	wrong, ok := l.wrong[p]
	if !ok {
		return
	}
	l.counter.With(string(p)).Inc()
	if ok, suppressed := l.quiet.Allow(string(p)); ok {
		l.log.Warn(wrong.text, "reason", p, "address", from.String(), "setting", wrong.setting, "suppressed", suppressed)
	}
}

// protocolFromBytes is the protocol of the first bytes of a connection, or empty when they show
// none.
func protocolFromBytes(first []byte) protocol {
	const handshake, version = 0x16, 0x03 // of a record with a ClientHello
	switch {
	case len(first) > 1 && first[0] == handshake && first[1] == version:
		return protocolTLS
	case bytes.HasPrefix(first, []byte("PRI * HTTP/2")):
		return protocolHTTP2
	case bytes.HasPrefix(first, slices.Concat(proxyproto.SIGV1, []byte(" "))), bytes.HasPrefix(first, proxyproto.SIGV2):
		return protocolProxy
	}
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS "} {
		if bytes.HasPrefix(first, []byte(method)) {
			return protocolHTTP1
		}
	}
	return ""
}

// firstBytesConn looks at what is read first. It is read from one goroutine at a time.
type firstBytesConn struct {
	net.Conn
	listener *firstBytes
	begun    bool // something was read
}

// Read implements net.Conn.
func (c *firstBytesConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun {
		c.begun = true
		c.listener.seen(p[:n], c.RemoteAddr())
	}
	return n, err
}

// Write implements net.Conn. The HTTP server refuses a header that is too large before any handler,
// and tells nobody else.
func (c *firstBytesConn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, headerTooLarge) {
		c.listener.guard.rejected.With("header").Inc()
		c.listener.guard.say(&refusal{reason: "header", setting: "max-header", text: "its header, with URL and cookies, is larger than max-header allows"},
			c.RemoteAddr().String())
	}
	return c.Conn.Write(p)
}

var headerTooLarge = []byte("HTTP/1.1 431 ")

// SyscallConn implements syscall.Conn, by which WebSockets are written without a goroutine of their
// own.
func (c *firstBytesConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.EINVAL
}

// CloseWrite closes the writing side, as of a TCP connection.
func (c *firstBytesConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}
