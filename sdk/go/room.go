// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"fmt"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// RoomChange is the kind of a change of a room.
type RoomChange int

// The changes. Created and deleted are those of one replica: a room with members on two replicas is
// created on each.
const (
	RoomCreated = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_CREATED)
	RoomDeleted = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_DELETED)
	RoomJoined  = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_JOINED)
	RoomLeft    = RoomChange(spanwirev1.RoomChange_ROOM_CHANGE_LEFT)
)

// String returns the name of the change.
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

// RoomHandler handles a change of a room, with the socket that caused it. It runs in order with the
// events of the socket.
type RoomHandler func(ctx context.Context, s *Socket, change RoomChange, room string)

// OnRoom registers the handler of room changes: rooms are created and deleted, and sockets join and
// leave them. They include a socket's own room, which is named by its id.
//
// Use it to open and close subscriptions to other systems with their first and last member.
func (n *Namespace) OnRoom(h RoomHandler) {
	entry := newHandler("room", nil)
	entry.room = h
	n.service.change(n, func(n *Namespace) error { return put(&n.own.room, entry, n, "room handler") })
}

// OnRoom registers the handler of room changes of the main namespace; see Namespace.OnRoom.
func (svc *Service) OnRoom(h RoomHandler) { svc.main().OnRoom(h) }
