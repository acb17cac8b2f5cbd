// SPDX-License-Identifier: Apache-2.0

package process

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Line carries connections to a listener, until it is cut or held: that is how a program of any
// language loses its transport. One to several listeners carries each connection to the next of
// them that takes it.
type Line struct {
	// Fixed at birth.
	listener net.Listener
	targets  []string
	next     atomic.Uint64
	carried  sync.WaitGroup
	over     chan struct{} // closed with Close

	mu     sync.Mutex // guards all below
	closed bool
	open   map[net.Conn]struct{} // both ends of all connections
	gate   chan struct{}         // closed when bytes may pass
}

// Listen makes a line to an address, or to several.
func Listen(targets ...string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Line{
		listener: listener, targets: targets, over: make(chan struct{}), open: make(map[net.Conn]struct{}), gate: make(chan struct{}),
	}
	close(l.gate)
	l.carried.Go(l.accept) // ends with Close
	return l, nil
}

// Address is where to dial instead of the target.
func (l *Line) Address() string { return l.listener.Addr().String() }

func (l *Line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // Close ended it
		}
		l.carried.Go(func() { l.carry(near) }) // ends with either end, at the latest with Close
	}
}

// carry copies both ways until both ends have said all, or the line is cut.
func (l *Line) carry(near net.Conn) {
	defer l.drop(near)
	if !l.keep(near) || !l.pass() {
		return
	}
	far, err := l.dial()
	if err != nil {
		return // the target is gone: so is the connection
	}
	defer l.drop(far)
	if !l.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pipe(near, far) })
	both.Go(func() { l.pipe(far, near) })
	both.Wait()
}

func (l *Line) dial() (far net.Conn, err error) {
	for range l.targets {
		if far, err = net.Dial("tcp", l.targets[l.next.Add(1)%uint64(len(l.targets))]); err == nil {
			break
		}
	}
	return far, err
}

// pipe copies one way and tells the other end that this way has ended.
func (l *Line) pipe(to, from net.Conn) {
	_, _ = io.Copy(writer{l, to}, from) // how a connection ends is the ends' matter
	if l.pass() {
		_ = to.(*net.TCPConn).CloseWrite()
	}
}

// writer writes when bytes may pass.
type writer struct {
	line *Line
	to   net.Conn
}

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if !w.line.pass() {
		return 0, net.ErrClosed
	}
	return w.to.Write(p)
}

// pass waits until bytes may pass, and tells whether they ever may.
func (l *Line) pass() bool {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-l.over:
		return false
	}
}

func (l *Line) keep(end net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.open[end] = struct{}{}
	}
	return !l.closed
}

func (l *Line) drop(end net.Conn) {
	_ = end.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, end)
}

// Cut ends what is open; new connections are carried as before.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.open {
		_ = end.Close()
	}
}

// Hold lets nothing pass either way, not even the end of a connection, until Release.
func (l *Line) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = make(chan struct{})
}

// Release lets pass what was held, and what comes.
func (l *Line) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.gate)
}

// Close ends the line and all that it carries. It is called once.
func (l *Line) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.over)
	l.Cut()
	l.carried.Wait()
	return err
}
