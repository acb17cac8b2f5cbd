// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/bridge/httpapi"
)

// HTTPOptions says where EmitterService is offered by HTTP and JSON too.
type HTTPOptions struct {
	// Host of the listener, and whether only programs on this machine reach it: unless callers must
	// show who they are, nobody else may call.
	Host     string
	Loopback bool
	// MaxBody bounds the body of a request in bytes, BodyTimeout its reading.
	MaxBody     int
	BodyTimeout time.Duration
}

// HTTP makes the handler that offers EmitterService by HTTP and JSON under httpapi.Prefix.
func (s *Server) HTTP(o HTTPOptions) http.Handler {
	who := authInterceptor{s.o.Callers, s.o.Rejected}
	x := httpapi.Options{
		Emitter: s, Open: !who.callers.Asked(), Host: o.Host, MaxBody: o.MaxBody, BodyTimeout: o.BodyTimeout,
		Authenticate: func(r *http.Request) (context.Context, error) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			ctx, err := who.authenticateAs(r.Context(), credential{token, r.TLS})
			who.report(r.Context(), r.Method+" "+r.URL.Path, err)
			return ctx, err
		},
	}
	if x.Open && !o.Loopback {
		x.Closed = "the operators' listener can be reached from other machines, where anyone could call this: set service-tokens or " +
			"service-callers, or give operator-address a loopback address"
	}
	return httpapi.New(x)
}
