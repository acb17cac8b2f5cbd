// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Bridge counts what happens at the handlers' entry point.
type Bridge struct {
	// streams, by outcome
	Attached Counter
	Rejected Counter
	Stalled  Counter

	FramesIn   Counter
	FramesOut  Counter
	Unknown    Counter
	Violations Counter

	Unauthorized    Counter
	Unauthenticated Counter

	Commands Counter
	Emits    Counter

	SocketIDRooms Counter // joins to rooms that have the form of another socket's id
	DataTooLarge  Counter
}

// NewBridge makes and registers the metrics; r may be nil.
func NewBridge(r prometheus.Registerer) *Bridge {
	s := subsystem{"bridge", r}
	streams := s.counters("streams_total", "Streams of instances, by outcome.", outcome("attached", "rejected", "stalled"))
	frames := s.counters("frames_total", "Frames on the streams of instances, by direction.", one("direction", "in", "out"))
	return &Bridge{
		Attached:   streams.With("attached"),
		Rejected:   streams.With("rejected"),
		Stalled:    streams.With("stalled"),
		FramesIn:   frames.With("in"),
		FramesOut:  frames.With("out"),
		Unknown:    s.counter("unknown_frames_total", "Frames and actions that this broker does not know and skipped."),
		Violations: s.counter("protocol_violations_total", "Protocol violations by instances; the log has each."),
		Unauthorized: s.counter("unauthorized_total",
			"Registrations, commands and calls rejected because their caller lacks the right (setting service-callers)."),
		Unauthenticated: s.counter("unauthenticated_total", "Calls by gRPC and HTTP without a valid token or client certificate."),
		Commands:        s.counter("commands_total", "Commands of instances."),
		Emits:           s.counter("emits_total", "Emits of callers that are not instances."),
		SocketIDRooms:   s.counters("rejected_joins_total", "Joins that were rejected, by reason.", reason("socket_id_room")).With("socket_id_room"),
		DataTooLarge:    s.counter("oversized_data_total", "Data not kept with a socket because it was larger than max-socket-data."),
	}
}
