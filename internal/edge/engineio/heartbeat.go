// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Heartbeats. One timer per session, in two states:
//
//	resting   -> awaiting  PingInterval after the open or the last pong: a ping is queued
//	awaiting  -> resting   a pong comes; one that nobody asked for changes nothing
//	awaiting  -> ended     PingTimeout after the ping
//
// The deadline stands still while the receiver blocks, since then it is this side that does not read. The first packet other than a
// pong sets it back once: the pong may stand behind a long upload.
//
// Times are reckoned from when the timer was due, not from when it got to run, and a polling request that comes after the deadline
// finds the session ended even if the timer is late: what a client can know does not depend on how busy this side is.
type heartbeat struct {
	// Guarded by Session.mu.
	timer    *time.Timer
	due      int64 // the server's time of the next ping
	extended bool  // the deadline has been set back

	// pinged is the server's time of the ping whose pong is awaited, and 0 while none is. It is changed under Session.mu.
	pinged atomic.Int64
	// blocked is how long the receiver has blocked since then.
	blocked atomic.Int64
	// receiving tells that the receiver is being called.
	receiving atomic.Bool
}

var pingFrame = []byte{0x81, 1, byte(PacketPing)}

func (s *Session) startHeartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended.Load() {
		s.due = s.server.now() + int64(s.server.o.PingInterval)
		s.timer = time.AfterFunc(s.server.o.PingInterval, s.beat)
	}
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
	timeout, now := s.server.o.PingTimeout, s.server.now()
	left := time.Duration(s.due - now)
	awaiting := s.pinged.Load() != 0
	if awaiting {
		left = s.left()
	}
	if left > 0 {
		// The deadline was set back, or the pong came as the timer went off.
		s.timer.Reset(left)
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
	s.pinged.Store(max(s.due, now-int64(timeout/10)))
	s.extended = false
	s.timer.Reset(timeout - time.Duration(now-s.pinged.Load()))
	// A full queue is no reason to close here: without a pong the deadline does it.
	if ws := s.ws.Load(); ws != nil {
		ws.QueueFramed(pingFrame)
	} else {
		s.polling.queue(outgoing{data: []byte{byte(PacketPing)}}, s.server.o.MaxOutbound)
	}
	s.mu.Unlock()
	s.Flush()
}

// left is the time to the deadline for the pong, while one is awaited.
func (s *Session) left() time.Duration {
	timeout := s.server.o.PingTimeout
	if s.receiving.Load() {
		return timeout
	}
	return timeout - time.Duration(s.server.now()-s.pinged.Load()-s.blocked.Load())
}

// overdue tells that the deadline has passed, or as good as.
func (s *Session) overdue() bool {
	const slack = 2 * time.Millisecond // the precision of timers in browsers
	return s.pinged.Load() != 0 && s.left() < min(slack, s.server.o.PingTimeout/50)
}

// ponged takes a pong.
func (s *Session) ponged() {
	if s.pinged.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinged.Load() != 0 && !s.ended.Load() {
		s.pinged.Store(0)
		s.due = s.server.now() + int64(s.server.o.PingInterval)
		s.timer.Reset(s.server.o.PingInterval)
	}
}

// heard takes note of any other packet.
func (s *Session) heard() {
	if s.pinged.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinged.Load() != 0 && !s.extended {
		s.extended = true
		s.blocked.Store(0)
		s.pinged.Store(s.server.now())
	}
}

// enterReceiver and leaveReceiver stand around each call of the receiver. The clock is read only while a pong is awaited.
func (s *Session) enterReceiver() (since int64) {
	s.receiving.Store(true)
	if s.pinged.Load() == 0 {
		return 0
	}
	return s.server.now()
}

func (s *Session) leaveReceiver(since int64) {
	if pinged := s.pinged.Load(); pinged != 0 {
		s.blocked.Add(s.server.now() - max(since, pinged))
	}
	s.receiving.Store(false)
}
