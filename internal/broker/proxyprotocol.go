// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/origin"
)

// The PROXY protocol. A load balancer that passes bytes on without reading them says at the
// beginning of each connection whom it is from: in version 1 with a line of text, in version 2 with
// a header in binary. Connections of trusted proxies must begin so; those of anybody else have no
// such header, and are refused by the HTTP server if they send one. Nothing beyond the header is
// read here.

const (
	textSignature   = "PROXY "
	binarySignature = "\r\n\r\n\x00\r\nQUIT\n"
	shortestHeader  = len("PROXY UNKNOWN\r\n")
	longestText     = 107
	binaryHead      = 16      // signature, command, family, length
	longestBinary   = 4 << 10 // what follows the head; addresses are few bytes, extensions more
)

var errProxyHeader = errors.New("the connection does not begin with a header of the PROXY protocol")

// proxyListener gives connections of trusted proxies the addresses that they say.
type proxyListener struct {
	net.Listener
	proxies []netip.Prefix
	timeout time.Duration // for the header to come
	log     *slog.Logger
	quiet   loglimit.Limiter
}

// Accept implements net.Listener. It does not wait for the header.
func (l *proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok || !origin.Trusted(l.proxies, c.RemoteAddr().String()) {
		return c, nil
	}
	return &proxyConn{TCPConn: tcp, listener: l}, nil
}

// proxyConn reads its header when it is first asked for the address or read, which the HTTP server
// does in the connection's goroutine.
type proxyConn struct {
	*net.TCPConn
	listener *proxyListener

	once   sync.Once
	remote net.Addr
	err    error
}

// RemoteAddr implements net.Conn.
func (c *proxyConn) RemoteAddr() net.Addr {
	c.once.Do(c.begin)
	return c.remote
}

// Read implements net.Conn.
func (c *proxyConn) Read(p []byte) (int, error) {
	c.once.Do(c.begin)
	if c.err != nil {
		return 0, c.err
	}
	return c.TCPConn.Read(p)
}

func (c *proxyConn) begin() {
	c.remote = c.TCPConn.RemoteAddr()
	c.err = c.SetReadDeadline(time.Now().Add(c.listener.timeout))
	var from netip.AddrPort
	if c.err == nil {
		from, c.err = readProxyHeader(c.TCPConn)
	}
	if c.err != nil {
		if ok, suppressed := c.listener.quiet.Allow(); ok {
			c.listener.log.Warn("connection of a proxy rejected", "address", c.remote, "setting", "proxy-protocol", "err", c.err, "suppressed", suppressed)
		}
		return
	}
	if from.IsValid() {
		c.remote = net.TCPAddrFromAddrPort(from)
	}
	c.err = c.SetReadDeadline(time.Time{})
}

// readProxyHeader reads a header and nothing behind it. The address is not valid when the proxy
// speaks for itself.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	head := make([]byte, shortestHeader, longestText)
	if _, err := io.ReadFull(r, head); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte(textSignature)):
		return readProxyText(r, head)
	case bytes.HasPrefix(head, []byte(binarySignature)):
		return readProxyBinary(r, head)
	}
	return netip.AddrPort{}, errProxyHeader
}

// readProxyText reads the rest of a line byte by byte, so as not to read beyond it.
func readProxyText(r io.Reader, line []byte) (netip.AddrPort, error) {
	for next := make([]byte, 1); !bytes.HasSuffix(line, []byte("\r\n")); line = append(line, next...) {
		if len(line) == longestText {
			return netip.AddrPort{}, fmt.Errorf("%w: the line is too long", errProxyHeader)
		}
		if _, err := io.ReadFull(r, next); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%w: %w", errProxyHeader, err)
		}
	}
	const fields = 6 // PROXY, family, two addresses, two ports
	words := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if len(words) > 1 && words[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(words) != fields || (words[1] != "TCP4" && words[1] != "TCP6") {
		return netip.AddrPort{}, fmt.Errorf("%w: odd line %q", errProxyHeader, line)
	}
	from, err := netip.ParseAddrPort(net.JoinHostPort(words[2], words[4]))
	if err != nil || from.Addr().Is4() != (words[1] == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("%w: odd line %q", errProxyHeader, line)
	}
	return from, nil
}

// The commands and families of version 2.
const (
	proxyLocal   = 0x20
	proxyCommand = 0x21
	proxyTCP4    = 0x11
	proxyTCP6    = 0x21
)

func readProxyBinary(r io.Reader, head []byte) (netip.AddrPort, error) {
	head = append(head, make([]byte, binaryHead-shortestHeader)...)
	if _, err := io.ReadFull(r, head[shortestHeader:]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	command, family, length := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if length > longestBinary || (command != proxyLocal && command != proxyCommand) {
		return netip.AddrPort{}, fmt.Errorf("%w: command %#x with %d bytes", errProxyHeader, command, length)
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(r, rest); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	size := 0
	switch {
	case command == proxyLocal:
		return netip.AddrPort{}, nil // a health check of the proxy's own
	case family == proxyTCP4:
		size = net.IPv4len
	case family == proxyTCP6:
		size = net.IPv6len
	default:
		return netip.AddrPort{}, nil // no address of the network
	}
	if len(rest) < 2*size+2*2 {
		return netip.AddrPort{}, fmt.Errorf("%w: %d bytes are too few for two addresses", errProxyHeader, length)
	}
	a, _ := netip.AddrFromSlice(rest[:size]) // the size is right
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(rest[2*size:])), nil
}
