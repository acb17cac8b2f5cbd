// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Listener counts what arrives at the listeners and reaches no handler.
type Listener struct {
	Rejected       Counters // by listener and reason
	WrongProtocols Counters // by listener and reason
}

// NewListener makes and registers the metrics; r may be nil.
func NewListener(r prometheus.Registerer) Listener {
	return Listener{
		Rejected: subsystem{"http", r}.counters("rejected_requests_total", "Requests that an HTTP listener rejected before any handler, by listener and reason.",
			listener("browsers", "operators", "replicas"),
			reason("cross_site", "denied", "early_data", "header", "host", "method", "unauthenticated")),
		WrongProtocols: subsystem{"listener", r}.counters("wrong_protocol_total",
			"Connections that began with a protocol that the listener does not speak, by listener and by protocol.",
			listener("browsers", "operators", "services"), reason("http1", "http2", "proxy_protocol", "tls")),
	}
}

// listener is the label of the address that the broker listens on.
func listener(names ...string) label { return one("listener", names...) }

// TLS measures the certificates of listeners and their use.
type TLS struct {
	FailedHandshakes Counters // by listener
	NotAfter         Gauges   // by listener
}

// NewTLS makes and registers the metrics; r may be nil.
func NewTLS(r prometheus.Registerer) TLS {
	s := subsystem{"certificate", r}
	return TLS{
		FailedHandshakes: s.counters("failed_handshakes_total", "TLS handshakes that failed, by listener; the log has the reason.",
			listener("browsers", "operators", "replicas", "services")),
		NotAfter: s.gauges("not_after_seconds", "Expiry of the certificate in use, in seconds since 1970, by listener.",
			listener("browsers", "cluster", "operators", "services")),
	}
}
