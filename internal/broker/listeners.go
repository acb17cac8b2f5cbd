// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
)

const idleTimeout = 2 * time.Minute // between two requests on one connection

// listeners are the open listeners. Operators and forwarded requests may have none.
type listeners struct{ http, services, operators, forward net.Listener }

func (l *listeners) open(c *Listen) (err error) {
	if l.http, err = listen("http-address", c.HTTPAddress); err != nil {
		return err
	}
	if l.services, err = listen("service-address", c.ServiceAddress); err != nil {
		return err
	}
	if c.OperatorAddress != "" {
		l.operators, err = listen("operator-address", c.OperatorAddress)
	}
	return err
}

func (l *listeners) close() {
	for _, x := range []net.Listener{l.http, l.services, l.operators, l.forward} {
		if x != nil {
			_ = x.Close()
		}
	}
}

// newHTTPServer makes a server whose limits hold against untrusted clients. It bounds no response:
// some last as long as their browser.
func (b *Broker) newHTTPServer(listener string, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           closeAfterUnclear(boundBody(b.config.Edge.Engine.BodyTimeout, b.guard(listener).methods(h))),
		ReadHeaderTimeout: b.config.Listen.HeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    b.config.Listen.MaxHeader,
		ConnContext:       engineio.ConnContext,
		ErrorLog:          log.New(httpErrors{b.handshakes(listener)}, "", 0),
	}
}

// route gives requests at or under the paths to the browsers' entry point, and all others,
// unchanged, to the web application.
func route(paths []string, browsers, app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, path := range paths {
			if r.URL.Path == path || strings.HasPrefix(r.URL.Path, strings.TrimSuffix(path, "/")+"/") {
				browsers.ServeHTTP(w, r)
				return
			}
		}
		app.ServeHTTP(w, r)
	})
}

// serve starts the servers of all listeners, the browsers' last. Each goroutine ends with its
// server.
func (b *Broker) serve() {
	if l := b.listeners.operators; l != nil {
		b.serving.Go(func() {
			b.served("operators", b.operators.Serve(secure(b.listening("operators", l, b.wrongAtOperators()), b.secured.operators)))
		})
	}
	if l := b.listeners.forward; l != nil {
		b.serving.Go(func() { b.served("replicas", b.others.Serve(secure(l, b.secured.cluster))) })
	}
	b.serving.Go(func() { b.served("services", b.services.Serve(b.listeners.services)) })
	browsers := b.listeners.http
	if c := &b.config.Listen; c.ProxyProtocol {
		proxies, _ := c.Proxies() // build has read them
		browsers = &proxyListener{Listener: browsers, proxies: proxies, timeout: c.HeaderTimeout, log: b.log}
	}
	browsers = b.listening("browsers", browsers, b.wrongAtBrowsers())
	b.serving.Go(func() { b.served("browsers", b.browsers.Serve(secure(browsers, b.secured.http))) })
}

func (b *Broker) served(listener string, err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !b.draining.Load() {
		b.log.Error("listener failed", "listener", listener, "err", err)
	}
}

// shutdown closes a server, gently while ctx lasts.
func shutdown(ctx context.Context, s *http.Server) error {
	err := s.Shutdown(ctx)
	if err != nil {
		_ = s.Close() // the first error says more
	}
	return err
}
