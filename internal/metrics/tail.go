// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Tail counts what is followed.
type Tail struct {
	Followers Gauge
	Told      Counter // occurrences, for each follower
	Missed    Counter // since a follower read too slowly
	Refused   Counter // followers
}

// NewTail makes and registers the metrics; with a nil Registerer they count for nobody.
func NewTail(r prometheus.Registerer) *Tail {
	f := promauto.With(r)
	counter := func(name, help string) Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_tail_" + name + "_total", Help: help})
	}
	return &Tail{
		Followers: f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_tail_followers", Help: "Callers that follow what happens."}),
		Told:      counter("told", "Occurrences that were queued for callers that follow."),
		Missed:    counter("missed", "Occurrences that callers missed, since more than the setting tail-backlog waited for them."),
		Refused:   counter("refused", "Callers that were not let follow, since as many as the setting max-tails allows did."),
	}
}
