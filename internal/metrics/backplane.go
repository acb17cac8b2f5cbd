// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Backplane counts what replicas send to each other.
type Backplane struct {
	Published       Counter
	PublishedBytes  Counter
	PublishFailures Counter
	TooLarge        Counter

	Received      Counter
	ReceivedBytes Counter

	// envelopes that were ignored, by reason
	IgnoredMalformed       Counter
	IgnoredVersion         Counter // of another revision of the wire
	IgnoredUnknown         Counter // of an unknown kind
	IgnoredForeign         Counter // for another replica
	IgnoredRepeated        Counter // received before
	IgnoredUnauthenticated Counter // without a code that authenticates them, or with a wrong one
	IgnoredUnproven        Counter // of replicas that have not proven that they are alive

	Gaps Counter
	Lost Counter

	Connected       Gauge
	ForeignClusters Gauge
	Disconnects     Counter
	Reconnects      Counter
	SlowConsumer    Counter

	GathersOpen   Gauge
	GathersFailed Counter
	QueriesOpen   Gauge
	QueriesFailed Counter
}

// NewBackplane makes and registers the metrics; r may be nil.
func NewBackplane(r prometheus.Registerer) *Backplane {
	s := subsystem{"backplane", r}
	ignored := s.counters("ignored_envelopes_total", "Envelopes that were ignored, by reason.",
		reason("foreign", "malformed", "repeated", "unauthenticated", "unknown", "unproven", "version"))
	return &Backplane{
		Published:              s.counter("published_envelopes_total", "Envelopes published."),
		PublishedBytes:         s.counter("published_bytes_total", "Bytes of envelopes published."),
		PublishFailures:        s.counter("publish_failures_total", "Envelopes that could not be handed to the backplane."),
		TooLarge:               s.counter("oversized_envelopes_total", "Envelopes that were too large for the backplane."),
		Received:               s.counter("received_envelopes_total", "Envelopes received."),
		ReceivedBytes:          s.counter("received_bytes_total", "Bytes of envelopes received."),
		IgnoredMalformed:       ignored.With("malformed"),
		IgnoredVersion:         ignored.With("version"),
		IgnoredUnknown:         ignored.With("unknown"),
		IgnoredForeign:         ignored.With("foreign"),
		IgnoredRepeated:        ignored.With("repeated"),
		IgnoredUnauthenticated: ignored.With("unauthenticated"),
		IgnoredUnproven:        ignored.With("unproven"),
		Gaps:                   s.counter("gaps_total", "Gaps found in the envelopes of other replicas."),
		Lost:                   s.counter("lost_envelopes_total", "Envelopes of other replicas that were found missing."),
		ForeignClusters:        s.gauge("foreign_clusters", "Other clusters whose replicas use the same NATS."),
		Connected:              s.gauge("connected", "1 while the backplane is connected, else 0."),
		Disconnects:            s.counter("disconnects_total", "Losses of the connection to the backplane."),
		Reconnects:             s.counter("reconnects_total", "Reconnects to the backplane."),
		SlowConsumer:           s.counter("slow_consumer_total", "Times that NATS dropped envelopes because this replica was too slow."),
		QueriesOpen:            s.gauge("queries", "Queries, and messages with acks, that wait for other replicas."),
		QueriesFailed:          s.counter("query_failures_total", "Replicas that did not answer a query, or a message with acks, in time."),
		GathersOpen:            s.gauge("gathers", "Emits that wait for acks of other replicas."),
		GathersFailed:          s.counter("gather_failures_total", "Replicas that did not answer an emit with acks in time."),
	}
}
