// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/api/querystring"
)

// Clients read any number of packets from one polling answer, with one exception: python-engineio
// raises an error over more than 16 (Payload.max_decode_packets) and closes the session. Two signs
// tell it. The HTTP libraries that it uses, requests and aiohttp, name Python in the User-Agent,
// unless the program sets another. And the cache buster is Python's time.time(), seconds with a
// fraction, unless the program turns it off; no other client writes it so.

const (
	anyAgent = "*"
	// cacheBuster is the query key that keeps proxies from answering a GET themselves.
	cacheBuster = "t"
)

// mostPackets is how many of the waiting packets the answer to a GET may hold.
func (s *Server) mostPackets(r *http.Request, waiting int) int {
	if waiting > s.o.MaxPacketsPerAnswer && s.packetLimited(r) {
		return s.o.MaxPacketsPerAnswer
	}
	return waiting
}

// packetLimited tells a client that does not take any number of packets.
func (s *Server) packetLimited(r *http.Request) bool {
	agent := strings.ToLower(r.UserAgent())
	for _, limited := range s.o.PacketLimitedAgents {
		if limited == anyAgent || strings.Contains(agent, strings.ToLower(limited)) {
			return true
		}
	}
	return len(s.o.PacketLimitedAgents) > 0 && slices.ContainsFunc(querystring.Parse(r.URL.RawQuery)[cacheBuster], isPythonTime)
}

// isPythonTime tells a number as Python prints time.time(): digits, a point, and digits.
func isPythonTime(text string) bool {
	const digits = "0123456789"
	whole, fraction, ok := strings.Cut(text, ".")
	return ok && whole != "" && fraction != "" && strings.Trim(whole, digits) == "" && strings.Trim(fraction, digits) == ""
}
