// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Forward counts the requests whose session is another replica's.
type Forward struct {
	Polling   prometheus.Counter // forwarded
	WebSocket prometheus.Counter // forwarded
	Open      prometheus.Gauge   // forwarded and not over

	// Not forwarded, or not answered.
	Unknown     prometheus.Counter // no such replica
	Unaddressed prometheus.Counter // it told no address
	Unreachable prometheus.Counter // it takes no connection
	Stranger    prometheus.Counter // who answered is not it
	Broken      prometheus.Counter // it did not answer
	TooMany     prometheus.Counter // beyond the setting max-forwards
	Early       prometheus.Counter // its browser did not wait for the answer to its handshake

	Stalled prometheus.Counter // connections whose receiver took nothing

	Taken  prometheus.Counter // of other replicas
	Denied prometheus.Counter // without the cluster's secret
}

// NewForward makes and registers the metrics; with a nil Registerer they count for nobody.
func NewForward(r prometheus.Registerer) *Forward {
	f := promauto.With(r)
	requests := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_forward_requests_total", Help: "Requests that were forwarded to the replica of their session, by transport.",
	}, []string{"transport"})
	failed := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_forward_failed_total", Help: "Requests whose session is another replica's and that did not get its answer, by cause.",
	}, []string{"cause"})
	return &Forward{
		Polling:   requests.WithLabelValues(enginePolling),
		WebSocket: requests.WithLabelValues(engineWebSocket),
		Open: f.NewGauge(prometheus.GaugeOpts{
			Name: "spanwire_forward_open", Help: "Requests and WebSockets that are being forwarded, against max-forwards.",
		}),
		Unknown:     failed.WithLabelValues("replica unknown"),
		Unaddressed: failed.WithLabelValues("no address"),
		Unreachable: failed.WithLabelValues("unreachable"),
		Stranger:    failed.WithLabelValues("stranger"),
		Broken:      failed.WithLabelValues("broken"),
		TooMany:     failed.WithLabelValues("too many"),
		Early:       failed.WithLabelValues("data before handshake"),
		Stalled: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_forward_stalled_total", Help: "Forwarded connections closed because their receiver took nothing within write-timeout.",
		}),
		Taken: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_forward_taken_total", Help: "Requests that other replicas forwarded to this one.",
		}),
		Denied: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_forward_denied_total", Help: "Requests at forward-address that did not show the cluster's secret.",
		}),
	}
}
