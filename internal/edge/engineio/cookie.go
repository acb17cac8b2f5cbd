// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"fmt"
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

// DefaultCookie has no name.
func DefaultCookie() Cookie {
	return Cookie{Path: "/", HTTPOnly: true, SameSite: http.SameSiteLaxMode}
}

// Validate finds what would not be a cookie, or one that browsers throw away.
func (c *Cookie) Validate() error {
	if c.Name == "" {
		return nil
	}
	if err := c.cookie("x").Valid(); err != nil {
		return fmt.Errorf("cookie: %w", err)
	}
	if c.MaxAge < 0 || c.MaxAge%time.Second != 0 {
		return fmt.Errorf("cookie: the age %v is not a whole number of seconds", c.MaxAge)
	}
	if c.SameSite == http.SameSiteNoneMode && !c.Secure {
		return errors.New("cookie: browsers take one with same-site none only when it is secure")
	}
	return nil
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
