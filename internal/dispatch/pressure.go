// SPDX-License-Identifier: Apache-2.0

package dispatch

import "time"

// pressure tells the log while sockets are not read since their queues for a service are full. It
// looks once a second, so that what lasts for a moment under load is no line, and what lasts is one
// when it starts, one a minute, and one when it ends. Its fields are guarded by the service's mu.
type pressure struct {
	episode  uint32 // grows with each; lanes note in which they were counted
	affected int    // sockets, since it began
	began    time.Time
	logged   time.Time // when the last line was written; zero before the first
	calm     int       // looks in a row that found no socket blocked
	absent   bool      // the service was, at the last look that found one
	// the service was absent when the first line was written: the last line names the same reason
	absentAtStart bool
	timer         *time.Timer
}

const (
	pressureLook  = time.Second
	pressureAgain = time.Minute
	pressureCalm  = 2 // looks
)

// pressedLocked notes that the lane's socket is not read any more.
func (s *service) pressedLocked(l *lane) {
	p := &s.pressure
	if p.began.IsZero() {
		if s.closed {
			return
		}
		p.episode++
		p.affected, p.calm, p.began, p.logged = 0, 0, time.Now(), time.Time{}
		p.timer = time.AfterFunc(pressureLook, s.lookAtPressure) // ended by closeLocked
	}
	if l.episode != p.episode {
		l.episode = p.episode
		p.affected++
	}
}

// lookAtPressure tells what began, lasts or has ended. It runs again until it has ended.
func (s *service) lookAtPressure() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	line, facts := s.pressureLineLocked(time.Now())
	if !s.pressure.began.IsZero() {
		s.pressure.timer.Reset(pressureLook)
	}
	s.mu.Unlock()
	if line != "" {
		s.d.log.Warn(line, facts...)
	}
}

// pressureLineLocked gives the line that is due, or none.
func (s *service) pressureLineLocked(now time.Time) (line string, facts []any) {
	p := &s.pressure
	sockets := s.backlog.blocked
	if sockets > 0 {
		p.absent = !s.there.Load()
	}
	switch {
	case sockets > 0 && p.logged.IsZero():
		p.calm, p.logged, p.absentAtStart, line = 0, now, p.absent, "back-pressure started: sockets are not read, since too much waits for the service"
	case sockets > 0 && now.Sub(p.logged) >= pressureAgain:
		p.calm, p.logged, line = 0, now, "back-pressure lasts: sockets are not read, since too much waits for the service"
	case sockets > 0:
		p.calm = 0
	default:
		p.calm++
	}
	if p.calm == pressureCalm {
		if !p.logged.IsZero() {
			line = "back-pressure ended: all sockets are read again"
		}
		sockets, p.absent = p.affected, p.absentAtStart
		p.began = time.Time{}
	}
	reason, setting := "its instances do not keep up", "socket-queue-events, socket-queue-bytes"
	if p.absent {
		reason, setting = "it is absent and the byte budget of its events is used up", "absent-service-bytes"
	}
	return line, []any{"service", s.name, "reason", reason, "sockets", sockets, "count", s.backlog.events, "bytes", s.budget.charged,
		"setting", setting}
}
