// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// NewUpstream makes and registers the counter of requests to the upstream that failed.
func NewUpstream(r prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_upstream_failures_total", Help: "Requests to the upstream that failed, by reason.",
	}, []string{"reason"})
}
