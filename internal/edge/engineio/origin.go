// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Origins are checked on every transport and before all else: CORS alone does not stop a WebSocket. A page of this server's own
// origin may connect, one of an allowed origin too, any other not. Programs that are no browsers send no Origin.

const anyOrigin = "*"

// origins decides by the Origin header.
type origins struct {
	any     bool
	allowed map[string]bool // in normal form
	require bool
}

func newOrigins(o *Options) *origins {
	p := &origins{allowed: make(map[string]bool), require: o.RequireOrigin}
	for _, origin := range o.Origins {
		if origin == anyOrigin {
			p.any = true
		} else if normal, ok := normalOrigin(origin); ok {
			p.allowed[normal] = true
		}
	}
	return p
}

// normalOrigin writes an origin with its port and in lower case; ok is false when it is not one, like "null".
func normalOrigin(origin string) (normal string, ok bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	return joinOrigin(u.Scheme, u.Host), true
}

func joinOrigin(scheme, host string) string {
	scheme, host = strings.ToLower(scheme), strings.ToLower(host)
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[scheme]
	if _, _, err := net.SplitHostPort(host); err != nil {
		host += defaultPort
	}
	return scheme + "://" + host
}

// verdict is what the check says of one request.
type verdict struct {
	ok    bool
	cross bool // another origin's page, and allowed by name
}

func (p *origins) check(r *http.Request, own string) verdict {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		// A browser sends no Origin with a GET to its page's own origin, but says so in another header.
		return verdict{ok: !p.require || r.Header.Get("Sec-Fetch-Site") == "same-origin"}
	}
	if len(values) > 1 {
		return verdict{}
	}
	normal, ok := normalOrigin(values[0])
	if ok && p.allowed[normal] {
		return verdict{ok: true, cross: true}
	}
	return verdict{ok: p.any || ok && normal == own}
}

// ownOrigin is the origin of the pages that the request's host serves.
func (c *caller) ownOrigin() string {
	if c.secure {
		return joinOrigin("https", c.host)
	}
	return joinOrigin("http", c.host)
}

// crossDomain tells whether the request comes from a page of another origin.
func (c *caller) crossDomain(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	normal, _ := normalOrigin(origin)
	return origin != "" && normal != c.ownOrigin()
}

// allow checks the request and sets what CORS asks for, or refuses it.
func (s *Server) allow(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	v := verdict{ok: !s.origins.require}
	if len(r.Header["Origin"]) > 0 || s.origins.require {
		c := s.callerOf(r)
		v = s.origins.check(r, c.ownOrigin())
	}
	if !v.ok {
		s.refuse(w, r, originRefused(origin))
		return false
	}
	h := w.Header()
	switch {
	case v.cross:
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	case s.origins.any:
		// Without credentials: all origins are let in, not those of users who are logged in elsewhere.
		h.Set("Access-Control-Allow-Origin", anyOrigin)
	}
	if len(s.origins.allowed) > 0 {
		h.Add("Vary", "Origin")
	}
	return true
}

// preflight answers the question that a browser asks before a request to another origin.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	if r.Method != http.MethodOptions || h.Get("Access-Control-Allow-Origin") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	if s.o.CORSMaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(s.o.CORSMaxAge/time.Second)))
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
	return true
}
