// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// quiet keeps a log readable: it lets a few lines a second through, and counts the rest.
type quiet struct {
	mu     sync.Mutex // guards what follows
	second time.Time
	lines  int
	missed int
}

const linesPerSecond = 10

// allow tells whether a line may be written, and how many were left out before it.
func (q *quiet) allow() (ok bool, missed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.Sub(q.second) >= time.Second {
		q.second, q.lines = now, 0
	}
	if q.lines == linesPerSecond {
		q.missed++
		return false, 0
	}
	q.lines++
	missed, q.missed = q.missed, 0
	return true, missed
}

// unhandled remembers which events were reported, so that each is reported once. Browsers choose the names, so it is bounded.
type unhandled struct {
	quiet
	mu    sync.Mutex // guards names
	names map[unhandledName]struct{}
}

type unhandledName struct {
	namespace sio.Namespace
	event     string
}

const (
	maxUnhandledNames = 1000
	maxLoggedName     = 128
)

func (u *unhandled) news(ns sio.Namespace, event string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	name := unhandledName{ns, event}
	if _, known := u.names[name]; known || len(u.names) >= maxUnhandledNames {
		return false
	}
	if u.names == nil {
		u.names = map[unhandledName]struct{}{}
	}
	u.names[name] = struct{}{}
	return true
}

// forget follows a change of the routes: what is unhandled then is news again.
func (u *unhandled) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.names)
}

func (d *Dispatcher) reportUnhandled(ns sio.Namespace, event string) {
	d.metrics.Unhandled.Inc()
	if len(event) > maxLoggedName {
		event = event[:maxLoggedName]
	}
	if !d.unhandled.news(ns, event) {
		return
	}
	if ok, missed := d.unhandled.allow(); ok {
		d.log.Warn("no service registered for the event: register it by name, or register a catch-all; the browser gets no ack",
			"namespace", ns, "event", event, "lines_left_out", missed)
	}
}

func (d *Dispatcher) reportFull(ns sio.Namespace) {
	if ok, missed := d.full.allow(); ok {
		d.log.Warn("a connect was refused: as many namespaces by pattern have sockets as the setting max-dynamic-namespaces allows",
			"namespace", ns, "namespaces", d.options.MaxDynamic, "lines_left_out", missed)
	}
}
