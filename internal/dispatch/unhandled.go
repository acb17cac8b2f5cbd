// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"sync"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/sio"
)

// unhandled remembers which events were reported, so that each is reported once. Browsers choose
// the names, so it is bounded.
type unhandled struct {
	loglimit.Limiter
	mu    sync.Mutex // guards names
	names map[unhandledName]struct{}
}

type unhandledName struct {
	namespace sio.Namespace
	event     string
}

const maxUnhandledNames = 1000

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
	ns, event = loglimit.Cut(ns), loglimit.Cut(event)
	if !d.unhandled.news(ns, event) {
		return
	}
	if ok, suppressed := d.unhandled.Allow(); ok {
		d.log.Warn("no service registered for the event: register it by name, or register a catch-all; the browser gets no ack",
			"namespace", ns, "event", event, "suppressed", suppressed)
	}
}

// NothingRegistered tells whether no service ever registered anything here.
func (d *Dispatcher) NothingRegistered() bool { return d.routes.Load().empty() }

func (d *Dispatcher) reportFull(ns sio.Namespace) {
	if ok, suppressed := d.full.Allow(); ok {
		d.log.Warn("connect rejected: too many dynamic namespaces have sockets",
			"namespace", loglimit.Cut(ns), "setting", "max-dynamic-namespaces", "limit", d.options.MaxDynamic, "suppressed", suppressed)
	}
}
