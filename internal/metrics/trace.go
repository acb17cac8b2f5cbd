// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Trace counts the callers that follow what happens (command tail), and what they get.
type Trace struct {
	Watchers Gauge
	Queued   Counter // for each watcher
	Missed   Counter
	Rejected Counter
}

// NewTrace makes and registers the metrics; r may be nil.
func NewTrace(r prometheus.Registerer) *Trace {
	s := subsystem{"trace", r}
	return &Trace{
		Watchers: s.gauge("watchers", "Callers that follow a trace."),
		Queued:   s.counter("events_total", "Trace events queued, one for each caller that follows."),
		Missed:   s.counter("missed_events_total", "Trace events dropped because more than tail-backlog waited for a caller."),
		Rejected: s.counter("rejected_watchers_total", "Callers that were rejected because max-tails of them followed a trace."),
	}
}
