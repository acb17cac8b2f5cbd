// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // for what must happen at all

// pipeListener gives out ends of net.Pipe, so that a whole server runs under faked time.
type pipeListener struct {
	conns chan net.Conn
	stop  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.stop:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }
func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- &pipeConn{server}:
		return client, nil
	case <-l.stop:
		return nil, net.ErrClosed
	}
}

// pipeConn is a pipe with an address as of a TCP connection.
type pipeConn struct{ net.Conn }

func (c *pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "tcp" }
func (pipeAddr) String() string  { return "192.0.2.7:1234" }

// recorder is a Receiver that echoes and remembers.
type recorder struct {
	session *Session
	// hold is called in Message before anything else, when set.
	hold func(data string)

	mu       sync.Mutex
	messages []string
	reason   sio.Reason
	closed   chan struct{}
	open     []<-chan struct{} // what Drain gives
	inside   bool
	t        testing.TB
}

func (r *recorder) Message(data []byte, binary bool) {
	r.mu.Lock()
	if r.inside || r.reason != "" {
		r.t.Error("Message at the same time as another, or after Closed")
	}
	r.inside = true
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		hold(string(data))
	}
	r.mu.Lock()
	r.inside = false
	r.messages = append(r.messages, string(data))
	r.mu.Unlock()
	r.session.Queue(Message{Data: data, Binary: binary})
	r.session.Flush()
}

func (r *recorder) Drain() []<-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inside {
		r.t.Error("Drain within Message")
	}
	return r.open
}

func (r *recorder) Closed(reason sio.Reason) {
	r.mu.Lock()
	if r.inside || r.reason != "" {
		r.t.Error("Closed within Message, or twice")
	}
	r.reason = reason
	r.mu.Unlock()
	close(r.closed)
}

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.messages...)
}

// counts is an Observer that remembers.
type counts struct {
	NopObserver
	mu      sync.Mutex
	refused map[string]int
	closed  map[string]int
	failed  int
	done    int
}

func (c *counts) Refused(cause string) { c.mu.Lock(); c.refused[cause]++; c.mu.Unlock() }
func (c *counts) Closed(transport, reason string) {
	c.mu.Lock()
	c.closed[transport+" "+reason]++
	c.mu.Unlock()
}
func (c *counts) Upgraded()      { c.mu.Lock(); c.done++; c.mu.Unlock() }
func (c *counts) UpgradeFailed() { c.mu.Lock(); c.failed++; c.mu.Unlock() }

// world is a server, and a client for it.
type world struct {
	t         testing.TB
	engine    *Server
	obs       *counts
	client    *http.Client
	dialer    *websocket.Dialer
	address   string // host and port
	recorders sync.Map
}

// newWorld serves on 127.0.0.1.
func newWorld(t testing.TB, change func(*Options)) *world {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := (&net.Dialer{}).DialContext
	return startWorld(t, l, dial, l.Addr().String(), change)
}

// inBubble runs a test on a server in memory, under faked time.
func inBubble(t *testing.T, change func(*Options), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), stop: make(chan struct{})}
		w := startWorld(t, l, l.dial, "server.test", change)
		t.Cleanup(func() { close(l.stop) })
		test(t, w)
	})
}

func startWorld(t testing.TB, l net.Listener, dial func(context.Context, string, string) (net.Conn, error), address string, change func(*Options)) *world {
	o := DefaultOptions()
	o.Paths = []string{"/engine.io/"}
	if change != nil {
		change(&o)
	}
	w := &world{t: t, address: address, obs: &counts{refused: map[string]int{}, closed: map[string]int{}}}
	log := slog.New(slog.DiscardHandler)
	w.engine = NewServer(o, func(s *Session) Receiver {
		r := &recorder{t: t, session: s, closed: make(chan struct{})}
		w.recorders.Store(s.ID(), r)
		return r
	}, w.obs, log)
	server := &http.Server{Handler: w.engine, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}
	served := make(chan struct{})
	go func() {
		server.Serve(l)
		close(served)
	}()
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 100}
	w.client = &http.Client{Transport: transport}
	w.dialer = &websocket.Dialer{NetDialContext: dial, HandshakeTimeout: patience}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		w.engine.Drain(ctx)
		w.engine.Drain(context.Background()) // what was aborted ends, too
		transport.CloseIdleConnections()
		server.Close()
		l.Close()
		<-served
	})
	return w
}
