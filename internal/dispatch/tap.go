// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// Tap gets the outcome of dispatches. It never blocks, calls nothing back, and may be called
// under any lock.
type Tap interface {
	// Following tells whether anybody listens. Only then Happened is called.
	Following() bool
	// Happened tells one thing. It keeps nothing of o.
	Happened(o *sio.TraceEvent)
}

// listened reports whether the dispatch is traced here: the replica that sent a dispatch traces it.
func (d *Dispatcher) listened(dp *Dispatch) bool {
	t := d.options.Tap
	return t != nil && t.Following() && (!dp.foreign() || dp.Kind == Message)
}

// noteUnhandled tells that no service registered for the event of a socket.
func (b *Binding) noteUnhandled(ev *sio.Event) {
	if t := b.d.options.Tap; t != nil && t.Following() {
		t.Happened(&sio.TraceEvent{Kind: sio.Unhandled, Namespace: b.socket.Namespace(), Socket: b.socket.ID(), Event: *ev,
			Detail: "no service registered for the event"})
	}
}

// noteHandOut tells that the instance was given the dispatch.
func (a *Attachment) noteHandOut(dp *Dispatch) {
	if a.d.listened(dp) {
		a.note(sio.Dispatched, dp, "")
	}
}

// noteResult tells what the instance answered.
func (a *Attachment) noteResult(dp *Dispatch, r *sio.Result) {
	if !a.d.listened(dp) {
		return
	}
	o := a.traceEvent(sio.Resolved, dp)
	o.Event.Args, o.Event.Attachments = nil, nil
	switch r.Outcome {
	case sio.Answered:
		o.Event.Args, o.Event.Attachments = r.Ack.Args, r.Ack.Attachments
	case sio.Refused:
		o.Detail += ": refused: " + r.Message
	case sio.Failed:
		o.Detail += ": failed: " + r.Message
	case sio.Handled, sio.Abandoned:
	}
	a.d.options.Tap.Happened(&o)
}

// noteDrop tells that nobody resolves the dispatch any more. The attachment is nil when no instance
// had it.
func (d *Dispatcher) noteDrop(a *Attachment, dp *Dispatch, why string) {
	switch {
	case !d.listened(dp):
	case a != nil:
		a.note(sio.Dropped, dp, why)
	default:
		o := traceEvent(sio.Dropped, dp, why)
		d.options.Tap.Happened(&o)
	}
}

func (a *Attachment) note(kind sio.TraceEventKind, dp *Dispatch, detail string) {
	o := a.traceEvent(kind, dp)
	if detail != "" {
		o.Detail += ": " + detail
	}
	a.d.options.Tap.Happened(&o)
}

func (a *Attachment) traceEvent(kind sio.TraceEventKind, dp *Dispatch) sio.TraceEvent {
	o := traceEvent(kind, dp, "")
	o.Service, o.Instance = a.service.name, a.register.Instance
	return o
}

// traceEvent describes the dispatch.
func traceEvent(kind sio.TraceEventKind, dp *Dispatch, detail string) sio.TraceEvent {
	o := sio.TraceEvent{Kind: kind, Namespace: dp.Socket.Namespace(), Socket: dp.Socket.ID(), Dispatch: dp.ID, Detail: dp.what()}
	if dp.lane != nil {
		o.Service = dp.lane.service.name
	}
	switch dp.Kind {
	case Event, Message:
		o.Event = *dp.Event
		o.Detail = map[Kind]string{Event: "event", Message: "message"}[dp.Kind]
	case Disconnected:
		o.Detail += " (" + string(dp.Reason) + ")"
		rooms := dp.Rooms
		o.In = func(r sio.Room) bool { return slices.Contains(rooms, r) }
	case RoomEvent:
		o.Rooms = []sio.Room{dp.RoomEvent.Room}
	case Connect:
	}
	if detail != "" {
		o.Detail += ": " + detail
	}
	return o
}
