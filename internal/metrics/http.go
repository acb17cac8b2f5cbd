// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// NewHTTPRefused makes and registers the counter of requests that an HTTP listener refused before
// any handler saw them.
func NewHTTPRefused(r prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_http_refused_total", Help: "Requests that an HTTP listener refused before any handler, by listener and reason.",
	}, []string{"listener", "reason"})
}
