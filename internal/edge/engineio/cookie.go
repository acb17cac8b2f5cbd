// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Cookie is a cookie with the session's id on the first answer of a session, for load balancers
// that send all requests of a session to one place by it. Without a name there is none.
type Cookie struct {
	Name     string
	Path     string // left out when it is empty: browsers then take the path of the request
	Domain   string
	MaxAge   time.Duration // 0 keeps it until the browser closes
	Secure   bool
	HTTPOnly bool
	SameSite http.SameSite
}

func (c *Cookie) cookie(value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // the operator decides
		Name: c.Name, Value: value, Path: c.Path, Domain: c.Domain, MaxAge: int(c.MaxAge / time.Second), Secure: c.Secure,
		HttpOnly: c.HTTPOnly, SameSite: c.SameSite,
	}
}

// setCookie puts the cookie on the first answer of a session.
func (s *Server) setCookie(w http.ResponseWriter, id sio.SessionID) {
	if s.o.Cookie.Name != "" {
		http.SetCookie(w, s.o.Cookie.cookie(string(id)))
	}
}
