// SPDX-License-Identifier: Apache-2.0

// Package metrics declares every metric of the broker, one file for each subsystem. A metric is
// declared once: its name, its help text, and its labels with all their values. The reference
// docs/reference/metrics.md is generated from the declarations. Names have the form
// `spanwire_<subsystem>_<noun>_<unit>`, where the unit of a counter is `total`. What is counted for
// every event needs no lookup: counters with labels are resolved when they are made.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// prefix begins the name of every metric of the broker.
const prefix = "spanwire_"

// NewRegistry makes the registry of one replica, with the metrics of the Go runtime and of the
// process.
func NewRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	newBuild(r).With(version).Set(1)
	return r
}

func newBuild(r prometheus.Registerer) Gauges {
	s := subsystem{"build", r}
	return s.gauges("info", "Always 1; the label is the version of the broker.", label{name: "version", open: "versions of the broker"})
}

// Other packages use metrics by these names, so that only this one imports the library.
type (
	// Counter only grows.
	Counter = prometheus.Counter
	// Gauge goes up and down.
	Gauge = prometheus.Gauge
)
