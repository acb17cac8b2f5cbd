// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"log/slog"

	"github.com/spanwire/spanwire/internal/sio"
)

// The notices of sessions that are closed with ReasonSlowConsumer. Their causes are metric labels.
var (
	cutFull = &Notice{Level: slog.LevelWarn, Cause: "max_outbound", Setting: "max-outbound",
		Text: "its outbound queue is full (slow consumer); emit less to it, or raise max-outbound"}
	cutTotal = &Notice{Level: slog.LevelWarn, Cause: "max_outbound_total", Setting: "max-outbound-total",
		Text: "the outbound queues of this replica are full, and its queue is the largest of those that are not read (slow consumer)"}
	cutWrite = &Notice{Level: slog.LevelWarn, Cause: "write_timeout", Setting: "write-timeout",
		Text: "the browser took nothing of what waits for it within write-timeout (slow consumer)"}
)

// cutOff closes the session and drops what waits for its browser. It counts, and says once, why.
func (s *Session) cutOff(why *Notice) {
	bytes, _ := s.backlog()
	n := *why
	if bytes > 0 { // a WebSocket that was closed for its slowness has dropped them
		n.Facts = []any{"bytes", bytes}
	}
	if s.endWith(sio.ReasonSlowConsumer, endAbort, nil, &n) {
		s.server.obs.CutOff(why.Cause)
	}
}

// backlog tells how many bytes wait since the browser takes no more now, and a count that changes
// when it takes some.
func (s *Session) backlog() (bytes int, delivered int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlogLocked()
}

// outstandingLocked is backlogLocked with what the system has taken and the browser has not.
func (s *Session) outstandingLocked() (bytes int, delivered int64) {
	if d := s.duplex(); d != nil {
		return d.Outstanding()
	}
	return s.backlogLocked()
}

func (s *Session) backlogLocked() (bytes int, delivered int64) {
	if d := s.duplex(); d != nil {
		return d.Backlog()
	}
	if p := s.polling; p != nil && p.waiting == nil {
		return p.size + p.answers.size, p.answers.taken
	}
	return 0, 0
}
