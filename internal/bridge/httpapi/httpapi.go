// SPDX-License-Identifier: Apache-2.0

// Package httpapi is EmitterService for programs that speak HTTP and JSON only: shells, PHP,
// anything. It translates requests into calls of the contract and their answers back, and knows no
// room of the broker.
package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Prefix is where all paths begin.
const Prefix = "/api/v1/"

// Options says who may call, and how much.
type Options struct {
	// Emitter carries the calls out.
	Emitter spanwirev1.EmitterServiceServer
	// Authenticate checks what the request shows, its Authorization header or its certificate, and
	// gives the context for the call. The error is a gRPC status.
	Authenticate func(r *http.Request) (context.Context, error)
	// Open says that callers need no credentials. Then a page in a browser on this machine could
	// call as well as any program, so that only requests for a loopback name, or for Host, are
	// taken.
	Open bool
	Host string // of the listener, without port
	// Closed says why every call is rejected; empty when calls are accepted.
	Closed string
	// MaxBody bounds the body of a request in bytes (setting max-call-body), BodyTimeout its
	// reading (setting body-timeout).
	MaxBody     int
	BodyTimeout time.Duration
}

// api serves the paths.
type api struct {
	Options
	routes map[string]route
}

// route is one path.
type route struct {
	methods []string
	serve   func(*call) error
}

// call is one request on its way.
type call struct {
	*api
	ctx context.Context // with the caller's credentials; this type is the request's life
	w   http.ResponseWriter
	r   *http.Request
}

// New makes the handler. It serves what is under Prefix.
func New(o Options) http.Handler {
	d := &api{Options: o}
	change := []string{http.MethodPost}
	look := []string{http.MethodGet, http.MethodPost}
	d.routes = map[string]route{
		"emit":             {change, (*call).emit},
		"call":             {change, (*call).call},
		"join":             {change, (*call).join},
		"leave":            {change, (*call).leave},
		"disconnect":       {change, (*call).disconnect},
		"set-data":         {change, (*call).setData},
		"server-side-emit": {change, (*call).serverSideEmit},
		"sockets":          {look, (*call).sockets},
		"rooms":            {look, (*call).rooms},
		"services":         {look, (*call).services},
		"services/retire":  {change, (*call).retire},
		"tail":             {[]string{http.MethodGet}, (*call).tail},
	}
	return d
}

// ServeHTTP implements http.Handler.
func (d *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	c := &call{api: d, w: w, r: r}
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (c *call) serve() error {
	if err := c.refuseBrowsers(); err != nil {
		return err
	}
	if c.Closed != "" {
		return &failure{http.StatusForbidden, "FORBIDDEN", c.Closed}
	}
	name := strings.TrimPrefix(c.r.URL.Path, Prefix)
	to, known := c.routes[name]
	if !known {
		return &failure{http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("there is no %s; there are %s", c.r.URL.Path, c.names())}
	}
	if !slices.Contains(to.methods, c.r.Method) {
		allow := strings.Join(to.methods, ", ")
		c.w.Header().Set("Allow", allow)
		return &failure{http.StatusMethodNotAllowed, "METHOD", fmt.Sprintf("%s takes %s, not %s", c.r.URL.Path, allow, c.r.Method)}
	}
	var err error
	if c.ctx, err = c.Authenticate(c.r); err != nil {
		return err
	}
	return to.serve(c)
}

func (c *call) names() string {
	all := make([]string, 0, len(c.routes))
	for name := range c.routes {
		all = append(all, Prefix+name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// refuseBrowsers rejects what a page made a browser send. A page of another origin is recognized by
// Origin or Sec-Fetch-Site; one that calls a name of its own which it lets point to this machine,
// by Host. Where credentials are asked for, Host may be any: no page can show those.
func (c *call) refuseBrowsers() error {
	const code = "CROSS_SITE"
	if site := c.r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return &failure{http.StatusForbidden, code, "pages of other origins may not call this"}
	}
	if origin := c.r.Header.Get("Origin"); origin != "" && origin != "http://"+c.r.Host && origin != "https://"+c.r.Host {
		return &failure{http.StatusForbidden, code, fmt.Sprintf("pages of other origins may not call this (Origin %q)", origin)}
	}
	if c.Open && !c.ours(c.r.Host) {
		return &failure{http.StatusForbidden, code, fmt.Sprintf("without service-tokens or service-callers, only requests for a loopback address are taken, such as "+
			"127.0.0.1 or localhost (Host %q)", c.r.Host)}
	}
	return nil
}

// ours tells whether no page can have chosen the name.
func (c *call) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback() || host == c.Host
	}
	return host == "localhost" || host != "" && strings.EqualFold(host, c.Host)
}

// answer writes the body.
func (c *call) answer(status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(data, '\n')) // an error means that the caller went away
	return nil
}
