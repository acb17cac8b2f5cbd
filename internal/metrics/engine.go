// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Engine counts what happens in Engine.IO. It implements engineio.Observer.
type Engine struct {
	open          *prometheus.GaugeVec
	opened        *prometheus.CounterVec
	closed        *prometheus.CounterVec
	upgrades      prometheus.Counter
	failed        prometheus.Counter
	refused       *prometheus.CounterVec
	openPolling   prometheus.Gauge
	openWebSocket prometheus.Gauge
	polling       engineTraffic
	websocket     engineTraffic
	cutOff        *prometheus.CounterVec
	outbound      prometheus.Gauge
}

// engineTraffic are the counters of one transport, resolved once.
type engineTraffic struct {
	received, receivedBytes, sent, sentBytes prometheus.Counter
}

const (
	enginePolling   = "polling"
	engineWebSocket = "websocket"
)

// NewEngine makes and registers the counters.
func NewEngine(r prometheus.Registerer) *Engine {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	m := &Engine{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "spanwire_engine_sessions", Help: "Sessions that are open, by transport.",
		}, []string{"transport"}),
		opened:  vec("spanwire_engine_opened_total", "Sessions that were opened, by first transport.", "transport"),
		closed:  vec("spanwire_engine_closed_total", "Sessions that ended, by last transport and reason.", "transport", "reason"),
		refused: vec("spanwire_engine_refused_total", "Requests that were turned away, by cause.", "cause"),
	}
	outcome := vec("spanwire_engine_upgrades_total", "Upgrades from polling to websocket, by outcome.", "outcome")
	m.upgrades, m.failed = outcome.WithLabelValues("done"), outcome.WithLabelValues("failed")
	m.cutOff = vec("spanwire_engine_slow_sessions_total", "Sessions closed with `slow consumer`, by the limit that was reached.", "reason")
	m.outbound = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "spanwire_engine_outbound_bytes", Help: "Bytes held for browsers that have not taken them yet; what many sessions share counts once.",
	})
	r.MustRegister(m.open, m.outbound)
	m.openPolling, m.openWebSocket = m.open.WithLabelValues(enginePolling), m.open.WithLabelValues(engineWebSocket)

	received := vec("spanwire_engine_messages_received_total", "Messages from browsers, by transport.", "transport")
	receivedBytes := vec("spanwire_engine_received_bytes_total", "Bytes in messages from browsers, by transport.", "transport")
	sent := vec("spanwire_engine_messages_sent_total", "Messages queued for browsers, by transport.", "transport")
	sentBytes := vec("spanwire_engine_sent_bytes_total", "Bytes in messages queued for browsers, by transport.", "transport")
	traffic := func(transport string) engineTraffic {
		return engineTraffic{
			received: received.WithLabelValues(transport), receivedBytes: receivedBytes.WithLabelValues(transport),
			sent: sent.WithLabelValues(transport), sentBytes: sentBytes.WithLabelValues(transport),
		}
	}
	m.polling, m.websocket = traffic(enginePolling), traffic(engineWebSocket)
	return m
}

// Opened counts a new session.
func (m *Engine) Opened(transport string) {
	m.opened.WithLabelValues(transport).Inc()
	m.sessions(transport).Inc()
}

// Upgraded counts a polling session that became a websocket session.
func (m *Engine) Upgraded() {
	m.upgrades.Inc()
	m.openPolling.Dec()
	m.openWebSocket.Inc()
}

// UpgradeFailed counts an upgrade that came to nothing.
func (m *Engine) UpgradeFailed() { m.failed.Inc() }

// Closed counts the end of a session.
func (m *Engine) Closed(transport, reason string) {
	m.closed.WithLabelValues(transport, reason).Inc()
	m.sessions(transport).Dec()
}

// CutOff counts a session that was closed with ReasonSlowConsumer.
func (m *Engine) CutOff(reason string) { m.cutOff.WithLabelValues(reason).Inc() }

// Outbound counts bytes that are held for browsers.
func (m *Engine) Outbound(change int) { m.outbound.Add(float64(change)) }

// Refused counts a request that was turned away.
func (m *Engine) Refused(cause string) { m.refused.WithLabelValues(cause).Inc() }

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
	if transport == engineWebSocket {
		return &m.websocket
	}
	return &m.polling
}

func (m *Engine) sessions(transport string) prometheus.Gauge {
	if transport == engineWebSocket {
		return m.openWebSocket
	}
	return m.openPolling
}
