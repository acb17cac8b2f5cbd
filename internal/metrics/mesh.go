// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Mesh counts the other replicas and what is done for them.
type Mesh struct {
	Replicas prometheus.Gauge   // other replicas that are there
	Joined   prometheus.Counter // times that one came
	Left     prometheus.Counter // times that one left in good order
	Died     prometheus.Counter // times that one fell silent

	Instances  prometheus.Gauge   // instances of other replicas that are used here
	Refused    prometheus.Counter // instances of others that the dispatcher did not take
	Foreign    prometheus.Counter // heartbeats of other clusters
	Sent       prometheus.Counter // dispatches sent to instances of others
	Unsent     prometheus.Counter // dispatches that could not be sent
	Taken      prometheus.Counter // dispatches of others handed to instances here
	Untaken    prometheus.Counter // dispatches of others that were for no instance here
	Overflowed prometheus.Counter // dispatches of others that found too many waiting here
	Resolved   prometheus.Counter // results that came back
	Unresolved prometheus.Counter // results that came back for nothing that was open
	Farewells  prometheus.Counter // sockets of dead replicas that instances here were told of
	// times that a loss made all dispatches at another replica start anew
	Resets prometheus.Counter

	// emits with acks, messages with acks and queries of others that wait here
	Gathers prometheus.Gauge
	// of those, the ones that were not waited for since there were too many
	GathersRefused prometheus.Counter
}

// NewMesh makes and registers the metrics; with a nil Registerer they count for nobody.
func NewMesh(r prometheus.Registerer) *Mesh {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_mesh_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_mesh_" + name, Help: help})
	}
	return &Mesh{
		Replicas:   gauge("replicas", "Other replicas of the cluster that are there."),
		Joined:     counter("joined_total", "Times that another replica came."),
		Left:       counter("left_total", "Times that another replica left in good order."),
		Died:       counter("died_total", "Times that another replica fell silent."),
		Instances:  gauge("instances", "Instances attached to other replicas that serve sockets of this one."),
		Refused:    counter("refused_total", "Instances of other replicas that were not taken here."),
		Foreign:    counter("foreign_total", "Heartbeats of other clusters."),
		Sent:       counter("dispatches_sent_total", "Dispatches sent to instances of other replicas."),
		Unsent:     counter("dispatches_unsent_total", "Dispatches that could not be sent to another replica."),
		Taken:      counter("dispatches_taken_total", "Dispatches of other replicas handed to instances of this one."),
		Untaken:    counter("dispatches_untaken_total", "Dispatches of other replicas whose instance is not here any more."),
		Overflowed: counter("dispatches_overflowed_total", "Dispatches of other replicas dropped since too many waited here."),
		Resolved:   counter("results_total", "Results that came back from other replicas."),
		Unresolved: counter("results_unresolved_total", "Results that came back for dispatches that were not open."),
		Farewells:  counter("farewells_total", "Sockets of dead replicas whose end was told to instances here."),
		Resets:     counter("resets_total", "Times that all dispatches at another replica were given anew since envelopes were lost."),
		Gathers:    gauge("gathers", "Emits and messages with acks, and queries, of other replicas that wait on this one."),
		GathersRefused: counter("gathers_refused_total",
			"Emits and messages with acks, and queries, of other replicas that were not waited for since too many were."),
	}
}
