// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bufio"
	"errors"
	"net"
	"net/http"

	"github.com/spanwire/spanwire/internal/hijack"
)

var earlyData = &refusal{status: http.StatusBadRequest, reason: "early_data", text: hijack.ErrEarly.Error()}

// upgrades refuses clients that send data before the upstream application has answered their
// upgrade. The reverse proxy of the standard library would lose it.
func (g *guard) upgrades(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w = &upgrading{ResponseWriter: w, r: r, guard: g}
		}
		next.ServeHTTP(w, r)
	})
}

// upgrading is the answer to an upgrade.
type upgrading struct {
	http.ResponseWriter
	r       *http.Request
	guard   *guard
	refused bool
}

// Hijack implements http.Hijacker.
func (u *upgrading) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := hijack.Take(u.ResponseWriter)
	if errors.Is(err, hijack.ErrEarly) {
		u.refused = true
		a := hijack.NewAnswer(conn, make(http.Header))
		u.guard.refuse(a, u.r, earlyData)
		a.Close()
	}
	if err != nil {
		return nil, nil, err
	}
	return conn, rw, nil
}

// Unwrap serves http.ResponseController.
func (u *upgrading) Unwrap() http.ResponseWriter { return u.ResponseWriter }
