// SPDX-License-Identifier: Apache-2.0

// Package loadgen is the load generator: many Socket.IO clients over WebSocket, cheap enough that
// the server is what is measured. It speaks to loopback only, and every run is bounded in clients
// and in time. bench/run and tests call it; it knows nothing of the broker, so it treats every
// Socket.IO server alike.
//
// A client is one TCP connection and one goroutine that reads it. The goroutine also writes what
// its own reads ask for (the next event of a closed loop), everything that one read led to in one
// write.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// MaxClients bounds one run.
const MaxClients = 20000

// dialers is how many connections are opened at a time.
const dialers = 64

// Options says whom to load.
type Options struct {
	// Address is the server's "host:port" on the loopback.
	Address string
	// Path is the Socket.IO path. Empty means "/socket.io/".
	Path string
	// Clients is how many to connect.
	Clients int
}

// Fleet is a number of connected clients.
type Fleet struct {
	clients []*client
	readers sync.WaitGroup
	// failed holds the first error of a client that was not asked to end.
	failed  atomic.Pointer[error]
	closing atomic.Bool
	// lost counts the clients that were not asked to end.
	lost atomic.Int64
	// broken is closed at the first failure.
	broken     chan struct{}
	breakOnce  sync.Once
	deliveries deliveries
}

// Connect opens all clients and waits until each is connected to the main namespace.
func Connect(ctx context.Context, o Options) (*Fleet, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f := &Fleet{clients: make([]*client, o.Clients), broken: make(chan struct{})}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		next atomic.Int64
		busy sync.WaitGroup
	)
	for range min(dialers, o.Clients) {
		busy.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= o.Clients {
					return
				}
				c, err := dial(ctx, &o, i)
				if err != nil {
					stop(fmt.Errorf("client %d of %d: %w", i+1, o.Clients, err))
					return
				}
				c.fleet = f
				f.clients[i] = c
			}
		})
	}
	busy.Wait()
	if err := context.Cause(ctx); err != nil {
		f.Close()
		return nil, err
	}
	for _, c := range f.clients {
		f.readers.Add(1)
		go c.read() // ends with its connection; Close waits for it
	}
	return f, nil
}

func (o *Options) check() error {
	if o.Path == "" {
		o.Path = "/socket.io/"
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address, and nothing else is ever loaded", o.Address)
	}
	if o.Clients < 1 || o.Clients > MaxClients {
		return fmt.Errorf("%d clients asked for; 1 to %d are possible", o.Clients, MaxClients)
	}
	return CheckFiles(o.Clients)
}

// CheckFiles tells whether this process, and so each that it starts, may open that many
// connections.
func CheckFiles(clients int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(clients) + 200; limit.Cur < need {
		return fmt.Errorf("%d open files are allowed and %d are needed; run: ulimit -n %d", limit.Cur, need, need)
	}
	return nil
}

// Close ends all clients without a word, and waits for their goroutines.
func (f *Fleet) Close() {
	f.closing.Store(true)
	for _, c := range f.clients {
		if c != nil {
			c.abort()
		}
	}
	f.readers.Wait()
}

// lose follows the end of a client's connection.
func (f *Fleet) lose(err error) {
	if !f.closing.Load() {
		f.lost.Add(1)
	}
	f.fail(err)
}

// Disconnects counts the clients that lost their connection.
func (f *Fleet) Disconnects() int { return int(f.lost.Load()) }

// fail notes that a client ended which should not have.
func (f *Fleet) fail(err error) {
	if f.closing.Load() {
		return
	}
	f.failed.CompareAndSwap(nil, &err)
	f.breakOnce.Do(func() { close(f.broken) })
}

// Err gives the first failure of a client.
func (f *Fleet) Err() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// wait waits for a while, or until a client fails.
func (f *Fleet) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.broken:
		return f.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errStalled = errors.New("the server does not answer any more")
