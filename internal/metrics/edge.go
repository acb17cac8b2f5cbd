// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Edge counts what happens at the browsers' entry point.
type Edge struct {
	Connected Gauge
	Pending   Gauge

	// connects, by outcome
	Accepted         Counter
	Refused          Counter // by a service
	UnknownNamespace Counter // no service has the namespace
	NamespacesFull   Counter // max-dynamic-namespaces
	Absent           Counter // its service did not attach in time
	Abandoned        Counter // ended before the decision

	Disconnects Counters // by reason
	Violations  Counters // by reason

	Events       Counter
	EventsFailed Counter

	AcksReceived Counter
	AcksUnknown  Counter // no emit waits for them
	AcksEvicted  Counter // max-outstanding-acks
	AcksSent     Counter
	AcksTooLate  Counter

	LatePackets    Counter
	DrainedPackets Counter // dropped because the replica was draining

	VolatileDropped   Counter
	DeliveriesTooLate Counter
	DeliveriesDropped Counter

	HeldOverflows   Counter
	ConnectTimeouts Counter
	Incomplete      Gauge

	Recoveries        Counters // by outcome
	Replayed          Counter
	Recoverable       Gauge
	RecoveryOverflows Counter

	Bundles Counter
}

// NewEdge makes and registers the metrics; r may be nil.
func NewEdge(r prometheus.Registerer) *Edge {
	s := subsystem{"edge", r}
	connects := s.counters("connects_total", "Connects to namespaces, by outcome.",
		outcome("abandoned", "absent", "accepted", "namespaces_full", "refused", "unknown_namespace"))
	acks := s.counters("acks_received_total", "Acks expected of browsers, by outcome.", outcome("accepted", "evicted", "unknown"))
	return &Edge{
		Connected:        s.gauge("sockets", "Sockets that are connected."),
		Pending:          s.gauge("pending_sockets", "Sockets that wait for the decision of services."),
		Accepted:         connects.With("accepted"),
		Refused:          connects.With("refused"),
		UnknownNamespace: connects.With("unknown_namespace"),
		NamespacesFull:   connects.With("namespaces_full"),
		Absent:           connects.With("absent"),
		Abandoned:        connects.With("abandoned"),
		Disconnects:      s.counters("disconnects_total", "Connected sockets that disconnected, by reason.", reason(endings...)),
		Violations: s.counters("protocol_violations_total", "Sessions closed because the browser violated the protocol or a limit, by reason.",
			reason("ack_id", "attachment_bytes", "attachments", "attachments_overdue", "binary_unexpected", "connect_rate", "connect_twice", "depth", "event_name",
				"event_name_length", "event_rate", "json", "msgpack", "msgpack_extension", "namespace", "namespaces", "payload", "payload_bytes", "placeholder",
				"reserved", "state", "text_expected_binary", "too_many_attachments", "type", "unfinished")),
		Events:            s.counter("events_total", "Events from browsers."),
		EventsFailed:      s.counter("failed_events_total", "Events from browsers that the dispatcher did not take."),
		AcksReceived:      acks.With("accepted"),
		AcksUnknown:       acks.With("unknown"),
		AcksEvicted:       acks.With("evicted"),
		AcksSent:          s.counter("acks_sent_total", "Acks queued for browsers."),
		AcksTooLate:       s.counter("late_acks_total", "Acks for sockets that had disconnected."),
		LatePackets:       s.counter("late_packets_total", "Packets from browsers that arrived after the server disconnected the socket."),
		DrainedPackets:    s.counter("drain_dropped_packets_total", "Events and connects from browsers dropped because this replica, or the one that forwards the WebSocket, was draining."),
		VolatileDropped:   s.counter("dropped_volatile_events_total", "Volatile events dropped because the browser could not take them at once."),
		DeliveriesTooLate: s.counter("late_deliveries_total", "Events for sockets that had disconnected."),
		DeliveriesDropped: s.counter("dropped_deliveries_total", "Events dropped because the outbound queue of their session was full."),
		HeldOverflows:     s.counter("held_overflows_total", "Sessions closed because too much was held while a connect was pending."),
		ConnectTimeouts:   s.counter("connect_timeouts_total", "Sessions closed because no namespace was joined within connect-timeout."),
		Incomplete:        s.gauge("incomplete_packet_bytes", "Bytes of packets whose attachments have not all arrived."),
		Recoveries: s.counters("recoveries_total", "Connects of browsers that asked for the recovery of their socket, by outcome.",
			outcome("backplane_gap", "claimed", "expired", "incomplete", "recovered", "too_large", "unknown", "unknown_offset")),
		Replayed:          s.counter("replayed_events_total", "Missed events sent to recovered sockets."),
		Recoverable:       s.gauge("recoverable_sockets", "Sockets that lost their connection and may be recovered."),
		RecoveryOverflows: s.counter("recovery_overflows_total", "Sockets that lost their connection and may not be recovered, because of recovery-max-sessions."),
		Bundles:           s.counter("bundle_requests_total", "Requests for the JavaScript client."),
	}
}

// endings are the reasons why sessions close and sockets disconnect: those of package sio.
var endings = []string{
	"client_namespace_disconnect", "forced_close", "forced_server_close", "parse_error", "payload_too_large", "ping_timeout",
	"server_namespace_disconnect", "server_shutting_down", "slow_consumer", "too_many_packets", "transport_close", "transport_error",
}
