// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Mesh counts the peers and what is done for them.
type Mesh struct {
	Peers  Gauge
	Joined Counter
	Left   Counter
	Died   Counter

	Instances           Gauge
	Rejected            Counter
	Foreign             Counter
	Sent                Counter
	Unsent              Counter
	Received            Counter
	Undeliverable       Counter
	Overflowed          Counter
	Resolved            Counter
	Unresolved          Counter
	OrphanedDisconnects Counter
	Resets              Counter

	Gathers         Gauge
	GathersRejected Counter
}

// NewMesh makes and registers the metrics; r may be nil.
func NewMesh(r prometheus.Registerer) *Mesh {
	s := subsystem{"mesh", r}
	return &Mesh{
		Peers:         s.gauge("peers", "Other replicas of the cluster that are alive."),
		Joined:        s.counter("joined_peers_total", "Replicas that joined."),
		Left:          s.counter("left_peers_total", "Replicas that left after a drain."),
		Died:          s.counter("died_peers_total", "Replicas whose heartbeats timed out."),
		Instances:     s.gauge("remote_instances", "Instances attached to other replicas that serve sockets of this one."),
		Rejected:      s.counter("rejected_instances_total", "Instances of other replicas that the dispatcher rejected."),
		Foreign:       s.counter("foreign_heartbeats_total", "Heartbeats of other clusters."),
		Sent:          s.counter("dispatches_sent_total", "Dispatches sent to instances of other replicas."),
		Unsent:        s.counter("dispatches_unsent_total", "Dispatches that could not be sent to another replica."),
		Received:      s.counter("dispatches_received_total", "Dispatches of other replicas handed to instances of this one."),
		Undeliverable: s.counter("dispatches_undeliverable_total", "Dispatches of other replicas whose instance is no longer attached to this one."),
		Overflowed:    s.counter("dispatches_overflowed_total", "Dispatches of other replicas dropped because too many waited for instances of this one."),
		Resolved:      s.counter("results_total", "Results received from other replicas."),
		Unresolved:    s.counter("results_unresolved_total", "Results received for dispatches that were not open."),
		OrphanedDisconnects: s.counter("orphaned_disconnects_total",
			"Sockets of dead replicas whose disconnect was dispatched to instances of this one."),
		Resets:  s.counter("resets_total", "Restarts of all dispatches at another replica because envelopes were lost."),
		Gathers: s.gauge("gathers", "Emits and messages with acks, and queries, of other replicas that wait for this one."),
		GathersRejected: s.counter("gathers_rejected_total",
			"Emits and messages with acks, and queries, of other replicas rejected because of max-gathers."),
	}
}
