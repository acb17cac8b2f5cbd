// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Backplane counts what replicas say to each other.
type Backplane struct {
	Published       prometheus.Counter
	PublishedBytes  prometheus.Counter
	PublishFailures prometheus.Counter // envelopes that could not be handed to the backplane
	TooLarge        prometheus.Counter // of those, the ones that were too large

	Received      prometheus.Counter
	ReceivedBytes prometheus.Counter

	IgnoredGarbage  prometheus.Counter // made no sense
	IgnoredVersion  prometheus.Counter // spoke another revision of the wire
	IgnoredUnknown  prometheus.Counter // were of a kind that is not known
	IgnoredForeign  prometheus.Counter // were for another replica
	IgnoredRepeated prometheus.Counter // came a second time

	// carried no code that authenticates them, or a wrong one
	IgnoredUnauthenticated prometheus.Counter
	// were of replicas that have not proven that they are there now
	IgnoredUnproven prometheus.Counter

	Gaps prometheus.Counter // times that envelopes were found missing
	Lost prometheus.Counter // envelopes found missing

	Connected prometheus.Gauge // 1 while the backplane is connected

	ForeignClusters prometheus.Gauge // other clusters whose replicas use the same NATS

	Disconnects prometheus.Counter // times that the connection to NATS was lost
	Reconnects  prometheus.Counter // times that it came back
	// times that this replica did not keep up, so that envelopes were dropped for it
	SlowConsumer  prometheus.Counter
	GathersOpen   prometheus.Gauge   // emits that wait for acks of other replicas
	GathersFailed prometheus.Counter // replicas that did not answer an emit with acks
	QueriesOpen   prometheus.Gauge   // queries and messages that wait for answers of other replicas
	QueriesFailed prometheus.Counter // replicas that did not answer one
}

// NewBackplane makes and registers the metrics; with a nil Registerer they count for nobody.
func NewBackplane(r prometheus.Registerer) *Backplane {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_backplane_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_backplane_" + name, Help: help})
	}
	ignored := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_backplane_ignored_total", Help: "Envelopes that were ignored, by why.",
	}, []string{"why"})
	return &Backplane{
		Published:       counter("published_total", "Envelopes published."),
		PublishedBytes:  counter("published_bytes_total", "Bytes of envelopes published."),
		PublishFailures: counter("publish_failures_total", "Envelopes that could not be handed to the backplane."),
		TooLarge:        counter("too_large_total", "Envelopes that were too large for the backplane."),
		Received:        counter("received_total", "Envelopes received."),
		ReceivedBytes:   counter("received_bytes_total", "Bytes of envelopes received."),
		IgnoredGarbage:  ignored.WithLabelValues("garbage"),
		IgnoredVersion:  ignored.WithLabelValues("version"),
		IgnoredUnknown:  ignored.WithLabelValues("unknown"),
		IgnoredForeign:  ignored.WithLabelValues("foreign"),
		IgnoredRepeated: ignored.WithLabelValues("repeated"),

		IgnoredUnauthenticated: ignored.WithLabelValues("unauthenticated"),
		IgnoredUnproven:        ignored.WithLabelValues("unproven"),
		Gaps:                   counter("gaps_total", "Times that envelopes of another replica were found missing."),
		Lost:                   counter("lost_total", "Envelopes of other replicas that were found missing."),
		ForeignClusters:        gauge("foreign_clusters", "Other clusters whose replicas use the same NATS."),
		Connected:              gauge("connected", "Whether the backplane is connected."),
		Disconnects:            counter("disconnects_total", "Times that the connection to the backplane was lost."),
		Reconnects:             counter("reconnects_total", "Times that the connection to the backplane came back."),
		SlowConsumer:           counter("slow_consumer_total", "Times that this replica did not keep up and envelopes were dropped for it."),
		QueriesOpen:            gauge("queries", "Queries, and messages that want acks, that wait for other replicas."),
		QueriesFailed:          counter("query_failures_total", "Replicas that did not answer a query, or a message that wants acks, in time."),
		GathersOpen:            gauge("gathers", "Emits that wait for acks of other replicas."),
		GathersFailed:          counter("gather_failures_total", "Replicas that did not answer an emit with acks in time."),
	}
}
