// SPDX-License-Identifier: Apache-2.0

// Command websocket-echo serves WebSocket on every path and sends every message back, with its
// kind. Protocol test suites are pointed at it. It checks no origin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "websocket-echo:", err)
		os.Exit(1)
	}
}

// echo is the handler and knows its connections.
type echo struct {
	upgrader *wsconn.Upgrader
	conns    sync.Map // *wsconn.Conn to nothing
	readers  sync.WaitGroup
}

// ServeHTTP implements http.Handler.
func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := e.upgrader.Upgrade(w, r)
	if err != nil {
		return // answered
	}
	e.conns.Store(conn, nil)
	conn.Flush()
	e.readers.Go(func() { // ends with the connection; close waits for it
		e.serve(conn)
		e.conns.Delete(conn)
	})
}

func (e *echo) serve(conn *wsconn.Conn) {
	defer conn.Finish()
	for {
		data, binary, err := conn.Read()
		if err != nil {
			return
		}
		switch err := conn.Queue(data, binary); {
		case errors.Is(err, wsconn.ErrFull):
			conn.Abort() // the peer sends, and does not read
			return
		case err != nil:
			return
		}
		conn.Flush()
	}
}

func (e *echo) close() {
	e.conns.Range(func(conn, _ any) bool {
		conn.(*wsconn.Conn).Close(wsconn.CodeGoingAway, "")
		return true
	})
	e.readers.Wait()
}

func run(args []string) error {
	var o wsconn.Options
	f := flag.NewFlagSet("websocket-echo", flag.ContinueOnError)
	host := f.String("host", "127.0.0.1", "address to listen on")
	port := f.Int("port", 3001, "port to listen on; 0 takes a free one")
	f.Int64Var(&o.MaxMessage, "max-message", 64<<20, "largest message, in bytes")
	f.IntVar(&o.MaxOutbound, "max-outbound", 128<<20, "bytes that may wait for a client")
	f.IntVar(&o.MaxFragments, "max-fragments", 0, "about how many fragments a message may have (default 1024)")
	if err := f.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		return err
	}
	e := &echo{upgrader: wsconn.NewUpgrader(o)}
	server := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stopped := make(chan error, 1)
	go func() { // ends with Serve, below
		<-ctx.Done()
		stop()
		drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := server.Shutdown(drain)
		e.close()
		stopped <- err
	}()
	fmt.Printf("listening on http://%s/\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
