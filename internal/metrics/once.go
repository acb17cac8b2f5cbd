// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Once counts calls with idempotency keys.
type Once struct {
	Keys     Gauge   // known
	Bytes    Gauge   // of answers that are remembered
	Replayed Counter // calls that were not carried out again
	Misused  Counter // calls with the key of a different request
	Evicted  Counter // keys forgotten before their time
	Unasked  Counter // calls carried out though some replica did not say whether it knows the key
}

// NewOnce makes and registers the metrics; with a nil Registerer they count for nobody.
func NewOnce(r prometheus.Registerer) *Once {
	f := promauto.With(r)
	gauge := func(name, help string) Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_once_" + name, Help: help})
	}
	counter := func(name, help string) Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_once_" + name + "_total", Help: help})
	}
	return &Once{
		Keys:     gauge("keys", "Idempotency keys that are known: of calls that run, and of those that are remembered."),
		Bytes:    gauge("bytes", "Bytes of the answers that are remembered for idempotency keys."),
		Replayed: counter("replayed", "Calls that were answered as an earlier one with their idempotency key, and not carried out again."),
		Misused:  counter("misused", "Calls refused since their idempotency key was used for a different request."),
		Evicted: counter("evicted", "Idempotency keys forgotten before their time, since there were more than the settings "+
			"max-idempotency-keys and max-idempotency-bytes allow."),
		Unasked: counter("unasked", "Calls with idempotency keys that were carried out although some replica did not say whether it knows the key."),
	}
}
