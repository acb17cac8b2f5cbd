// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/sio"
)

// The log lines of sessions that the edge ends, beside those of breaches, and of connects that are
// not accepted. The lines of reasons stand with the sessions, in engineio.

var (
	noticeLonely = &engineio.Notice{Level: slog.LevelWarn, Cause: "no_namespace", Setting: "connect-timeout",
		Text: "no namespace was joined within connect-timeout: the client speaks Engine.IO alone, or each of its connects was refused"}
	noticeHeld = &engineio.Notice{Level: slog.LevelWarn, Cause: "held", Setting: "max-outbound",
		Text: "too much was held while a connect was pending: connect handlers emit more than max-outbound allows, or answer too late"}
	noticeAway = &engineio.Notice{Level: slog.LevelWarn, Cause: "service_away", Setting: "connect-hold",
		Text: "a connect waited longer than connect-hold for a service that is not attached; start the service. The client tries again"}
	noticeResumed = &engineio.Notice{Level: slog.LevelDebug, Cause: "recovered", Text: "its socket came back on another session"}
)

// noteRefusal writes the line of a connect that was not accepted, one a second for each kind.
func (s *Socket) noteRefusal(d *dispatch.Decision) {
	var level slog.Level
	var cause, text string
	switch d.Kind {
	case dispatch.UnknownNamespace:
		level, cause = slog.LevelWarn, "unknown_namespace"
		text = "no service registered the namespace; register a handler in it, or correct the client's namespace"
	case dispatch.Refused:
		level, cause, text = slog.LevelInfo, "handler", "a connect handler refused the client"
	case dispatch.NamespacesFull, dispatch.Away, dispatch.Accepted: // said where it is decided
		return
	}
	s.note(sio.ConnectRefused, text, nil)
	server := s.client.server
	ok, suppressed := server.quiet.Allow(cause)
	if !ok {
		return
	}
	args := []any{"reason", cause, "namespace", loglimit.Cut(s.namespace), "socket", s.id, "session", s.client.session.Name(),
		"address", s.client.session.Handshake().Address}
	if d.Service != "" {
		args = append(args, "service", d.Service)
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	server.log.Log(context.Background(), level, "connect refused: "+text, args...)
}

// noteNoHandlers says once a minute that browsers come and no handler ever did.
func (s *Socket) noteNoHandlers() {
	server := s.client.server
	if !server.dispatcher.NothingRegistered() {
		return
	}
	if ok, suppressed := server.minutely.Allow("no handler"); ok {
		server.log.Warn("no handler service is attached; connects wait. Start a handler that dials service-address", "setting", "service-address",
			"namespace", loglimit.Cut(s.namespace), "address", s.client.session.Handshake().Address, "suppressed", suppressed)
	}
}

// noteLimit says once a minute that a setting is reached which costs browsers something, and no
// connection.
func (s *Server) noteLimit(setting, text string) {
	if ok, suppressed := s.minutely.Allow(setting); ok {
		s.log.Warn(text, "setting", setting, "suppressed", suppressed)
	}
}

// NotServed counts and logs a request that was answered with 404 for its path: by the web
// application with upstream, or else by nobody.
func (s *Server) NotServed(r *http.Request, upstream bool) { s.engine.NotServed(r, upstream) }
