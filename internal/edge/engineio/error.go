// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// refusal is an answer that turns a request away. Code and message are the protocol's, for clients; cause is for counters.
type refusal struct {
	code    int
	status  int
	message string
	cause   string
}

var (
	refusedTransport = &refusal{0, http.StatusBadRequest, "Transport unknown", "transport unknown"}
	refusedSession   = &refusal{1, http.StatusBadRequest, "Session ID unknown", "session unknown"}
	refusedMethod    = &refusal{2, http.StatusBadRequest, "Bad handshake method", "handshake method"}
	refusedMismatch  = &refusal{3, http.StatusBadRequest, "Bad request", "transport mismatch"}
	refusedHandshake = &refusal{3, http.StatusBadRequest, "Bad request", "websocket handshake"}
	refusedPayload   = &refusal{3, http.StatusBadRequest, "Bad request", "payload"}
	refusedVersion   = &refusal{5, http.StatusBadRequest, "Unsupported protocol version", "protocol version"}
	refusedJSONP     = &refusal{3, http.StatusBadRequest, "Bad request", "jsonp"}
	refusedDraining  = &refusal{4, http.StatusServiceUnavailable, "Server shutting down", "draining"}
	refusedOverlap   = &refusal{3, http.StatusBadRequest, "", "overlapping requests"}
	refusedTooLarge  = &refusal{3, http.StatusRequestEntityTooLarge, "", "payload too large"}
	refusedSlowBody  = &refusal{3, http.StatusRequestTimeout, "", "slow body"}
	refusedVerb      = &refusal{2, http.StatusMethodNotAllowed, "", "method"}
	refusedPath      = &refusal{0, http.StatusNotFound, "", "path"}
)

// originRefused names what was received and what to change.
func originRefused(origin string) *refusal {
	const shown = 200
	if len(origin) > shown {
		origin = origin[:shown] + "..."
	}
	message := "Origin " + strconv.Quote(origin) + " is not allowed: add it to the setting allowed-origins"
	if origin == "" {
		message = "A request without Origin is not allowed: clear the setting require-origin"
	}
	return &refusal{4, http.StatusForbidden, message, "origin"}
}

// refuse answers with JSON, or with the bare message where a WebSocket was asked for.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	s.obs.Refused(why.cause)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	var body []byte
	switch {
	case why.message == "":
	case isUpgrade(r) && why.status != http.StatusForbidden:
		h.Set("Content-Type", "text/html")
		body = []byte(why.message)
	default:
		h.Set("Content-Type", "application/json")
		body, _ = json.Marshal(struct { // two plain fields always marshal
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{why.code, why.message})
	}
	if isUpgrade(r) || why.status == http.StatusRequestEntityTooLarge || why.status == http.StatusRequestTimeout {
		h.Set("Connection", "close") // nothing sensible follows on this connection
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(why.status)
	w.Write(body)
}
