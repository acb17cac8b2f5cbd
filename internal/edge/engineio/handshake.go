// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/origin"
	"github.com/spanwire/spanwire/internal/sio"
)

// newHandshake keeps what the opening request said, but for what a browser says in the name of a
// proxy. The session adds its revision.
func (s *Server) newHandshake(r *http.Request, c *caller, t Transport) *sio.Handshake {
	n := 0
	for _, values := range r.Header {
		n += len(values)
	}
	headers := make([]sio.Header, 0, n)
	trusted := s.trusts(origin.Address(r.RemoteAddr))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if SaidByProxy(name, trusted) {
			continue
		}
		for _, value := range r.Header[name] {
			headers = append(headers, sio.Header{Name: name, Value: value})
		}
	}
	return &sio.Handshake{
		Method:      r.Method,
		URL:         r.RequestURI,
		Host:        c.host,
		Headers:     headers,
		Address:     c.address,
		Secure:      c.secure,
		CrossDomain: c.crossDomain(r),
		IssuedMs:    time.Now().UnixMilli(),
		Transport:   string(t),
	}
}

// openData is the data of the open packet.
func (s *Server) openData(id sio.SessionID, t Transport) []byte {
	upgrades := s.o.upgrades(t)
	if upgrades == nil {
		upgrades = []Transport{}
	}
	data, _ := json.Marshal(struct { // plain fields always marshal
		SID          sio.SessionID `json:"sid"`
		Upgrades     []Transport   `json:"upgrades"`
		PingInterval int64         `json:"pingInterval"`
		PingTimeout  int64         `json:"pingTimeout"`
		MaxPayload   int64         `json:"maxPayload"`
	}{id, upgrades, s.o.PingInterval.Milliseconds(), s.o.PingTimeout.Milliseconds(), s.o.MaxPayload})
	return data
}
