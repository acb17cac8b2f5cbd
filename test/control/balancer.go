// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"
)

// balancer gives each request to the next replica, whatever session it names: the worst that a
// balancer can do. A replica that takes no connection is passed over.
type balancer struct {
	server  *http.Server
	at      string
	targets []string
	next    atomic.Uint64
	to      *http.Transport
	served  chan struct{}
}

func balance(targets []string) (*balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{
		at: listener.Addr().String(), targets: targets, to: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, served: make(chan struct{}),
	}
	b.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: b,
		ErrorLog:  log.New(io.Discard, "", 0), // replicas are killed
	}}
	go func() { // ends with Close
		defer close(b.served)
		_ = b.server.Serve(listener)
	}()
	return b, nil
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	if r.Body != nil {
		r.Body = io.NopCloser(r.Body) // it must outlive a connection that is not taken
	}
	for range b.targets {
		r.URL.Host = b.targets[b.next.Add(1)%uint64(len(b.targets))]
		var op *net.OpError
		if answer, err = b.to.RoundTrip(r); err == nil || !errors.As(err, &op) || op.Op != "dial" {
			break
		}
	}
	return answer, err
}

// Address is where the balancer listens.
func (b *balancer) Address() string { return b.at }

// Close ends the balancer and what it carries.
func (b *balancer) Close() error {
	err := b.server.Close()
	<-b.served
	return err
}
