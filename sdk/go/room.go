// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"fmt"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// RoomChange says what happened to a room.
type RoomChange int

// What happens to rooms. Created and deleted are seen from one replica: a room that has members on
// two is created on each.
const (
	RoomCreated = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_CREATED)
	RoomDeleted = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_DELETED)
	RoomJoined  = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_JOINED)
	RoomLeft    = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_LEFT)
)

// String names the change.
func (c RoomChange) String() string {
	switch c {
	case RoomCreated:
		return "created"
	case RoomDeleted:
		return "deleted"
	case RoomJoined:
		return "joined"
	case RoomLeft:
		return "left"
	}
	return fmt.Sprintf("RoomChange(%d)", int(c))
}

// RoomHandler is told what happened to a room, and which socket made it happen. It runs in order
// with the socket's events.
type RoomHandler func(ctx context.Context, s *Socket, change RoomChange, room string)

// OnRoom registers a handler that is told what happens to rooms: that they are created and deleted,
// and that sockets join and leave them. A socket's own room, named by its id, is told of too.
func (n *Namespace) OnRoom(h RoomHandler) {
	entry := newHandler("room", nil)
	entry.room = h
	n.service.change(n, func(n *Namespace) error { return put(&n.own.room, entry, n, "room handler") })
}

// OnRoom registers a handler that is told what happens to rooms of the main namespace; see
// Namespace.OnRoom.
func (svc *Service) OnRoom(h RoomHandler) { svc.main().OnRoom(h) }
