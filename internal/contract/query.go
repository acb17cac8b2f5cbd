// SPDX-License-Identifier: Apache-2.0

package contract

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Queries: which sockets a target has, which rooms a namespace has, the data of a socket.

// FetchSocketsToProto writes the question which sockets a target has.
func FetchSocketsToProto(q *sio.FetchSockets) *spanwirev1.FetchSockets {
	return &spanwirev1.FetchSockets{Target: TargetToProto(&q.Target), Limit: uint32(q.Limit)}
}

// FetchSocketsFromProto reads the question which sockets a target has.
func FetchSocketsFromProto(m *spanwirev1.FetchSockets) *sio.FetchSockets {
	return &sio.FetchSockets{Target: TargetFromProto(m.GetTarget()), Limit: int(m.GetLimit())}
}

// ListRoomsToProto writes the question which rooms a namespace has.
func ListRoomsToProto(q *sio.ListRooms) *spanwirev1.ListRooms {
	return &spanwirev1.ListRooms{Namespace: string(q.Namespace), IncludeOwn: q.IncludeOwn, Local: q.Local}
}

// ListRoomsFromProto reads the question which rooms a namespace has.
func ListRoomsFromProto(m *spanwirev1.ListRooms) *sio.ListRooms {
	return &sio.ListRooms{Namespace: NamespaceFromProto(m.GetNamespace()), IncludeOwn: m.GetIncludeOwn(), Local: m.GetLocal()}
}

// SetDataToProto writes a change of a socket's data.
func SetDataToProto(q *sio.SetData) *spanwirev1.SetData {
	return &spanwirev1.SetData{Namespace: string(q.Namespace), SocketId: string(q.Socket), Data: q.Data, IfVersion: q.IfVersion}
}

// SetDataFromProto reads a change of a socket's data.
func SetDataFromProto(m *spanwirev1.SetData) *sio.SetData {
	return &sio.SetData{
		Namespace: NamespaceFromProto(m.GetNamespace()), Socket: sio.SocketID(m.GetSocketId()), Data: m.GetData(), IfVersion: m.GetIfVersion(),
	}
}
