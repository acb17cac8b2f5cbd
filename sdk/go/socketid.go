// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"fmt"
	"strings"
)

// namesSocket reports whether a room has the form of a socket's id: 30 characters of URL-safe
// base64, of which the sixth ends the replica's id and carries two bits.
func namesSocket(room string) bool {
	const (
		length  = 30
		replica = 6
	)
	if len(room) != length || !strings.ContainsRune("AQgw", rune(room[replica-1])) {
		return false
	}
	for _, c := range []byte(room) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// checkRooms rejects a join to the own room of another socket. The broker rejects it too, but does
// not answer the joins of handlers.
func (s *stream) checkRooms(c *command) error {
	if c.kind != commandJoin || !s.welcome.GetRefusesSocketIdRooms() {
		return nil
	}
	for _, room := range c.rooms {
		if namesSocket(room) && (c.target.pattern || len(c.target.rooms) != 1 || c.target.rooms[0] != room) {
			return &CommandError{Code: FaultInvalid, Message: fmt.Sprintf("room %q has the form of a socket's id, and its members would "+
				"hear what is emitted to that socket alone; name the room otherwise, or set the broker's allow-socket-id-rooms", room)}
		}
	}
	return nil
}
