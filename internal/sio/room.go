// SPDX-License-Identifier: Apache-2.0

package sio

// RoomChange says what happened to a room on one replica.
type RoomChange uint8

const (
	// RoomCreated means that the socket is the first of its replica in the room.
	RoomCreated RoomChange = iota + 1
	// RoomDeleted means that the socket was the last of its replica in the room.
	RoomDeleted
	// RoomJoined means that the socket is in the room now.
	RoomJoined
	// RoomLeft means that the socket is not in the room any more.
	RoomLeft
)

// RoomEvent is what happened to a room of a socket.
type RoomEvent struct {
	Change RoomChange
	Room   Room
}
