// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// absence counts the connects that a service holds while it has no instance that takes sockets, and
// says so in the log.
type absence struct {
	// fixed at birth
	service *service

	mu         sync.Mutex // guards what follows; no other lock is taken under it
	since      time.Time  // when the last instance left; zero while there is one
	held       int
	gauge      metrics.Gauge   // of held; nil until a connect is held
	namespaces []sio.Namespace // of connects held since the service is absent: a few
	logged     time.Time       // the last line; zero when there is none about this absence
	timer      *time.Timer     // of the next line; ended by end
	ended      bool
}

const (
	// holdNotice is the time from the first held connect to the line about it. An instance that is
	// replaced within it causes none.
	holdNotice = 500 * time.Millisecond
	// holdReminder is the time between two lines about one service.
	holdReminder = time.Minute
	// maxNamedNamespaces bounds the namespaces that a line names: browsers choose those that match
	// a pattern.
	maxNamedNamespaces = 3
)

// begin notes that the last instance has left.
func (x *absence) begin() { x.beginAt(time.Now()) }

func (x *absence) beginAt(since time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.since.IsZero() {
		x.since = since
	}
}

// over notes that an instance takes sockets.
func (x *absence) over() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.since, x.logged, x.namespaces = time.Time{}, time.Time{}, nil
	x.stopLocked()
}

// end says no more, since the service is forgotten or the replica has stopped.
func (x *absence) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	x.stopLocked()
}

func (x *absence) stopLocked() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
}

// hold counts a connect of the namespace in.
func (x *absence) hold(ns sio.Namespace) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.held++
	if x.ended {
		return
	}
	if x.gauge == nil {
		x.gauge = x.service.d.metrics.AbsentHeld(string(x.service.name))
	}
	x.gauge.Set(float64(x.held))
	if len(x.namespaces) < maxNamedNamespaces && !slices.Contains(x.namespaces, ns) {
		x.namespaces = append(x.namespaces, ns)
	}
	if x.timer == nil {
		x.timer = time.AfterFunc(max(holdNotice, time.Until(x.logged.Add(holdReminder))), x.report)
	}
}

// release counts a connect out.
func (x *absence) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.held--
	if !x.ended {
		x.gauge.Set(float64(x.held))
	}
}

// state tells since when the service is absent, which is zero while it is there, and how many
// connects it holds.
func (x *absence) state() (since time.Time, held int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.since, x.held
}

// report says that connects are held, and what to do. It runs again as long as some are.
func (x *absence) report() {
	x.mu.Lock()
	if x.timer = nil; x.held == 0 || x.ended {
		x.mu.Unlock()
		return
	}
	held, since := x.held, x.since
	namespaces := make([]string, len(x.namespaces))
	for i, ns := range x.namespaces {
		namespaces[i] = string(ns)
	}
	x.logged = time.Now()
	x.timer = time.AfterFunc(holdReminder, x.report)
	x.mu.Unlock()
	s := x.service
	s.d.log.Warn("connects held: a service is absent; start it, or retire it with the command",
		"service", s.name, "namespace", strings.Join(namespaces, " "), "since", since.Format(time.RFC3339), "count", held,
		"setting", "connect-hold, service-retention", "command", "broker services retire "+string(s.name))
}

// Learn takes over services that are absent as other replicas see them, so that connects wait for
// them here too. It is for a replica that has just started: later it could take over what has been
// retired.
func (d *Dispatcher) Learn(all []sio.Absent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range all {
		declared, err := compiled(x.Declared)
		if err != nil || len(declared) == 0 || d.services[x.Service] != nil || len(d.services) >= d.options.MaxServices {
			continue
		}
		s := d.newServiceLocked(x.Service)
		s.declared, s.left = declared, x.Since
		s.absence.beginAt(x.Since)
		s.retainLocked()
		d.log.Info("absent service learned from another replica", "service", s.name, "since", x.Since.Format(time.RFC3339))
	}
	d.namespaces.follow(buildTable(d.services))
	d.unhandled.forget()
}
