// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/internal/hijack"
	"github.com/spanwire/spanwire/internal/sio"
)

// The protocol's codes of refused requests.
const (
	codeTransport  = 0
	codeSession    = 1
	codeMethod     = 2
	codeBadRequest = 3
	codeForbidden  = 4
	codeVersion    = 5
)

// refusal is an answer that turns a request away. Code and message are the protocol's, for clients;
// cause is for counters and the log, and say and setting for readers of the log.
type refusal struct {
	code    int
	status  int
	message string
	cause   string
	setting string
	say     string // what is wrong and what to do, for the log
	proxy   bool   // a proxy is wrong: a warning a minute
	quiet   bool   // it is logged elsewhere
}

var (
	refusedTransport = &refusal{code: codeTransport, status: http.StatusBadRequest, message: "Transport unknown", cause: "transport unknown",
		setting: "transports", say: "the setting transports leaves out what the client asks for: add it there, or have the client use the other one"}
	refusedSession = &refusal{code: codeSession, status: http.StatusBadRequest, message: "Session ID unknown", cause: "session unknown",
		say: "no session has this id: it has ended, or its replica was restarted; clients open a new one by themselves"}
	refusedMethod = &refusal{code: codeMethod, status: http.StatusBadRequest, message: "Bad handshake method", cause: "handshake method",
		say: "only a GET opens a session: the client lost the key sid of its query, or is no Socket.IO client"}
	refusedMismatch = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "transport mismatch",
		say: "the request asks for another transport than its session is on: the client has changed to WebSocket, or a proxy altered the request"}
	refusedUpgrade = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "transport mismatch",
		setting: "allow-upgrades", say: "the setting allow-upgrades keeps sessions on polling; set it, or leave polling out of the client's transports"}
	refusedNoUpgrade = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "upgrade header", proxy: true,
		say: "no Upgrade header arrived: a proxy in front drops it; have it pass on the headers Upgrade and Connection, or the client is no WebSocket client"}
	refusedHandshake = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "websocket handshake",
		say: "the request has an Upgrade header, but its query does not say transport=websocket: a WebSocket client needs that"}
	refusedEarly = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "data before handshake",
		say: hijack.ErrEarly.Error()}
	refusedPayload = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "payload",
		say: unreadable}
	refusedRevision = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "protocol version of session",
		say: "the key EIO is not what the session was opened with: two clients use one session, or a proxy altered the query"}
	refusedJSONP = &refusal{code: codeBadRequest, status: http.StatusBadRequest, message: "Bad request", cause: "jsonp", setting: "allow-jsonp",
		say: "the client polls by JSONP: set allow-jsonp to let it, or have it use XMLHttpRequest"}
	refusedDraining = &refusal{code: codeForbidden, status: http.StatusServiceUnavailable, message: "Server shutting down", cause: "draining",
		say: "this replica drains"}
	refusedOverlap = &refusal{code: codeBadRequest, status: http.StatusBadRequest, cause: "overlapping requests",
		say: "two GETs or two POSTs of one session came at the same time: two programs use it, or a proxy repeats requests"}
	refusedSlowBody = &refusal{code: codeBadRequest, status: http.StatusRequestTimeout,
		message: "The body did not come within the time of the setting body-timeout", cause: "slow body", setting: "body-timeout",
		say: "the body of a polling request did not come within body-timeout; raise it for slow links"}
	refusedVerb = &refusal{code: codeMethod, status: http.StatusMethodNotAllowed, cause: "method", say: "a session takes GET and POST only"}
)

// tooLarge is what becomes of a session whose browser sends a body that is larger than MaxPayload.
func tooLarge(o *Options) *fault {
	f := limited(sio.ReasonPayloadTooLarge, LimitSize, "payload too large", "max-payload",
		o.explain(LimitSize, fmt.Sprintf("The body or message is larger than the setting max-payload allows (%d bytes)", o.MaxPayload)))
	f.refusal.quiet = true // the end of the session is logged
	return f
}

// tooMany is what becomes of a session whose browser sends more packets in one body than
// MaxPacketsPerPayload.
func tooMany(o *Options) *fault {
	f := limited(sio.ReasonParseError, LimitCount, "packets in payload", "max-packets-per-payload",
		fmt.Sprintf("The body holds more packets than the setting max-packets-per-payload allows (%d)", o.MaxPacketsPerPayload))
	f.refusal.say = "the browser sent more packets in one body than max-packets-per-payload allows; raise the setting, or send less at a time"
	return f
}

func limited(reason sio.Reason, limit Limit, cause, setting, message string) *fault {
	why := &refusal{code: codeBadRequest, status: limit.status(), message: message, cause: cause, setting: setting}
	return &fault{reason: reason, refusal: why, why: &explanation{limit, why}}
}

// retryAfter is when a browser that was rejected since there is no room may come again, in
// seconds.
const retryAfter = "5"

// refuse answers with JSON, or with the bare message where a WebSocket was asked for.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	s.obs.Refused(why.cause)
	s.logRefusal(r, why)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	var body []byte
	switch {
	case why.message == "":
	case isUpgrade(r) && why.status != http.StatusForbidden:
		h.Set("Content-Type", "text/html")
		body = []byte(why.message)
		if why.code == codeVersion {
			body = []byte(why.message + ": " + why.say) // no client reads it, but people do
		}
	default:
		h.Set("Content-Type", "application/json")
		body, _ = json.Marshal(struct { // two plain fields always marshal
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{why.code, why.message})
	}
	switch why.status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter)
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout, http.StatusUnsupportedMediaType:
		h.Set("Connection", "close") // the rest of the body would follow
		control := http.NewResponseController(w)
		control.EnableFullDuplex() // the answer first
		defer s.discardRest(control, r)
	}
	if isUpgrade(r) {
		h.Set("Connection", "close") // nothing sensible follows on this connection
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(why.status)
	w.Write(body)
}

// logRefusal says why a request was rejected, a line a second for each cause: those that a
// setting governs as a warning.
func (s *Server) logRefusal(r *http.Request, why *refusal) {
	if why.quiet {
		return
	}
	limiter := &s.quiet
	if why.proxy {
		limiter = &s.minutely
	}
	ok, suppressed := limiter.Allow(why.cause)
	if !ok {
		return
	}
	const shown = 200
	cut := func(text string) string { return text[:min(len(text), shown)] }
	text, args := "request rejected", []any{"reason", why.cause, "address", s.callerFromRequest(r).address, "method", r.Method, "suppressed", suppressed}
	if why.say != "" {
		text += ": " + why.say
	}
	if why.setting == "" && !why.proxy {
		if why.cause == causePath {
			args = append(args, "path", cut(r.URL.Path))
		}
		s.log.Info(text, args...)
		return
	}
	if why.setting != "" {
		args = append(args, "setting", why.setting)
	}
	args = append(args, "origin", cut(r.Header.Get("Origin")), "host", cut(r.Host), "path", cut(r.URL.Path))
	s.log.Warn(text, args...)
}

// discardRest takes what follows of a body that was refused, for a moment: a client that is still
// sending when its connection is closed may never see the answer.
func (s *Server) discardRest(control *http.ResponseController, r *http.Request) {
	const most = 8 // times what a body may have
	control.Flush()
	control.SetReadDeadline(time.Now().Add(refusedRest))
	io.Copy(io.Discard, io.LimitReader(r.Body, most*s.o.MaxPayload))
}
