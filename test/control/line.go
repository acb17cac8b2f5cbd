// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
)

// line carries connections to a replica, until it is cut: that is how a client of any language loses its transport. One to several replicas
// carries each connection to the next of them that takes it.
type line struct {
	listener net.Listener
	targets  []string
	next     atomic.Uint64
	carried  sync.WaitGroup

	mu     sync.Mutex // guards all below
	closed bool
	open   map[net.Conn]struct{} // both ends of all connections
}

func listen(targets ...string) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{listener: listener, targets: targets, open: make(map[net.Conn]struct{})}
	l.carried.Go(l.accept) // ends with close
	return l, nil
}

func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				log.Print(err)
			}
			return
		}
		l.carried.Go(func() { l.carry(near) }) // ends with either end, at the latest with close
	}
}

// carry copies both ways until both ends have said all, or the line is cut.
func (l *line) carry(near net.Conn) {
	defer l.drop(near)
	var far net.Conn
	err := net.ErrClosed
	for range l.targets {
		if far, err = net.Dial("tcp", l.targets[l.next.Add(1)%uint64(len(l.targets))]); err == nil {
			break
		}
	}
	if err != nil {
		return // the replica is gone: so is the connection
	}
	defer l.drop(far)
	if !l.keep(near, far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pipe(near, far) })
	both.Go(func() { pipe(far, near) })
	both.Wait()
}

// pipe copies one way and tells the other end that this way has ended.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // how a connection ends is the ends' matter
	_ = to.(*net.TCPConn).CloseWrite()
}

func (l *line) keep(ends ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	for _, end := range ends {
		l.open[end] = struct{}{}
	}
	return true
}

func (l *line) drop(end net.Conn) {
	_ = end.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, end)
}

// cut ends what is open; new connections are carried as before.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.open {
		_ = end.Close()
	}
}

func (l *line) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cut()
	l.carried.Wait()
}
