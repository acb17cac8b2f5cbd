// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Edge counts what happens at the browsers' door.
type Edge struct {
	Connected prometheus.Gauge // sockets that are connected
	Pending   prometheus.Gauge // sockets that wait for the services' decision

	Accepted         prometheus.Counter // connects that were accepted
	Refused          prometheus.Counter // connects that a service refused
	UnknownNamespace prometheus.Counter // connects to a namespace that no service has
	NamespacesFull   prometheus.Counter // connects to one by pattern when there were too many
	Away             prometheus.Counter // connects whose services stayed away
	GivenUp          prometheus.Counter // connects that ended before they were decided

	Disconnects *prometheus.CounterVec // sockets that were connected, by reason
	Breaches    *prometheus.CounterVec // sessions closed since the browser broke a rule, by cause

	Events        prometheus.Counter // events from browsers
	EventsFailed  prometheus.Counter // events that the dispatcher did not take
	AcksReceived  prometheus.Counter // acks from browsers
	AcksUnknown   prometheus.Counter // acks from browsers to which nobody waits
	AcksSent      prometheus.Counter // acks to browsers
	AcksTooLate   prometheus.Counter // acks for browsers that are gone
	AcksForgotten prometheus.Counter // acks given up since too many are outstanding on one socket
	// packets from browsers that came after the server's disconnect
	LatePackets prometheus.Counter
	Untaken     prometheus.Counter // events and connects that came while the replica drained

	VolatileDropped   prometheus.Counter // volatile events that could not be written at once
	DeliveriesTooLate prometheus.Counter // events for sockets that were gone
	// events for sessions whose queue was full, or that had just ended
	DeliveriesDropped prometheus.Counter
	// sessions closed since too much was held while a connect was pending
	HeldOverflows   prometheus.Counter
	ConnectTimeouts prometheus.Counter // sessions closed since no namespace was joined in time
	Unfinished      prometheus.Gauge   // bytes of packets whose attachments have not all come

	Recoveries *prometheus.CounterVec // connects that showed a private id, by outcome
	// missed events that were sent to sockets that came back
	Replayed          prometheus.Counter
	Absent            prometheus.Gauge   // sockets that were cut off and may come back
	RecoveryOverflows prometheus.Counter // those that may not, since there were too many

	Bundles prometheus.Counter // requests for the client bundle
}

// NewEdge makes and registers the metrics; with a nil Registerer they count for nobody.
func NewEdge(r prometheus.Registerer) *Edge {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_edge_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_edge_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "spanwire_edge_" + name, Help: help}, []string{label})
	}
	m := &Edge{
		Connected:         gauge("sockets", "Sockets that are connected."),
		Pending:           gauge("pending_sockets", "Sockets that wait for the decision of services."),
		Disconnects:       vec("disconnects_total", "Connected sockets that ended, by reason.", "reason"),
		Breaches:          vec("breaches_total", "Sessions closed because the browser broke a rule, by cause.", "cause"),
		Events:            counter("events_total", "Events from browsers."),
		EventsFailed:      counter("events_failed_total", "Events from browsers that the dispatcher did not take."),
		AcksSent:          counter("acks_sent_total", "Acks queued for browsers."),
		AcksTooLate:       counter("acks_too_late_total", "Acks for browsers that were gone."),
		LatePackets:       counter("late_packets_total", "Packets from browsers that were on their way when the server disconnected the socket."),
		Untaken:           counter("untaken_packets_total", "Events and connects from browsers dropped because the replica, or the one that forwards the WebSocket, was draining."),
		VolatileDropped:   counter("volatile_dropped_total", "Volatile events dropped because the browser could not take them at once."),
		DeliveriesTooLate: counter("deliveries_too_late_total", "Events for sockets that were gone."),
		DeliveriesDropped: counter("deliveries_dropped_total", "Events dropped because the outbound queue of their session was full."),
		HeldOverflows:     counter("held_overflows_total", "Sessions closed because too much was held while a connect was pending."),
		ConnectTimeouts:   counter("connect_timeouts_total", "Sessions closed because no namespace was joined in time."),
		Unfinished:        gauge("unfinished_bytes", "Bytes of packets whose attachments have not all come."),
		Recoveries:        vec("recoveries_total", "Connects of browsers that asked for their old socket, by outcome.", "outcome"),
		Replayed:          counter("replayed_total", "Missed events sent to sockets that came back."),
		Absent:            gauge("absent_sockets", "Sockets that were cut off and may come back."),
		RecoveryOverflows: counter("recovery_overflows_total", "Sockets that were cut off and may not come back, because too many were."),
		Bundles:           counter("bundle_requests_total", "Requests for the browser client."),
	}
	connects := vec("connects_total", "Connects to namespaces, by outcome.", "outcome")
	m.Accepted = connects.WithLabelValues("accepted")
	m.Refused = connects.WithLabelValues("refused")
	m.UnknownNamespace = connects.WithLabelValues("unknown_namespace")
	m.NamespacesFull = connects.WithLabelValues("namespaces_full")
	m.Away = connects.WithLabelValues("away")
	m.GivenUp = connects.WithLabelValues("given_up")
	acks := vec("acks_received_total", "Acks that browsers owed, by what became of them.", "outcome")
	m.AcksReceived = acks.WithLabelValues("taken")
	m.AcksUnknown = acks.WithLabelValues("unknown")
	m.AcksForgotten = acks.WithLabelValues("forgotten")
	return m
}
