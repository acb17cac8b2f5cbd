// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Connections that a proxy in front cuts for being idle end without a word of the browser, each
// after the same time without bytes in either direction. Nothing in one of them tells that from a
// browser that lost its network; many of them do.

const (
	lossesKept   = 16               // ends that are compared
	lossesWindow = 10 * time.Minute // how old one of them may be
	// So many after the same time raise a suspicion, if they are also half of those compared.
	lossesAlike  = 5
	lossesSpread = 0.1         // by which such times may differ
	shortIdle    = time.Second // a shorter time is no idle timeout
)

// losses keeps the latest ends of connections that nobody announced.
type losses struct {
	mu   sync.Mutex // guards what follows
	last []loss     // oldest first
}

// loss is one of them.
type loss struct {
	at   time.Duration // since the server's birth
	idle time.Duration // how long no byte had gone either way
}

// add keeps one end, and tells after which time connections are cut, if that is what happens; 0
// means that it is not, or not known yet.
func (l *losses) add(latest loss) (timeout time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = slices.DeleteFunc(l.last, func(x loss) bool { return latest.at-x.at > lossesWindow })
	if len(l.last) == lossesKept {
		l.last = slices.Delete(l.last, 0, 1)
	}
	l.last = append(l.last, latest)
	alike := make([]time.Duration, 0, lossesKept)
	began, ended := latest.at, latest.at
	for _, x := range l.last {
		if math.Abs(float64(x.idle-latest.idle)) <= lossesSpread*float64(latest.idle) {
			alike = append(alike, x.idle)
			began, ended = min(began, x.at), max(ended, x.at)
		}
	}
	slices.Sort(alike)
	// What ends at one moment, when a balancer or a network fails, has also been idle for the same
	// time if a broadcast went before. Of timeouts the times are alike and the moments are not.
	if n := len(alike); n < lossesAlike || 2*n < len(l.last) || 4*(alike[n-1]-alike[0]) > 3*(ended-began) {
		return 0
	}
	return alike[len(alike)/2]
}

// lost takes note of a connection that ended without a word, after so long without a byte in either
// direction, and says once a minute when a proxy seems to have ended it. A timeout above the ping
// interval would cut nothing.
func (s *Server) lost(idle time.Duration) {
	if idle < shortIdle || idle >= s.o.PingInterval {
		return
	}
	timeout := s.losses.add(loss{at: time.Since(s.birth), idle: idle})
	if timeout == 0 {
		return
	}
	if ok, suppressed := s.minutely.Allow("idle timeout"); ok {
		const shown = 10 // parts of a second
		s.log.Warn(fmt.Sprintf("sessions end after about %v s without traffic: a proxy's idle timeout? lower ping-interval",
			math.Round(timeout.Seconds()*shown)/shown), "setting", "ping-interval", "value", s.o.PingInterval, "suppressed", suppressed)
	}
}
