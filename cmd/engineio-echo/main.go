// SPDX-License-Identifier: Apache-2.0

// Command engineio-echo serves Engine.IO and sends every message back, with its kind. Protocol test
// suites and load generators are pointed at it; its defaults are those of the official suite.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/sio"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "engineio-echo:", err)
		os.Exit(1)
	}
}

// echo sends back what it gets.
type echo struct{ session *engineio.Session }

// Message implements engineio.Receiver.
func (e echo) Message(data []byte, binary bool) {
	e.session.Queue(engineio.Message{Data: data, Binary: binary})
	e.session.Flush()
}

// Drain implements engineio.Receiver.
func (echo) Drain() []<-chan struct{} { return nil }

// Closed implements engineio.Receiver.
func (echo) Closed(sio.Reason) {}

func run(args []string) error {
	o, address, level, err := parse(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	engine := engineio.NewServer(o, func(s *engineio.Session) engineio.Receiver { return echo{s} }, engineio.NopObserver{}, log)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: engine, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stopped := make(chan error, 1)
	go func() { // ends with Serve, below
		<-ctx.Done()
		stop()
		drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- errors.Join(engine.Drain(drain), server.Shutdown(drain))
	}()
	fmt.Printf("listening on http://%s%s\n", listener.Addr(), o.Paths[0])
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// parse reads the flags. Durations are in milliseconds.
func parse(args []string) (o engineio.Options, address string, level slog.Level, err error) {
	o = engineio.DefaultOptions()
	o.Paths, o.PingInterval, o.PingTimeout = []string{"/engine.io/"}, 300*time.Millisecond, 200*time.Millisecond
	f := flag.NewFlagSet("engineio-echo", flag.ContinueOnError)
	host := f.String("host", "127.0.0.1", "address to listen on")
	port := f.Int("port", 3000, "port to listen on; 0 takes a free one")
	f.TextVar(&level, "log-level", slog.LevelWarn, "least level that is logged")
	f.StringVar(&o.Paths[0], "path", o.Paths[0], "path to serve")
	milliseconds(f, &o.PingInterval, "ping-interval", "time from a pong to the next ping")
	milliseconds(f, &o.PingTimeout, "ping-timeout", "time for the answer to a ping")
	milliseconds(f, &o.UpgradeTimeout, "upgrade-timeout", "time for an upgrade")
	milliseconds(f, &o.CloseTimeout, "close-timeout", "time for a polling client to fetch the close")
	milliseconds(f, &o.BodyTimeout, "body-timeout", "time for the body of a POST")
	milliseconds(f, &o.WriteTimeout, "write-timeout", "time without progress of a write")
	milliseconds(f, &o.DrainSpread, "drain-spread", "time over which sessions are closed at the end")
	f.Int64Var(&o.MaxPayload, "max-payload", o.MaxPayload, "largest payload, in bytes")
	f.IntVar(&o.MaxPacketsPerPayload, "max-packets-per-payload", o.MaxPacketsPerPayload, "most packets in a payload")
	f.IntVar(&o.MaxPacketsPerAnswer, "max-packets-per-answer", o.MaxPacketsPerAnswer, "most packets in an answer")
	f.IntVar(&o.MaxOutbound, "max-outbound", o.MaxOutbound, "bytes that may wait for a client")
	f.BoolVar(&o.AllowUpgrades, "allow-upgrades", o.AllowUpgrades, "let polling sessions upgrade")
	f.BoolVar(&o.AllowEIO3, "allow-eio3", o.AllowEIO3, "let clients of revision 3 in, too")
	f.BoolVar(&o.AllowJSONP, "allow-jsonp", o.AllowJSONP, "let clients poll by JSONP, too")
	f.BoolVar(&o.RequireOrigin, "require-origin", o.RequireOrigin, "refuse requests that name no origin")
	transports := f.String("transports", "polling,websocket", "transports to offer")
	origins := f.String("allowed-origins", "", "other origins that may connect, or *")
	if err := f.Parse(args); err != nil {
		return o, "", level, err
	}
	o.Transports = nil
	for _, t := range list(*transports) {
		o.Transports = append(o.Transports, engineio.Transport(t))
	}
	o.Origins = list(*origins)
	return o, net.JoinHostPort(*host, strconv.Itoa(*port)), level, o.Validate()
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func milliseconds(f *flag.FlagSet, d *time.Duration, name, usage string) {
	f.Func(name, fmt.Sprintf("%s, in `milliseconds` (default %d)", usage, d.Milliseconds()), func(s string) error {
		n, err := strconv.ParseUint(s, 10, 31)
		*d = time.Duration(n) * time.Millisecond
		return err
	})
}
