// SPDX-License-Identifier: Apache-2.0

package engineio

import "github.com/spanwire/spanwire/internal/sio"

// cut is why a session was closed with ReasonSlowConsumer.
type cut struct {
	reason  string // for counters
	setting string
	message string // for the log
}

var (
	cutFull  = &cut{"max_outbound", "max-outbound", "session closed: its outbound queue is full"}
	cutTotal = &cut{"max_outbound_total", "max-outbound-total",
		"session closed: the outbound queues of this replica are full, and its queue is the largest of those that are not read"}
	cutWrite = &cut{"write_timeout", "write-timeout", "session closed: the browser took nothing of what waits for it"}
)

// cutOff closes the session and drops what waits for its browser. It counts, and says once, why.
func (s *Session) cutOff(why *cut) {
	bytes, _ := s.backlog()
	if !s.endWith(sio.ReasonSlowConsumer, endAbort, nil) {
		return
	}
	s.server.obs.CutOff(why.reason)
	if ok, suppressed := s.server.quiet.Allow(why.reason); ok {
		const shown = 12 // enough to find the session again, and too little to take it over
		id := string(s.id)
		s.server.log.Warn(why.message, "session", id[:min(len(id), shown)], "address", s.handshake.Address, "transport", s.Transport(),
			"bytes", bytes, "reason", why.reason, "setting", why.setting, "suppressed", suppressed)
	}
}

// backlog tells how many bytes wait since the browser takes no more now, and a count that changes when it takes some.
func (s *Session) backlog() (bytes int, delivered int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlogLocked()
}

func (s *Session) backlogLocked() (bytes int, delivered int64) {
	if ws := s.ws.Load(); ws != nil {
		return ws.Backlog()
	}
	if p := s.polling; p != nil && p.waiting == nil {
		return p.size + p.answers.size, p.answers.taken
	}
	return 0, 0
}
