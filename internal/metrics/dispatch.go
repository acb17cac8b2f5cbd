// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Dispatch counts what happens between sockets and instances.
type Dispatch struct {
	LocalInstances  Gauge // attached to this replica
	RemoteInstances Gauge // attached to another, reached over the backplane
	Open            Gauge
	Queued          Gauge
	Blocked         Gauge
	Held            Gauge

	// sockets, by what their next dispatch waits for
	WaitingWindow   Gauge
	WaitingShare    Gauge
	WaitingInstance Gauge

	WaitingPeers Gauge // dispatches of other replicas, and messages, that wait for a window

	DynamicNamespaces Gauge

	absentHeld Gauges // by service

	// dispatches handed out, by kind
	Connects    Counter
	Events      Counter
	Disconnects Counter
	RoomEvents  Counter
	Messages    Counter

	FromPeers   Counter
	Released    Counter
	Rebalanced  Counter
	Redelivered Counter

	// results, by outcome
	Handled  Counter
	Answered Counter
	Refused  Counter
	Failed   Counter
	NotOpen  Counter // of dispatches that were not open: resolved twice, or of another instance
	Late     Counter // of dispatches that had timed out

	OpenTime  prometheus.Histogram
	Unhandled Counter

	// dropped dispatches, by reason
	DroppedDeadline   Counter // handler-timeout
	DroppedNotStarted Counter // handler-timeout, behind another dispatch of its socket
	DroppedAtMostOnce Counter // its instance detached, and the service wants no redelivery
	DroppedHold       Counter // hold-timeout or hold-sockets of an absent service
	DroppedPoison     Counter // max-redeliveries
	DroppedTooLarge   Counter // larger than a frame
	DroppedLeft       Counter // its socket disconnected
	DroppedRoom       Counter // max-room-events
	DroppedMessage    Counter // the queue of messages is full
	DroppedRetired    Counter // its service was retired

	// connects, by outcome
	Accepted         Counter
	ConnectRefused   Counter
	UnknownNamespace Counter
	NamespacesFull   Counter
	Absent           Counter
}

// NewDispatch makes and registers the metrics; r may be nil.
func NewDispatch(r prometheus.Registerer) *Dispatch {
	s := subsystem{"dispatch", r}
	d := &Dispatch{
		Open:         s.gauge("open_dispatches", "Dispatches handed out and not resolved."),
		Queued:       s.gauge("queued_dispatches", "Dispatches that wait for a window or for an instance."),
		Blocked:      s.gauge("blocked_sockets", "Sockets that are not read because their queue is full."),
		Held:         s.gauge("held_connects", "Connects that wait for a service to attach."),
		WaitingPeers: s.gauge("waiting_peer_dispatches", "Dispatches of other replicas, and messages, that wait for the window of an instance of this one."),
		absentHeld: s.gauges("absent_service_held_connects", "Connects that wait for an absent service, by service.",
			label{name: "service", open: "names of services"}),
		DynamicNamespaces: s.gauge("dynamic_namespaces", "Namespaces with sockets that services registered by pattern only."),
		FromPeers:         s.counter("peer_dispatches_total", "Dispatches of other replicas handed to instances of this one."),
		Released:          s.counter("released_sockets_total", "Sockets released by an instance because another one handles what it does not."),
		Rebalanced: s.counters("moved_sockets_total", "Idle sockets assigned to another instance of their service, by reason.",
			reason("rebalance")).With("rebalance"),
		Redelivered: s.counter("redelivered_dispatches_total", "Dispatches taken back from instances that detached."),
		OpenTime: s.histogram("duration_seconds", "Time from handing out a dispatch to its result.",
			.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30),
		Unhandled: s.counter("unhandled_events_total", "Events that no service registered for."),
	}
	d.instances(s)
	d.results(s)
	d.dropped(s)
	d.connects(s)
	return d
}

func (d *Dispatch) instances(s subsystem) {
	instances := s.gauges("instances", "Instances that can take events, by location.", one("location", "local", "remote"))
	d.LocalInstances, d.RemoteInstances = instances.With("local"), instances.With("remote")

	waiting := s.gauges("waiting_sockets", "Sockets whose next dispatch waits, by reason: the window of their instance, the share of the event in that window, "+
		"or an instance.", reason("instance", "share", "window"))
	d.WaitingWindow, d.WaitingShare, d.WaitingInstance = waiting.With("window"), waiting.With("share"), waiting.With("instance")
}

func (d *Dispatch) results(s subsystem) {
	dispatches := s.counters("dispatches_total", "Dispatches handed to instances, by kind; redelivered ones count each time.",
		one("kind", "connect", "disconnect", "event", "message", "room_event"))
	d.Connects, d.Events, d.Disconnects = dispatches.With("connect"), dispatches.With("event"), dispatches.With("disconnect")
	d.RoomEvents, d.Messages = dispatches.With("room_event"), dispatches.With("message")

	results := s.counters("results_total", "Results of instances, by outcome.",
		outcome("answered", "failed", "handled", "late", "not_open", "refused"))
	d.Handled, d.Answered, d.Refused = results.With("handled"), results.With("answered"), results.With("refused")
	d.Failed, d.NotOpen, d.Late = results.With("failed"), results.With("not_open"), results.With("late")
}

func (d *Dispatch) dropped(s subsystem) {
	dropped := s.counters("dropped_dispatches_total", "Dispatches that no instance resolved or will resolve, by reason.",
		reason("at_most_once", "deadline", "disconnected", "hold", "max_redeliveries", "messages", "not_started", "retired", "room_events", "too_large"))
	d.DroppedDeadline = dropped.With("deadline")
	d.DroppedNotStarted = dropped.With("not_started")
	d.DroppedAtMostOnce = dropped.With("at_most_once")
	d.DroppedHold = dropped.With("hold")
	d.DroppedPoison = dropped.With("max_redeliveries")
	d.DroppedTooLarge = dropped.With("too_large")
	d.DroppedLeft = dropped.With("disconnected")
	d.DroppedRoom = dropped.With("room_events")
	d.DroppedMessage = dropped.With("messages")
	d.DroppedRetired = dropped.With("retired")
}

func (d *Dispatch) connects(s subsystem) {
	connects := s.counters("connects_total", "Connects of sockets, by outcome.",
		outcome("absent", "accepted", "namespaces_full", "refused", "unknown_namespace"))
	d.Accepted, d.ConnectRefused = connects.With("accepted"), connects.With("refused")
	d.UnknownNamespace, d.NamespacesFull = connects.With("unknown_namespace"), connects.With("namespaces_full")
	d.Absent = connects.With("absent")
}

// AbsentHeld is the gauge of the connects that wait for the service while it is absent. Instances
// choose the names of services; the setting max-services bounds their number.
func (d *Dispatch) AbsentHeld(service string) Gauge { return d.absentHeld.With(service) }

// ForgetService removes the gauges of a service that is no longer known.
func (d *Dispatch) ForgetService(service string) { d.absentHeld.Forget(service) }
