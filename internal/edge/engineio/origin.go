// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/internal/origin"
)

// Origins are checked on every transport and before all else: CORS alone does not stop a WebSocket.
// A page of this server's own origin may connect, one of an allowed origin too, any other not.
// Programs that are no browsers send no Origin.

// origins decides by the Origin header.
type origins struct {
	*origin.Origins
	require bool
}

func newOrigins(o *Options) *origins {
	allowed, _ := origin.ParseOrigins(o.Origins) // Validate says what is wrong with them
	return &origins{allowed, o.RequireOrigin}
}

// verdict is what the check says of one request.
type verdict struct {
	ok    bool
	cross bool // another origin's page, and allowed by name
}

func (p *origins) check(r *http.Request, own string) verdict {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		// A browser sends no Origin with a GET to its page's own origin, but says so in another
		// header.
		return verdict{ok: !p.require || r.Header.Get("Sec-Fetch-Site") == "same-origin"}
	}
	if len(values) > 1 {
		return verdict{}
	}
	if p.Lists(values[0]) {
		return verdict{ok: true, cross: true}
	}
	normal, ok := origin.Normal(values[0])
	return verdict{ok: p.Any() || ok && normal == own}
}

// ownOrigin is the origin of the pages that the request's host serves.
func (c *caller) ownOrigin() string {
	return origin.Of(origin.Scheme(c.secure), c.host)
}

// crossDomain tells whether the request comes from a page of another origin.
func (c *caller) crossDomain(r *http.Request) bool {
	said := r.Header.Get("Origin")
	normal, ok := origin.Normal(said)
	return said != "" && (!ok || normal != c.ownOrigin())
}

// allow checks the request and sets what CORS asks for, or refuses it.
func (s *Server) allow(w http.ResponseWriter, r *http.Request) bool {
	page := r.Header.Get("Origin")
	v := verdict{ok: !s.origins.require}
	if len(r.Header["Origin"]) > 0 || s.origins.require {
		c := s.callerFromRequest(r)
		v = s.origins.check(r, c.ownOrigin())
	}
	if !v.ok {
		s.refuse(w, r, s.originRefused(r))
		return false
	}
	h := w.Header()
	switch {
	case v.cross:
		h.Set("Access-Control-Allow-Origin", page)
		if page != origin.Null { // which any page can give itself
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	case s.origins.Any():
		// Without credentials: all origins are accepted, not those of users who are logged in
		// elsewhere.
		h.Set("Access-Control-Allow-Origin", origin.Any)
	}
	if s.origins.Some() {
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
