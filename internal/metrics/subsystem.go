// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// subsystem makes the metrics of one subsystem and registers them with r. A name is given without
// its prefix `spanwire_<subsystem>_`.
type subsystem struct {
	name string
	r    prometheus.Registerer // nil in tests that read no metric
}

// label is one label of a metric, with the values that it can have.
type label struct {
	name   string
	values []string // a closed list, as they are exported
	open   string   // what the values are, when there is no closed list
}

// one is a label with a closed list of values.
func one(name string, values ...string) label { return label{name: name, values: values} }

// reason is the label that says why something happened.
func reason(values ...string) label { return one("reason", values...) }

// outcome is the label that says how something ended.
func outcome(values ...string) label { return one("outcome", values...) }

// transport is the label of the two transports of browsers.
func transport() label { return one("transport", transportPolling, transportWebSocket) }

const (
	transportPolling   = "polling"
	transportWebSocket = "websocket"
)

// labelValue is a word of the code in the form of a label's value: "ping timeout" is exported as
// ping_timeout.
func labelValue(word string) string { return strings.ReplaceAll(word, " ", "_") }

// Counters are a counter for each combination of values of its labels.
type Counters struct{ vec *prometheus.CounterVec }

// With is the counter of the values, in the order of the declaration.
func (c Counters) With(values ...string) Counter {
	return c.vec.WithLabelValues(labelValues(values)...)
}

// Of fixes the value of one label, so that With takes the others only.
func (c Counters) Of(label, value string) Counters {
	return Counters{c.vec.MustCurryWith(prometheus.Labels{label: labelValue(value)})}
}

// Gauges are a gauge for each combination of values of its labels.
type Gauges struct{ vec *prometheus.GaugeVec }

// With is the gauge of the values, in the order of the declaration.
func (g Gauges) With(values ...string) Gauge { return g.vec.WithLabelValues(labelValues(values)...) }

// Forget removes the gauge of the values.
func (g Gauges) Forget(values ...string) { g.vec.DeleteLabelValues(labelValues(values)...) }

func labelValues(words []string) []string {
	values := make([]string, len(words))
	for i, w := range words {
		values[i] = labelValue(w)
	}
	return values
}

func (s subsystem) counter(name, help string) Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: s.full(name), Help: help})
	s.register(c, "counter", name, help)
	return c
}

func (s subsystem) counters(name, help string, labels ...label) Counters {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.full(name), Help: help}, names(labels))
	s.register(v, "counter", name, help, labels...)
	return Counters{v}
}

func (s subsystem) gauge(name, help string) Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: s.full(name), Help: help})
	s.register(g, "gauge", name, help)
	return g
}

func (s subsystem) gauges(name, help string, labels ...label) Gauges {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.full(name), Help: help}, names(labels))
	s.register(v, "gauge", name, help, labels...)
	return Gauges{v}
}

func (s subsystem) histogram(name, help string, buckets ...float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: s.full(name), Help: help, Buckets: buckets})
	s.register(h, "histogram", name, help)
	return h
}

func (s subsystem) full(name string) string { return prefix + s.name + "_" + name }

func (s subsystem) register(m prometheus.Collector, kind, name, help string, labels ...label) {
	if c, ok := s.r.(*catalogue); ok {
		c.all = append(c.all, description{subsystem: s.name, name: s.full(name), kind: kind, help: help, labels: labels})
	} else if s.r != nil {
		s.r.MustRegister(m)
	}
}

func names(labels []label) []string {
	all := make([]string, len(labels))
	for i, l := range labels {
		all[i] = l.name
	}
	return all
}
