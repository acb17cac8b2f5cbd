// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Engine counts what happens in Engine.IO. It implements engineio.Observer.
type Engine struct {
	openPolling   Gauge
	openWebSocket Gauge
	outbound      Gauge
	opened        Counters
	closed        Counters
	rejected      Counters
	cutOff        Counters
	upgrades      Counter
	failed        Counter
	polling       engineTraffic
	websocket     engineTraffic
}

// engineTraffic are the counters of one transport, resolved once.
type engineTraffic struct {
	received, receivedBytes, sent, sentBytes Counter
}

// NewEngine makes and registers the metrics; r may be nil.
func NewEngine(r prometheus.Registerer) *Engine {
	s := subsystem{"engine", r}
	open := s.gauges("sessions", "Sessions that are open, by transport.", transport())
	upgrades := s.counters("upgrades_total", "Upgrades from polling to WebSocket, by outcome.", outcome("completed", "failed"))
	received := s.counters("messages_received_total", "Messages from browsers, by transport.", transport())
	receivedBytes := s.counters("received_bytes_total", "Bytes of messages from browsers, by transport.", transport())
	sent := s.counters("messages_sent_total", "Messages queued for browsers, by transport.", transport())
	sentBytes := s.counters("sent_bytes_total", "Bytes of messages queued for browsers, by transport.", transport())
	traffic := func(transport string) engineTraffic {
		return engineTraffic{received.With(transport), receivedBytes.With(transport), sent.With(transport), sentBytes.With(transport)}
	}
	return &Engine{
		openPolling:   open.With(transportPolling),
		openWebSocket: open.With(transportWebSocket),
		outbound:      s.gauge("outbound_bytes", "Bytes held for browsers that have not taken them yet; what many sessions share counts once."),
		opened:        s.counters("opened_sessions_total", "Sessions opened, by first transport.", transport()),
		closed:        s.counters("closed_sessions_total", "Sessions closed, by last transport and reason.", transport(), reason(endings...)),
		rejected: s.counters("rejected_requests_total", "Requests that were rejected, by reason.",
			reason("content_encoding", "data_before_handshake", "draining", "handshake_method", "jsonp", "limit", "method", "origin", "overlapping_requests",
				"packets_in_payload", "path", "payload", "payload_too_large", "protocol_version", "protocol_version_of_session", "session_unknown", "sessions",
				"sessions_of_address", "slow_body", "transport_mismatch", "transport_unknown", "upgrade_header", "websocket_handshake")),
		cutOff: s.counters("slow_sessions_total", "Sessions closed with the reason slow_consumer, by the limit that was reached.",
			reason("max_outbound", "max_outbound_total", "write_timeout")),
		upgrades:  upgrades.With("completed"),
		failed:    upgrades.With("failed"),
		polling:   traffic(transportPolling),
		websocket: traffic(transportWebSocket),
	}
}

// Opened counts a new session.
func (m *Engine) Opened(transport string) {
	m.opened.With(transport).Inc()
	m.sessions(transport).Inc()
}

// Upgraded counts a polling session that became a websocket session.
func (m *Engine) Upgraded() {
	m.upgrades.Inc()
	m.openPolling.Dec()
	m.openWebSocket.Inc()
}

// UpgradeFailed counts an upgrade that failed.
func (m *Engine) UpgradeFailed() { m.failed.Inc() }

// Closed counts the end of a session.
func (m *Engine) Closed(transport, reason string) {
	m.closed.With(transport, reason).Inc()
	m.sessions(transport).Dec()
}

// CutOff counts a session that was closed with ReasonSlowConsumer.
func (m *Engine) CutOff(reason string) { m.cutOff.With(reason).Inc() }

// Outbound counts bytes that are held for browsers.
func (m *Engine) Outbound(change int) { m.outbound.Add(float64(change)) }

// Refused counts a request that was rejected.
func (m *Engine) Refused(reason string) { m.rejected.With(reason).Inc() }

// Received counts one message from a browser.
func (m *Engine) Received(transport string, bytes int) {
	t := m.traffic(transport)
	t.received.Inc()
	t.receivedBytes.Add(float64(bytes))
}

// Sent counts messages to a browser.
func (m *Engine) Sent(transport string, messages, bytes int) {
	t := m.traffic(transport)
	t.sent.Add(float64(messages))
	t.sentBytes.Add(float64(bytes))
}

func (m *Engine) traffic(transport string) *engineTraffic {
	if transport == transportWebSocket {
		return &m.websocket
	}
	return &m.polling
}

func (m *Engine) sessions(transport string) prometheus.Gauge {
	if transport == transportWebSocket {
		return m.openWebSocket
	}
	return m.openPolling
}
