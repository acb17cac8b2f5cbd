// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Trace events, for those who follow a replica.

// TraceEventToProto writes one step of what happened. The numbers of its kinds are the contract's.
func TraceEventToProto(e *sio.TraceEvent, at time.Time) *spanwirev1.Occurrence {
	m := &spanwirev1.Occurrence{
		TimeUs: at.UnixMicro(), Kind: spanwirev1.OccurrenceKind(e.Kind), Namespace: string(e.Namespace), SocketId: string(e.Socket),
		Rooms: ToStrings(e.Rooms), Service: string(e.Service), InstanceId: string(e.Instance), DispatchId: uint64(e.Dispatch),
		Detail: e.Detail,
	}
	if e.Event.Name != "" || len(e.Event.Args) > 0 {
		m.Event = EventToProto(&e.Event)
	}
	return m
}
