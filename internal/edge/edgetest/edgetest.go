// SPDX-License-Identifier: Apache-2.0

// Package edgetest is a browser in memory, for tests: it speaks Socket.IO to an http.Handler, by
// polling or by WebSocket, and asks for what it expects in one line each. Serve needs no network
// and works in a testing/synctest bubble; ServeTCP uses a real one.
package edgetest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"
)

// patience bounds the wait for what must happen at all.
const patience = 10 * time.Second

// Server serves a handler to browsers. It stops at the end of the test, after its browsers.
type Server struct {
	t       testing.TB
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	address string
}

// Serve serves in memory.
func Serve(t testing.TB, h http.Handler) *Server {
	l := &pipeListener{conns: make(chan net.Conn), stop: make(chan struct{})}
	return serve(t, h, l, l.dial, "server.test")
}

// ServeTCP serves on a free port of 127.0.0.1.
func ServeTCP(t testing.TB, h http.Handler) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, h, l, (&net.Dialer{}).DialContext, l.Addr().String())
}

func serve(t testing.TB, h http.Handler, l net.Listener, dial func(context.Context, string, string) (net.Conn, error), address string) *Server {
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() { // ends when the cleanup below closes the listener
		server.Serve(l)
		close(served)
	}()
	t.Cleanup(func() {
		server.Close()
		l.Close()
		<-served
	})
	return &Server{t: t, dial: dial, address: address}
}

// URL is the address of a path on the server.
func (s *Server) URL(path string) string { return "http://" + s.address + path }

// Client makes an HTTP client for the server. Its connections are closed at the end of the test.
func (s *Server) Client() *http.Client {
	transport := &http.Transport{DialContext: s.dial, MaxIdleConnsPerHost: 8, DisableCompression: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// pipeListener gives out ends of pipes.
type pipeListener struct {
	conns chan net.Conn
	stop  chan struct{}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.stop:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called more than once.
func (l *pipeListener) Close() error {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- &pipeConn{server}:
		return client, nil
	case <-l.stop:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeConn is a pipe with an address as of a TCP connection.
type pipeConn struct{ net.Conn }

// RemoteAddr implements net.Conn.
func (c *pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

// Network implements net.Addr.
func (pipeAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (pipeAddr) String() string { return "192.0.2.7:1234" }
