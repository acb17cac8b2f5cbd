// SPDX-License-Identifier: Apache-2.0

package sio

import "strings"

// NamesSocket tells that the room has the form of a socket's id, of whichever replica: 30
// characters of URL-safe base64, of which the sixth ends the replica's id and carries 2 bits.
func (r Room) NamesSocket() bool {
	_, ok := SocketID(r).Replica()
	return ok && strings.IndexByte("AQgw", r[replicaIDLen-1]) >= 0
}

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
