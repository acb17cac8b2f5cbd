// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/edge/budget"
	"github.com/spanwire/spanwire/internal/sio"
)

// Heartbeats. One timer per session. In revision 4, where this side pings, it has two states:
//
//	resting   -> awaiting  PingInterval after the open or the last pong: a ping is queued
//	awaiting  -> resting   a pong comes; one that nobody asked for changes nothing
//	awaiting  -> ended     PingTimeout after the ping
//
// In revision 3 the browser pings and is answered. There the timer is always awaiting: the session
// ends PingInterval and PingTimeout after the open or the last ping. A browser's ping in revision 4
// ends the session, as does its pong in revision 3.
//
// The deadline is suspended while the receiver blocks, since then it is this side that does not
// read. In revision 4 the first packet other than a pong sets it back once: the pong may stand
// behind a long upload.
//
// The ping may stand behind a burst. As long as the browser takes something of what stands before
// it, it lives, and the deadline is set back: for the last time when the browser has taken all, or
// fetched the ping.
//
// Times are reckoned from when the timer was due, not from when it got to run, and a polling
// request that comes after the deadline finds the session ended even if the timer is late: what a
// client can know does not depend on how busy this side is.
type heartbeat struct {
	// Guarded by Session.mu.
	timer     *time.Timer
	due       int64 // the server's time of the next ping
	delivered int64 // what the browser had taken when the deadline was set
	behind    bool  // the ping stands behind what the browser had not taken then
	extended  bool  // the deadline has been set back

	// since is the server's time from which the deadline counts: that of the ping whose pong is
	// awaited, or of the browser's last ping. It is 0 while nothing is awaited, and changed under
	// Session.mu.
	since atomic.Int64
	// blocked is how long the receiver has blocked from then on.
	blocked atomic.Int64
	// receiving tells that the receiver is being called.
	receiving atomic.Bool
}

var pingFrame = budget.NewShared([]byte{0x81, 1, byte(PacketPing)})

func (s *Session) startHeartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended.Load():
	case s.codec.clientPings():
		s.since.Store(s.server.now())
		s.timer = time.AfterFunc(s.timeout(), s.beat)
	default:
		s.due = s.server.now() + int64(s.server.o.PingInterval)
		s.timer = time.AfterFunc(s.server.o.PingInterval, s.beat)
	}
}

// timeout is the time from since to the deadline.
func (s *Session) timeout() time.Duration {
	if s.codec.clientPings() {
		return s.server.o.PingInterval + s.server.o.PingTimeout
	}
	return s.server.o.PingTimeout
}

// stopHeartbeat is called under mu.
func (s *Session) stopHeartbeat() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// beat is called by the timer.
func (s *Session) beat() {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return
	}
	timeout, now := s.timeout(), s.server.now()
	left := time.Duration(s.due - now)
	awaiting := s.since.Load() != 0
	if awaiting {
		left = s.left()
	}
	if left > 0 {
		// The deadline was set back, or the pong came as the timer went off.
		s.timer.Reset(left)
		s.mu.Unlock()
		return
	}
	if awaiting && s.takingLocked() {
		s.timer.Reset(timeout)
		s.mu.Unlock()
		return
	}
	if awaiting {
		s.mu.Unlock()
		s.end(sio.ReasonPingTimeout, endNow)
		return
	}
	// Much too late, the browser is left most of its time.
	s.blocked.Store(0)
	s.since.Store(max(s.due, now-int64(timeout/10)))
	s.extended = false
	s.measureLocked()
	s.timer.Reset(timeout - time.Duration(now-s.since.Load()))
	// A full queue is no reason to close here: without a pong the deadline does it.
	if d := s.duplex(); d != nil {
		d.queuePacket(PacketPing, nil)
	} else {
		s.polling.pinged = s.polling.queue(outgoing{data: []byte{byte(PacketPing)}}, s.server.o.MaxOutbound)
	}
	s.mu.Unlock()
	s.Flush()
}

// left is the time to the deadline, while one runs.
func (s *Session) left() time.Duration {
	timeout := s.timeout()
	if s.receiving.Load() {
		return timeout
	}
	return timeout - time.Duration(s.server.now()-s.since.Load()-s.blocked.Load())
}

// overdue tells that the deadline has passed, or as good as.
func (s *Session) overdue() bool {
	const slack = 2 * time.Millisecond // the precision of timers in browsers
	if s.since.Load() == 0 || s.left() >= min(slack, s.server.o.PingTimeout/50) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.takingLocked()
}

// measureLocked notes what the browser has taken, and tells whether a ping would stand behind much
// that it has not.
func (s *Session) measureLocked() (behind, moved bool) {
	waits, delivered := s.outstandingLocked()
	moved = delivered != s.delivered
	s.delivered, s.behind = delivered, waits >= smallBacklog
	return s.behind, moved
}

// takingLocked sets the deadline back when the ping stood behind what the browser had not taken,
// and the browser has taken some of it or all since the deadline was set. It tells whether it did.
func (s *Session) takingLocked() bool {
	stood := s.behind
	behind, moved := s.measureLocked()
	if !stood || behind && !moved {
		return false
	}
	s.awaitLocked()
	return true
}

// awaitLocked sets the deadline again. The timer finds out when it goes off.
func (s *Session) awaitLocked() {
	s.blocked.Store(0)
	s.since.Store(s.server.now())
}

// pinged takes a ping.
func (s *Session) pinged(p Packet) {
	if !s.codec.clientPings() {
		s.endWith(sio.ReasonTransportError, endNow, nil, noticeWrongPing)
		return
	}
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return
	}
	s.blocked.Store(0)
	s.since.Store(s.server.now()) // the timer finds out when it goes off
	// For a pong that finds no room the browser does what it does for a lost one.
	if d := s.duplex(); d != nil {
		d.queuePacket(PacketPong, p.Data)
	} else {
		s.polling.queuePong(p.Data, s.server.o.MaxOutbound)
	}
	s.mu.Unlock()
	s.Flush()
}

// ponged takes a pong.
func (s *Session) ponged() {
	if s.codec.clientPings() {
		s.endWith(sio.ReasonTransportError, endNow, nil, noticeWrongPing)
		return
	}
	if s.since.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.polling; p != nil && p.pinged {
		return // it has not fetched the ping
	}
	if s.since.Load() != 0 && !s.ended.Load() {
		s.since.Store(0)
		s.due = s.server.now() + int64(s.server.o.PingInterval)
		s.timer.Reset(s.server.o.PingInterval)
	}
}

// heard takes note of any other packet.
func (s *Session) heard() {
	if s.since.Load() == 0 || s.codec.clientPings() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.Load() != 0 && !s.extended {
		s.extended = true
		s.blocked.Store(0)
		s.since.Store(s.server.now())
	}
}

// enterReceiver and leaveReceiver stand around each call of the receiver. The clock is read only
// while a deadline runs.
func (s *Session) enterReceiver() (entered int64) {
	s.receiving.Store(true)
	if s.since.Load() == 0 {
		return 0
	}
	return s.server.now()
}

func (s *Session) leaveReceiver(entered int64) {
	if begin := s.since.Load(); begin != 0 {
		s.blocked.Add(s.server.now() - max(entered, begin))
	}
	s.receiving.Store(false)
}
