// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Dispatch counts what happens between sockets and instances.
type Dispatch struct {
	LocalInstances  prometheus.Gauge // attached to this replica
	RemoteInstances prometheus.Gauge // attached elsewhere, reached over the backplane
	Open            prometheus.Gauge // dispatches handed out and not resolved
	Queued          prometheus.Gauge // dispatches that wait for a window or for an instance
	Blocked         prometheus.Gauge // sockets that are not read, since their queue is full
	Held            prometheus.Gauge // connects that wait for a service
	WaitingWindow   prometheus.Gauge // sockets, by what their next dispatch waits for
	WaitingShare    prometheus.Gauge
	WaitingInstance prometheus.Gauge
	// dispatches of other replicas and messages that wait for the window of an instance here
	WaitingForward prometheus.Gauge

	DynamicNamespaces prometheus.Gauge // with sockets, registered by pattern only

	absentHeld *prometheus.GaugeVec // connects that wait for an absent service, by its name

	Connects    prometheus.Counter // dispatches handed out, by kind
	Events      prometheus.Counter
	Disconnects prometheus.Counter
	RoomEvents  prometheus.Counter
	Messages    prometheus.Counter
	Forwarded   prometheus.Counter // dispatches of other replicas handed to instances here
	Released    prometheus.Counter // sockets that instances were told to forget
	Rebalanced  prometheus.Counter // sockets assigned to another instance
	// dispatches given back to a queue since their instance went away
	Redelivered prometheus.Counter

	Handled   prometheus.Counter // results, by outcome
	Answered  prometheus.Counter
	Refused   prometheus.Counter
	Failed    prometheus.Counter
	NotOpen   prometheus.Counter // results of dispatches that were not open: twice or foreign
	Late      prometheus.Counter // results of dispatches that had been given up
	OpenTime  prometheus.Histogram
	Unhandled prometheus.Counter // events that no service registered for

	DroppedDeadline   prometheus.Counter // dispatches that nobody will handle, by cause
	DroppedNotStarted prometheus.Counter
	DroppedAtMostOnce prometheus.Counter
	DroppedHold       prometheus.Counter
	DroppedPoison     prometheus.Counter
	DroppedTooLarge   prometheus.Counter
	DroppedLeft       prometheus.Counter
	DroppedRoom       prometheus.Counter
	DroppedMessage    prometheus.Counter
	DroppedRetired    prometheus.Counter

	Accepted         prometheus.Counter // connects, by decision
	ConnectRefused   prometheus.Counter
	UnknownNamespace prometheus.Counter
	NamespacesFull   prometheus.Counter
	Away             prometheus.Counter
}

// NewDispatch makes and registers the metrics; with a nil Registerer they count for nobody.
func NewDispatch(r prometheus.Registerer) *Dispatch {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "spanwire_dispatch_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "spanwire_dispatch_" + name, Help: help})
	}
	vec := func(name, help, label string) func(string) prometheus.Counter {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: "spanwire_dispatch_" + name, Help: help}, []string{label})
		return func(value string) prometheus.Counter { return v.WithLabelValues(value) }
	}
	instances := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "spanwire_dispatch_instances", Help: "Instances that events can be given to, by distance.",
	}, []string{"distance"})
	waiting := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "spanwire_dispatch_waiting_sockets",
		Help: "Sockets whose next dispatch waits: for the window of their instance, for its event's share of that, or for an instance.",
	}, []string{"for"})
	dispatches := vec("dispatches_total", "Dispatches handed to instances, redelivered ones each time, by kind.", "kind")
	results := vec("results_total", "Dispatches resolved by instances, by outcome.", "outcome")
	dropped := vec("dropped_total", "Dispatches that no instance resolved or will resolve, by cause.", "cause")
	moved := vec("moved_sockets_total", "Idle sockets assigned to another instance of their service, by reason.", "reason")
	connects := vec("connects_total", "Connects of sockets, by decision.", "decision")
	return &Dispatch{
		LocalInstances:  instances.WithLabelValues("local"),
		RemoteInstances: instances.WithLabelValues("remote"),
		Open:            gauge("open", "Dispatches handed out and not resolved."),
		Queued:          gauge("queued", "Dispatches that wait for a window or for an instance."),
		Blocked:         gauge("blocked_sockets", "Sockets that are not read, since their queue is full."),
		Held:            gauge("held_connects", "Connects that wait for a service to attach."),
		WaitingWindow:   waiting.WithLabelValues("window"),
		WaitingShare:    waiting.WithLabelValues("share"),
		WaitingInstance: waiting.WithLabelValues("instance"),
		WaitingForward:  gauge("waiting_forwards", "Dispatches of other replicas, and messages, that wait for the window of an instance here."),
		absentHeld: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "spanwire_dispatch_absent_service_held_connects", Help: "Connects that wait for an absent service, by service.",
		}, []string{"service"}),
		DynamicNamespaces: gauge("dynamic_namespaces", "Namespaces that have sockets and that services registered by pattern only."),
		Connects:          dispatches("connect"),
		Events:            dispatches("event"),
		Disconnects:       dispatches("disconnect"),
		RoomEvents:        dispatches("room_event"),
		Messages:          dispatches("message"),
		Forwarded:         counter("forwarded_total", "Dispatches of other replicas handed to instances of this one."),
		Released:          counter("released_sockets_total", "Sockets that an instance was told to forget, since they went to another that handles what it does not."),
		Rebalanced:        moved("rebalance"),
		Redelivered:       counter("redelivered_total", "Dispatches taken back from instances that went away."),
		Handled:           results("handled"),
		Answered:          results("answered"),
		Refused:           results("refused"),
		Failed:            results("failed"),
		NotOpen:           results("not_open"),
		Late:              results("late"),
		OpenTime: f.NewHistogram(prometheus.HistogramOpts{
			Name: "spanwire_dispatch_open_seconds", Help: "Time from handing a dispatch out to its result.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		Unhandled:         counter("unhandled_total", "Events that no service registered for."),
		DroppedDeadline:   dropped("deadline"),
		DroppedNotStarted: dropped("not_started"),
		DroppedAtMostOnce: dropped("at_most_once"),
		DroppedHold:       dropped("hold"),
		DroppedPoison:     dropped("max_redeliveries"),
		DroppedTooLarge:   dropped("too_large"),
		DroppedLeft:       dropped("left"),
		DroppedRoom:       dropped("room_events"),
		DroppedMessage:    dropped("messages"),
		DroppedRetired:    dropped("retired"),
		Accepted:          connects("accepted"),
		ConnectRefused:    connects("refused"),
		UnknownNamespace:  connects("unknown_namespace"),
		NamespacesFull:    connects("namespaces_full"),
		Away:              connects("away"),
	}
}

// AbsentHeld is the gauge of the connects that wait for the service while it is absent. Instances
// choose the names of services, the setting max-services bounds them.
func (d *Dispatch) AbsentHeld(service string) Gauge { return d.absentHeld.WithLabelValues(service) }

// ForgetService removes what is measured of a service that is not known any more.
func (d *Dispatch) ForgetService(service string) { d.absentHeld.DeleteLabelValues(service) }
