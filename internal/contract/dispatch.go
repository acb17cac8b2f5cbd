// SPDX-License-Identifier: Apache-2.0

package contract

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// What handlers get and answer besides events: changes of rooms, and results.

// RoomEventToProto writes a change of a room. The numbers of sio.RoomChange are the contract's.
func RoomEventToProto(e sio.RoomEvent) *spanwirev1.RoomEvent {
	return &spanwirev1.RoomEvent{Change: spanwirev1.RoomChange(e.Change), Room: string(e.Room)}
}

// RoomEventFromProto reads a change of a room. ok is false when the kind of change is unknown.
func RoomEventFromProto(m *spanwirev1.RoomEvent) (e sio.RoomEvent, ok bool) {
	change := m.GetChange()
	if change <= spanwirev1.RoomChange_ROOM_CHANGE_UNSPECIFIED || change > spanwirev1.RoomChange_ROOM_CHANGE_LEFT {
		return e, false
	}
	return sio.RoomEvent{Change: sio.RoomChange(change), Room: sio.Room(m.GetRoom())}, true
}

// ResultToProto writes the result of a dispatch. Failed and Abandoned are both failures.
func ResultToProto(id sio.DispatchID, r *sio.Result) *spanwirev1.Result {
	m := &spanwirev1.Result{DispatchId: uint64(id)}
	switch r.Outcome {
	case sio.Handled:
	case sio.Answered:
		m.Outcome = &spanwirev1.Result_Ack{Ack: AckToProto(&r.Ack)}
	case sio.Refused:
		m.Outcome = &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: ValidText(r.Message), Data: r.Data}}
	case sio.Failed, sio.Abandoned:
		m.Outcome = &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: ValidText(r.Message)}}
	}
	return m
}

// ResultFromProto reads the result of a dispatch.
func ResultFromProto(m *spanwirev1.Result) (id sio.DispatchID, r sio.Result) {
	id = sio.DispatchID(m.GetDispatchId())
	switch o := m.GetOutcome().(type) {
	case *spanwirev1.Result_Ack:
		r = sio.Result{Outcome: sio.Answered, Ack: AckFromProto(o.Ack)}
	case *spanwirev1.Result_Refusal:
		r = sio.Result{Outcome: sio.Refused, Message: o.Refusal.GetMessage(), Data: o.Refusal.GetData()}
	case *spanwirev1.Result_Failure:
		r = sio.Result{Outcome: sio.Failed, Message: o.Failure.GetMessage()}
	}
	return id, r
}
