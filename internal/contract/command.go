// SPDX-License-Identifier: Apache-2.0

package contract

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Commands: emit, join, leave, disconnect.

// TargetToProto writes a target.
func TargetToProto(t *sio.Target) *spanwirev1.Target {
	return &spanwirev1.Target{
		Namespace: string(t.Namespace), Rooms: ToStrings(t.Rooms), Except: ToStrings(t.Except), Local: t.Local, Pattern: t.Pattern,
	}
}

// TargetFromProto reads a target.
func TargetFromProto(m *spanwirev1.Target) sio.Target {
	return sio.Target{
		Namespace: NamespaceFromProto(m.GetNamespace()), Rooms: FromStrings[sio.Room](m.GetRooms()),
		Except: FromStrings[sio.Room](m.GetExcept()), Local: m.GetLocal(), Pattern: m.GetPattern(),
	}
}

// EmitToProto writes an emit.
func EmitToProto(e *sio.Emit) *spanwirev1.Emit {
	m := &spanwirev1.Emit{Target: TargetToProto(&e.Target), Event: EventToProto(&e.Event), WantCount: e.CountOnly}
	emitFlagsToProto(m, e.EmitFlags)
	return m
}

// EmitFromProto reads an emit.
func EmitFromProto(m *spanwirev1.Emit) *sio.Emit {
	return &sio.Emit{
		Target: TargetFromProto(m.GetTarget()), Event: EventFromProto(m.GetEvent()), EmitFlags: emitFlagsFromProto(m),
		CountOnly: m.GetWantCount(),
	}
}

func emitFlagsToProto(m *spanwirev1.Emit, f sio.EmitFlags) {
	m.Volatile, m.NoCompress = f.Volatile, f.NoCompress
}

func emitFlagsFromProto(m *spanwirev1.Emit) sio.EmitFlags {
	return sio.EmitFlags{Volatile: m.GetVolatile(), NoCompress: m.GetNoCompress()}
}

// JoinToProto writes a join.
func JoinToProto(c *sio.Join) *spanwirev1.Join {
	return &spanwirev1.Join{Target: TargetToProto(&c.Target), Rooms: ToStrings(c.Rooms)}
}

// JoinFromProto reads a join.
func JoinFromProto(m *spanwirev1.Join) *sio.Join {
	return &sio.Join{Target: TargetFromProto(m.GetTarget()), Rooms: FromStrings[sio.Room](m.GetRooms())}
}

// LeaveToProto writes a leave.
func LeaveToProto(c *sio.Leave) *spanwirev1.Leave {
	return &spanwirev1.Leave{Target: TargetToProto(&c.Target), Rooms: ToStrings(c.Rooms)}
}

// LeaveFromProto reads a leave.
func LeaveFromProto(m *spanwirev1.Leave) *sio.Leave {
	return &sio.Leave{Target: TargetFromProto(m.GetTarget()), Rooms: FromStrings[sio.Room](m.GetRooms())}
}

// DisconnectToProto writes a disconnect.
func DisconnectToProto(c *sio.Disconnect) *spanwirev1.Disconnect {
	return &spanwirev1.Disconnect{Target: TargetToProto(&c.Target), CloseSession: c.CloseSession}
}

// DisconnectFromProto reads a disconnect.
func DisconnectFromProto(m *spanwirev1.Disconnect) *sio.Disconnect {
	return &sio.Disconnect{Target: TargetFromProto(m.GetTarget()), CloseSession: m.GetCloseSession()}
}
