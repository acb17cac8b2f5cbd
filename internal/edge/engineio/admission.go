// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"net/netip"
)

// Room for sessions. A session is admitted before its WebSocket handshake is answered, so that one
// there is no room for is answered by HTTP; it counts from then on, until the server forgets it.

// room counts sessions, and those of each address when they are bounded. Server.mu guards it.
type room struct {
	opening   int // admitted, not known yet
	addresses map[netip.Prefix]int
}

var (
	refusedFull = &refusal{code: codeForbidden, status: http.StatusServiceUnavailable, cause: "sessions", setting: "max-sessions",
		message: "This server has as many sessions as its setting max-sessions allows",
		say:     "this replica has as many sessions as max-sessions allows; start another replica, or raise the setting"}
	refusedAddress = &refusal{code: codeForbidden, status: http.StatusServiceUnavailable, cause: "sessions of address",
		setting: "max-sessions-per-address", message: "Your address has as many sessions as the setting max-sessions-per-address allows",
		say: "the address has as many sessions as max-sessions-per-address allows; behind a proxy all browsers share one unless trusted-proxies names it"}
)

// enterRoom lets a session in that is about to open, or says why not.
func (s *Server) enterRoom(address string) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return refusedDraining
	case s.o.MaxSessions > 0 && len(s.sessions)+s.room.opening >= s.o.MaxSessions:
		return refusedFull
	case s.o.MaxSessionsPerAddress > 0 && s.room.addresses[neighbourhood(address)] >= s.o.MaxSessionsPerAddress:
		return refusedAddress
	}
	s.room.opening++
	s.countAddressLocked(address, 1)
	return nil
}

// leaveRoom takes back enterRoom for a session that did not open.
func (s *Server) leaveRoom(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room.opening--
	s.countAddressLocked(address, -1)
}

func (s *Server) countAddressLocked(address string, n int) {
	if s.o.MaxSessionsPerAddress == 0 {
		return
	}
	if s.room.addresses == nil {
		s.room.addresses = make(map[netip.Prefix]int)
	}
	key := neighbourhood(address)
	if s.room.addresses[key] += n; s.room.addresses[key] == 0 {
		delete(s.room.addresses, key)
	}
}

// neighbourhood is what counts as one address: with IPv6 the network that one customer usually has.
func neighbourhood(address string) netip.Prefix {
	const customer = 64
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = customer
	}
	p, _ := a.Prefix(bits) // the number fits
	return p
}
