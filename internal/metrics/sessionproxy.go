// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// SessionProxy counts the requests whose session is another replica's.
type SessionProxy struct {
	Polling   Counter
	WebSocket Counter
	Open      Gauge

	// requests that failed, by reason
	UnknownReplica Counter // no such replica
	NoAddress      Counter // it has announced no address
	Unreachable    Counter // it takes no connection
	WrongReplica   Counter // another process answered
	NoAnswer       Counter // it did not answer
	TooMany        Counter // beyond the setting max-forwards
	EarlyData      Counter // its browser did not wait for the answer to its handshake

	Stalled         Counter
	Received        Counter
	Unauthenticated Counter
}

// NewSessionProxy makes and registers the metrics; r may be nil.
func NewSessionProxy(r prometheus.Registerer) *SessionProxy {
	s := subsystem{"sessionproxy", r}
	requests := s.counters("requests_total", "Requests forwarded to the replica of their session, by transport.", transport())
	failed := s.counters("failures_total", "Requests of another replica's session that did not get its answer, by reason.",
		reason("data_before_handshake", "no_address", "no_answer", "too_many", "unknown_replica", "unreachable", "wrong_replica"))
	return &SessionProxy{
		Polling:        requests.With(transportPolling),
		WebSocket:      requests.With(transportWebSocket),
		Open:           s.gauge("open_requests", "Requests and WebSockets that are being forwarded, limited by max-forwards."),
		UnknownReplica: failed.With("unknown_replica"),
		NoAddress:      failed.With("no_address"),
		Unreachable:    failed.With("unreachable"),
		WrongReplica:   failed.With("wrong_replica"),
		NoAnswer:       failed.With("no_answer"),
		TooMany:        failed.With("too_many"),
		EarlyData:      failed.With("data_before_handshake"),
		Stalled:        s.counter("stalled_connections_total", "Forwarded connections closed because their receiver took nothing within write-timeout."),
		Received:       s.counter("received_requests_total", "Requests that other replicas forwarded to this one."),
		Unauthenticated: s.counter("unauthenticated_requests_total",
			"Requests at forward-address that did not authenticate with the secret of the cluster."),
	}
}
