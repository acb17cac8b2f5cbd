// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/origin"
)

// The PROXY protocol. A load balancer that passes bytes on without reading them says at the
// beginning of each connection whom it is from: in version 1 with a line of text, in version 2 with
// a header in binary. Connections of trusted proxies must begin so; others have no such header, and
// the HTTP server rejects one that they send. The library go-proxyproto parses the header.

// headerBuffer holds a line of version 1, and is small since it lives until what came behind the
// header is read.
const headerBuffer = 512

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
	rest   *bufio.Reader // what came with the header; nil when it is read
	err    error
}

// RemoteAddr implements net.Conn.
func (c *proxyConn) RemoteAddr() net.Addr {
	c.once.Do(c.begin)
	return c.remote
}

// Read implements net.Conn.
func (c *proxyConn) Read(p []byte) (n int, err error) {
	c.once.Do(c.begin)
	switch {
	case c.err != nil:
		return 0, c.err
	case c.rest == nil:
		return c.TCPConn.Read(p)
	}
	n, err = c.rest.Read(p[:min(len(p), c.rest.Buffered())])
	if c.rest.Buffered() == 0 {
		c.rest = nil
	}
	return n, err
}

// WriteTo implements io.WriterTo, so that the method of net.TCPConn does not pass by what came with
// the header.
func (c *proxyConn) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

func (c *proxyConn) begin() {
	c.remote = c.TCPConn.RemoteAddr()
	c.err = c.SetReadDeadline(time.Now().Add(c.listener.timeout))
	var from netip.AddrPort
	in := bufio.NewReaderSize(c.TCPConn, headerBuffer)
	if c.err == nil {
		from, c.err = readProxyHeader(in)
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
	if in.Buffered() > 0 {
		c.rest = in
	}
	c.err = c.SetReadDeadline(time.Time{})
}

// readProxyHeader reads a header. The address is not valid when the proxy speaks for itself.
func readProxyHeader(r *bufio.Reader) (from netip.AddrPort, err error) {
	unspecified, err := prepareHeader(r)
	if err != nil || unspecified {
		return from, err
	}
	h, err := proxyproto.Read(r)
	if err != nil {
		return from, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	if address, ok := h.SourceAddr.(*net.TCPAddr); ok && !h.Command.IsLocal() {
		from = address.AddrPort()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	}
	return from, nil
}

const (
	longestText = 107 // a line of version 1
	binaryHead  = 16  // of version 2: signature, command, family, length
)

// prepareHeader does two things that the library does not. It waits for a whole line of version 1,
// which may come in several segments. And it reads a header of version 2 whose proxy names no
// address family, which the protocol leaves to the receiver: unspecified is true then.
func prepareHeader(r *bufio.Reader) (unspecified bool, err error) {
	for n := 1; ; n = r.Buffered() + 1 {
		if _, err := r.Peek(min(n, longestText)); err != nil {
			return false, fmt.Errorf("%w: %w", errProxyHeader, err)
		}
		head, _ := r.Peek(min(r.Buffered(), longestText)) // all that came
		known := head[:min(len(head), len(proxyproto.SIGV1))]
		if !bytes.Equal(known, proxyproto.SIGV1[:len(known)]) || bytes.IndexByte(head, '\n') >= 0 || len(head) == longestText {
			break
		}
	}
	if start, _ := r.Peek(1); start[0] != proxyproto.SIGV2[0] {
		return false, nil
	}
	head, err := r.Peek(binaryHead)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	if !bytes.HasPrefix(head, proxyproto.SIGV2) || head[12] != byte(proxyproto.PROXY) || head[13] != byte(proxyproto.UNSPEC) {
		return false, nil
	}
	length := int(binary.BigEndian.Uint16(head[14:]))
	if length > int(proxyproto.MaxV2HeaderSize) {
		return false, fmt.Errorf("%w: %d bytes are too many", errProxyHeader, length)
	}
	if _, err := r.Discard(binaryHead + length); err != nil {
		return false, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	return true, nil
}
