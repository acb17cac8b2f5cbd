// SPDX-License-Identifier: Apache-2.0

// Package metrics holds every counter and gauge of the broker, one file for each room. Names are
// `spanwire_<room>_<what>`, with `_total` for counters and a unit where there is one. What is
// counted on the way of every event needs no lookup: labelled counters are resolved when they are
// made.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// NewRegistry makes the registry of one replica, with what Go and the process tell of themselves.
func NewRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	newBuild(r).WithLabelValues(version).Set(1)
	return r
}

func newBuild(r prometheus.Registerer) *prometheus.GaugeVec {
	return promauto.With(r).NewGaugeVec(prometheus.GaugeOpts{
		Name: "spanwire_build_info", Help: "Always 1; the label tells the broker's version.",
	}, []string{"version"})
}

// Rooms pass metrics around by these names, so that only this package knows what stands behind
// them.
type (
	// Counter only grows.
	Counter = prometheus.Counter
	// Gauge goes up and down.
	Gauge = prometheus.Gauge
)
