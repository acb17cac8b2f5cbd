// SPDX-License-Identifier: Apache-2.0

// Package loglimit bounds the log lines that clients can cause: a few lines a second pass, the rest
// is suppressed, and its number belongs to the next line that passes, under the key suppressed. It
// also cuts texts that clients chose. Every package may use it; it writes nothing itself.
package loglimit

import (
	"cmp"
	"strings"
	"sync"
	"time"
)

// perSecond is how many lines a Limiter lets through by default.
const perSecond = 10

// Limiter lets a few lines a second through. Its zero value is ready.
type Limiter struct {
	// PerSecond is how many lines pass within a second, or within Window. Zero stands for 10.
	PerSecond int
	// Window is the time in which so many lines pass. Zero stands for a second.
	Window time.Duration

	mu         sync.Mutex // guards the fields below
	second     time.Time  // when the present window began
	lines      int
	suppressed int
}

// Allow tells whether a line may be written, and how many were suppressed before it.
func (l *Limiter) Allow() (ok bool, suppressed int) {
	limit := cmp.Or(l.PerSecond, perSecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.second) >= cmp.Or(l.Window, time.Second) {
		l.second, l.lines = now, 0
	}
	if l.lines >= limit {
		l.suppressed++
		return false, 0
	}
	l.lines++
	suppressed, l.suppressed = l.suppressed, 0
	return true, suppressed
}

// ByReason has a Limiter for each reason, so that a flood of one hides no other. Reasons are of
// a closed list: none is ever dropped. Its zero value is ready.
type ByReason struct {
	// PerSecond is how many lines of one reason pass within a second, or within Window. Zero stands
	// for 10.
	PerSecond int
	// Window is the time in which so many lines of one reason pass. Zero stands for a second.
	Window time.Duration

	mu       sync.Mutex // guards limiters
	limiters map[string]*Limiter
}

// Allow is Limiter.Allow for the lines of one reason.
func (b *ByReason) Allow(cause string) (ok bool, suppressed int) {
	b.mu.Lock()
	l := b.limiters[cause]
	if l == nil {
		if b.limiters == nil {
			b.limiters = make(map[string]*Limiter)
		}
		l = &Limiter{PerSecond: b.PerSecond, Window: b.Window}
		b.limiters[cause] = l
	}
	b.mu.Unlock()
	return l.Allow()
}

// mostShown bounds what a line shows of a text that a browser chose.
const mostShown = 128

// Cut shortens a text that a browser chose, such as a name, for a line.
func Cut[T ~string](text T) T {
	if len(text) <= mostShown {
		return text
	}
	return T(strings.ToValidUTF8(string(text[:mostShown]), "")) + "..."
}
