// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Reload counts files that are read anew, by what is made of them.
type Reload struct {
	Loaded *prometheus.CounterVec
	Failed *prometheus.CounterVec
	// 1 while the files cannot be used, and what was read before is in force
	Stale *prometheus.GaugeVec
}

// NewReload makes and registers the metrics; with a nil Registerer they count for nobody.
func NewReload(r prometheus.Registerer) *Reload {
	f := promauto.With(r)
	of := []string{"of"}
	return &Reload{
		Loaded: f.NewCounterVec(prometheus.CounterOpts{
			Name: "spanwire_reload_loaded_total", Help: "Times that changed files were read anew, by what is made of them.",
		}, of),
		Failed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "spanwire_reload_failed_total", Help: "Times that changed files could not be used.",
		}, of),
		Stale: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "spanwire_reload_stale", Help: "1 while the files cannot be used, and what was read before stays in force.",
		}, of),
	}
}

// NewHandshakes makes and registers the counter of TLS handshakes that came to nothing, by door.
func NewHandshakes(r prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_certificate_failed_handshakes_total", Help: "TLS handshakes that came to nothing, by door; the log tells why.",
	}, []string{"door"})
}

// NewWrongProtocols makes and registers the counter of connections that begin with a protocol that
// their listener does not speak.
func NewWrongProtocols(r prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_listener_wrong_protocol_total",
		Help: "Connections that began with another protocol than the listener's, by listener and by what they began with.",
	}, []string{"listener", "reason"})
}

// NewCertificate makes and registers the gauge of when a listener's certificate ends.
func NewCertificate(r prometheus.Registerer) *prometheus.GaugeVec {
	return promauto.With(r).NewGaugeVec(prometheus.GaugeOpts{
		Name: "spanwire_certificate_not_after_seconds", Help: "When the certificate in use ends, in seconds since 1970, by listener.",
	}, []string{"of"})
}
