// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Bridge counts what passes the handlers' door.
type Bridge struct {
	Attached prometheus.Counter // streams that registered
	Refused  prometheus.Counter // streams that did not
	Stalled  prometheus.Counter // streams ended since they answered nothing

	FramesIn  prometheus.Counter
	FramesOut prometheus.Counter
	Unknown   prometheus.Counter // frames and actions that this broker does not know
	Faults    prometheus.Counter // things that instances did wrong
	Denied    prometheus.Counter // things that instances and callers may not do
	Strangers prometheus.Counter // calls of nobody who is known

	Commands prometheus.Counter // of instances
	Emits    prometheus.Counter // of callers that are no instances

	SocketIDRooms prometheus.Counter // joins to rooms that have the form of another socket's id

	DataTooLarge prometheus.Counter // data that was not kept with a socket
}

// NewBridge makes and registers the metrics; with a nil Registerer they count for nobody.
func NewBridge(r prometheus.Registerer) *Bridge {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_bridge_" + name + "_total", Help: help})
	}
	streams := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_bridge_streams_total", Help: "Streams of instances, by what became of them.",
	}, []string{"outcome"})
	frames := f.NewCounterVec(prometheus.CounterOpts{
		Name: "spanwire_bridge_frames_total", Help: "Frames on the streams of instances, by direction.",
	}, []string{"direction"})
	return &Bridge{
		Attached:  streams.WithLabelValues("attached"),
		Refused:   streams.WithLabelValues("refused"),
		Stalled:   streams.WithLabelValues("stalled"),
		FramesIn:  frames.WithLabelValues("in"),
		FramesOut: frames.WithLabelValues("out"),
		Unknown:   counter("unknown", "Frames and actions that this broker does not know, and skipped."),
		Faults:    counter("faults", "Things that instances did wrong; the log tells each."),
		Denied:    counter("denied", "Registrations, commands and calls of callers that may not (setting service-callers)."),
		Strangers: counter("strangers", "Calls, by gRPC and HTTP, that showed no token or certificate that is known."),
		Commands:  counter("commands", "Commands of instances."),
		Emits:     counter("emits", "Emits of callers that are no instances."),

		SocketIDRooms: f.NewCounterVec(prometheus.CounterOpts{
			Name: "spanwire_bridge_refused_joins_total", Help: "Joins that were refused, by reason.",
		}, []string{"reason"}).WithLabelValues("socket_id_room"),

		DataTooLarge: counter("data_too_large", "Data that was not kept with a socket, since it was larger than the setting max-socket-data."),
	}
}
