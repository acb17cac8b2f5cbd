// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Hub counts what happens in the registry of sockets and rooms.
type Hub struct {
	Namespaces Gauge
	Sockets    Gauge
	Rooms      Gauge

	// commands, by kind
	Emits       Counter
	Joins       Counter
	Leaves      Counter
	Disconnects Counter
	Fetches     Counter // queries for sockets, of services and of other replicas
	RoomLists   Counter
	DataSets    Counter

	Deliveries      Counter
	DataConflicts   Counter
	PublishFailures Counter

	JournalEvents    Gauge
	JournalBytes     Gauge
	JournalOverflows Counter
	Gaps             Counter

	Collections      Gauge
	AcksReceived     Counter
	AcksDisconnected Counter // sockets that disconnected before they answered
	AcksTimedOut     Counter
	AcksLate         Counter
}

// NewHub makes and registers the metrics; r may be nil.
func NewHub(r prometheus.Registerer) *Hub {
	s := subsystem{"hub", r}
	commands := s.counters("commands_total", "Commands carried out on this replica, by kind.",
		one("kind", "disconnect", "emit", "fetch_sockets", "join", "leave", "list_rooms", "set_data"))
	acks := s.counters("acks_total", "Sockets asked for an ack, by outcome.", outcome("disconnected", "late", "received", "timeout"))
	return &Hub{
		Namespaces:    s.gauge("namespaces", "Namespaces that have sockets on this replica."),
		Sockets:       s.gauge("sockets", "Sockets on this replica."),
		Rooms:         s.gauge("rooms", "Rooms that have members on this replica, without the sockets' own rooms."),
		Collections:   s.gauge("collections", "Emits that wait for acks on this replica."),
		JournalEvents: s.gauge("journal_events", "Events kept for sockets that may be recovered."),
		JournalBytes:  s.gauge("journal_bytes", "Bytes of the events kept for sockets that may be recovered."),
		Gaps:          s.counter("backplane_gaps_total", "Gaps in the commands of other replicas; sockets connected before a gap are not recovered."),
		JournalOverflows: s.counter("journal_overflows_total",
			"Events kept for sockets that may be recovered and evicted early, because of recovery-max-packets or recovery-max-bytes."),
		Emits:            commands.With("emit"),
		Joins:            commands.With("join"),
		Leaves:           commands.With("leave"),
		Disconnects:      commands.With("disconnect"),
		Fetches:          commands.With("fetch_sockets"),
		RoomLists:        commands.With("list_rooms"),
		DataSets:         commands.With("set_data"),
		DataConflicts:    s.counter("data_conflicts_total", "Attempts to change the data of a socket that had changed meanwhile."),
		Deliveries:       s.counter("deliveries_total", "Events handed to sockets of this replica."),
		PublishFailures:  s.counter("publish_failures_total", "Commands that could not be published to other replicas."),
		AcksReceived:     acks.With("received"),
		AcksDisconnected: acks.With("disconnected"),
		AcksTimedOut:     acks.With("timeout"),
		AcksLate:         acks.With("late"),
	}
}
