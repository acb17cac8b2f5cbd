// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/sio"
)

// Notice is the log line of a session's end. Each end has one: that of its reason below, or one
// that knows more. It never holds what a browser sent, unless it is for debugging.
type Notice struct {
	// Level is high where an operator or a developer has something to do.
	Level slog.Level
	// Cause takes the reason's place, from a closed list, where that says less. Empty means that
	// the reason says all.
	Cause string
	// Text says what happened and what to do.
	Text string
	// Setting governs it. Empty means that none does.
	Setting string
	// Facts are further keys and values.
	Facts []any
}

const unreadable = "an Engine.IO packet could not be read: no Socket.IO client sent it, or a proxy altered it"

// endings are the notices of reasons. Every reason is here.
var endings = map[sio.Reason]*Notice{
	sio.ReasonTransportClose: {Level: slog.LevelDebug, Text: "the browser closed the connection, or the connection ended"},
	sio.ReasonTransportError: {Level: slog.LevelInfo, Text: "the connection broke"},
	sio.ReasonPingTimeout: {Level: slog.LevelInfo, Setting: "ping-timeout",
		Text: "the browser did not answer a ping in time: it lost its network, or its device sleeps"},
	sio.ReasonParseError:         {Level: slog.LevelWarn, Text: unreadable},
	sio.ReasonForcedClose:        {Level: slog.LevelWarn, Text: "protocol violation by client"},
	sio.ReasonForcedServerClose:  {Level: slog.LevelDebug, Text: "a handler disconnected the client"},
	sio.ReasonServerShuttingDown: {Level: slog.LevelDebug, Text: "this replica drains, or the one that forwards the WebSocket"},
	sio.ReasonClientDisconnect:   {Level: slog.LevelDebug, Text: "the browser left"},
	sio.ReasonServerDisconnect:   {Level: slog.LevelDebug, Text: "a handler disconnected the socket"},
	sio.ReasonPayloadTooLarge: {Level: slog.LevelWarn, Setting: "max-payload",
		Text: "the browser sent a message larger than max-payload allows; raise the setting, or send less at a time"},
	sio.ReasonSlowConsumer: {Level: slog.LevelWarn, Setting: "max-outbound",
		Text: "more waits for the browser than max-outbound allows; emit less to it, or raise the setting"},
	sio.ReasonTooManyPackets: {Level: slog.LevelWarn, Setting: "max-packet-rate",
		Text: "the browser sends more packets per second than max-packet-rate allows"},
}

var (
	noticeOverlap = &Notice{Level: slog.LevelInfo, Cause: "overlapping_requests",
		Text: "the browser sent two GETs or two POSTs at the same time: two programs use one session, or a proxy repeats requests"}
	noticeCut = &Notice{Level: slog.LevelInfo, Cause: "request_cut",
		Text: "the browser's GET ended before it was answered: the browser left, or a proxy's timeout cut it"}
	noticeWrongPing = &Notice{Level: slog.LevelInfo, Cause: "wrong_ping",
		Text: "the browser sent a ping or pong that its revision of Engine.IO does not have"}
)

// noticeBroken says why reading from a WebSocket failed. The error is of the connection or of the
// WebSocket protocol, and holds nothing that the browser sent.
func (s *Server) noticeBroken(e *streamEnd, err error) *Notice {
	n := *endings[e.reason]
	switch e.reason {
	case sio.ReasonPayloadTooLarge:
		n.Facts = []any{"limit", s.o.MaxPayload}
		return &n
	case sio.ReasonTransportError:
	default:
		return nil
	}
	if e.text != "" {
		n.Level, n.Cause, n.Text = slog.LevelWarn, e.cause, e.text
	}
	n.Facts = []any{"err", loglimit.Cut(err.Error())}
	return &n
}

// Name is enough of the session's id to find it again in a log, and too little to take the session
// over.
func (s *Session) Name() string {
	const shown = 12
	return string(s.id[:min(shown, len(s.id))])
}

// noteEnd writes the line of a session's end, one a second for each cause. A nil notice stands for
// that of the reason.
func (s *Server) noteEnd(session *Session, t Transport, reason sio.Reason, n *Notice) {
	if n == nil {
		n = endings[reason]
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, n.Level) {
		return
	}
	ok, suppressed := s.quiet.Allow(string(t) + "/" + string(reason) + "/" + n.Cause)
	if !ok {
		return
	}
	args := []any{"reason", cmp.Or(n.Cause, string(reason)), "session", session.Name(), "address", session.handshake.Address, "transport", t}
	if n.Setting != "" {
		args = append(args, "setting", n.Setting)
	}
	args = append(args, n.Facts...)
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	s.log.Log(ctx, n.Level, "session closed: "+n.Text, args...)
}

// The causes of failed upgrades.
const (
	upgradeLate     = "timeout"
	upgradeLost     = "connection"
	upgradePacket   = "packet"
	upgradeRepeated = "repeated"
)

// upgradeFailures say how upgrades failed, by cause.
var upgradeFailures = map[string]Notice{
	upgradeLate: {Level: slog.LevelWarn, Setting: "upgrade-timeout",
		Text: "the browser did not finish it within upgrade-timeout; a proxy may hold WebSocket frames back"},
	upgradeLost:     {Level: slog.LevelInfo, Text: "the WebSocket ended before the browser had finished it"},
	upgradePacket:   {Level: slog.LevelWarn, Text: "the browser sent something else than a probe"},
	upgradeRepeated: {Level: slog.LevelInfo, Text: "the session is on WebSocket, upgrades already or has ended"},
}

// upgradeFailed counts an upgrade that failed, and says why. The session stays as it is.
func (s *Session) upgradeFailed(cause string) {
	s.server.obs.UpgradeFailed()
	ok, suppressed := s.server.quiet.Allow("upgrade/" + cause)
	if !ok {
		return
	}
	n := upgradeFailures[cause]
	args := []any{"reason", cause, "session", s.Name(), "address", s.handshake.Address}
	if n.Setting != "" {
		args = append(args, "setting", n.Setting)
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	s.server.log.Log(context.Background(), n.Level, "upgrade to WebSocket failed: "+n.Text, args...)
}

// upgradeEnd is why the reading of a probe ended.
func upgradeEnd(e streamEnd) string {
	if e.violation {
		return upgradePacket
	}
	return upgradeLost
}
