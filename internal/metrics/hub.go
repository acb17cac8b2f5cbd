// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Hub counts what happens in the registry of sockets and rooms.
type Hub struct {
	Namespaces prometheus.Gauge // namespaces with sockets on this replica
	Sockets    prometheus.Gauge // sockets on this replica
	Rooms      prometheus.Gauge // rooms with members on this replica, the sockets' own left out

	Emits       prometheus.Counter // emits delivered here, whoever made them
	Deliveries  prometheus.Counter // events handed to sockets
	Joins       prometheus.Counter
	Leaves      prometheus.Counter
	Disconnects prometheus.Counter
	Fetches     prometheus.Counter // queries for sockets, of services here and of other replicas
	RoomLists   prometheus.Counter // queries for rooms
	DataSets    prometheus.Counter // attempts to keep data with a socket

	DataConflicts prometheus.Counter // of those, the ones that found another version than they knew

	PublishFailures prometheus.Counter // commands that other replicas could not be told

	JournalEvents    prometheus.Gauge   // events kept for sockets that come back
	JournalBytes     prometheus.Gauge   // the same in bytes
	JournalOverflows prometheus.Counter // events dropped before their time
	// times that sockets could not be recovered any more since other replicas' commands were
	// missing
	Gaps prometheus.Counter

	Collections  prometheus.Gauge   // emits that wait for acks
	AcksCame     prometheus.Counter // acks in time
	AcksLeft     prometheus.Counter // sockets that left instead of answering
	AcksTimedOut prometheus.Counter // sockets that did not answer in time
	AcksLate     prometheus.Counter // acks that nobody waited for any more
}

// NewHub makes and registers the metrics; with a nil Registerer they count for nobody.
func NewHub(r prometheus.Registerer) *Hub {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_hub_" + name, Help: help})
	}
	commands := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_hub_commands_total", Help: "Commands carried out on this replica, by kind.",
	}, []string{"kind"})
	acks := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_hub_acks_total", Help: "Sockets asked for an ack, by what became of it.",
	}, []string{"outcome"})
	return &Hub{
		Namespaces:    gauge("namespaces", "Namespaces that have sockets on this replica."),
		Sockets:       gauge("sockets", "Sockets on this replica."),
		Rooms:         gauge("rooms", "Rooms that have members on this replica, the sockets' own rooms left out."),
		Collections:   gauge("collections", "Emits that wait for acks on this replica."),
		JournalEvents: gauge("journal_events", "Events kept for sockets that come back."),
		JournalBytes:  gauge("journal_bytes", "Bytes of the events kept for sockets that come back."),
		Gaps: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_hub_backplane_gaps_total",
			Help: "Times that commands of other replicas were found missing, so that no socket connected until then is recovered.",
		}),
		JournalOverflows: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_hub_journal_overflows_total", Help: "Events kept for sockets that come back and dropped before their time, because there were too many.",
		}),
		Emits:       commands.WithLabelValues("emit"),
		Joins:       commands.WithLabelValues("join"),
		Leaves:      commands.WithLabelValues("leave"),
		Disconnects: commands.WithLabelValues("disconnect"),
		Fetches:     commands.WithLabelValues("fetch_sockets"),
		RoomLists:   commands.WithLabelValues("list_rooms"),
		DataSets:    commands.WithLabelValues("set_data"),
		DataConflicts: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_hub_data_conflicts_total", Help: "Attempts to change data of a socket that had changed meanwhile.",
		}),
		Deliveries: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_hub_deliveries_total", Help: "Events handed to sockets of this replica.",
		}),
		PublishFailures: f.NewCounter(prometheus.CounterOpts{
			Name: "spanwire_hub_publish_failures_total", Help: "Commands that other replicas could not be told.",
		}),
		AcksCame:     acks.WithLabelValues("came"),
		AcksLeft:     acks.WithLabelValues("left"),
		AcksTimedOut: acks.WithLabelValues("timeout"),
		AcksLate:     acks.WithLabelValues("late"),
	}
}
