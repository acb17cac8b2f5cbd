// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// conclude reports to the waiter of a dispatch how it ended, and frees it. Never under a lock. It
// returns the socket that got an ack.
func (d *Dispatcher) conclude(dp *Dispatch, r sio.Result) (acked Socket) {
	switch {
	case dp.foreign():
		dp.resolved(dp.ID, r)
	case dp.advisory:
		d.logAdvice(dp, &r)
	case dp.Kind == Connect:
		dp.lane.binding.answered(dp.lane.service, &r)
	case r.Outcome == sio.Answered && dp.WantsAck && (dp.first == nil || dp.first.CompareAndSwap(false, true)):
		acked = dp.Socket
		acked.Acknowledge(dp.ack, r.Ack)
	}
	dp.free()
	return acked
}

// abandon concludes dispatches that no instance resolved.
func (d *Dispatcher) abandon(list []*Dispatch, counter metrics.Counter, why string) {
	for _, dp := range list {
		counter.Inc()
		if ok, suppressed := d.drops.Allow(); ok {
			var service sio.ServiceName
			if dp.lane != nil {
				service = dp.lane.service.name
			}
			d.log.Warn("dispatch dropped", "service", service, "socket", dp.Socket.ID(), "dispatch", dp.what(), "reason", why,
				"suppressed", suppressed)
		}
		d.noteDrop(nil, dp, why)
		d.conclude(dp, sio.Result{Outcome: sio.Abandoned, Message: why})
	}
}

// logAdvice says that a refusal had no effect.
func (d *Dispatcher) logAdvice(dp *Dispatch, r *sio.Result) {
	if r.Outcome != sio.Refused {
		return
	}
	if ok, suppressed := d.failures.Allow(); ok {
		d.log.Warn("connect rejection ignored: the connect handler is registered as advisory", "service", dp.lane.service.name,
			"namespace", dp.Socket.Namespace(), "socket", dp.Socket.ID(), "suppressed", suppressed)
	}
}

// what describes the dispatch in logs.
func (dp *Dispatch) what() string {
	switch dp.Kind {
	case Connect:
		return "connect"
	case Disconnected:
		return "disconnect"
	case RoomEvent:
		return "room event"
	}
	name := loglimit.Cut(dp.Event.Name)
	if dp.Kind == Message {
		return "message " + name
	}
	return "event " + name
}
