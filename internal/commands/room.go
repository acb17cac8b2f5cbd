// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"fmt"

	"github.com/spanwire/spanwire/internal/sio"
)

// Each socket is in the room that is named by its id, and an emit to that room is meant for it
// alone. Another socket that joined the room would receive it. A program that takes names of rooms
// from browsers would let any of them do so. A join to a room that has the form of a socket's id is
// therefore rejected, whether there is such a socket or not, unless its target is that socket
// alone, which is in it already.

// checkSocketIDRooms rejects a join to another socket's own room.
func (x *Executor) checkSocketIDRooms(join *sio.Join) error {
	if x.o.AllowSocketIDRooms {
		return nil
	}
	for _, r := range join.Rooms {
		if !r.NamesSocket() || !join.Target.Pattern && len(join.Target.Rooms) == 1 && join.Target.Rooms[0] == r {
			continue
		}
		x.metrics.SocketIDRooms.Inc()
		if ok, suppressed := x.socketIDRooms.Allow(); ok {
			x.log.Warn("join rejected: the room has the form of another socket's id", "namespace", join.Target.Namespace, "room", r,
				"setting", "allow-socket-id-rooms", "suppressed", suppressed)
		}
		return sio.E(sio.CodeInvalid, "join", fmt.Sprintf("room %q has the form of a socket's id, and its members would receive what is "+
			"emitted to that socket alone; name the room otherwise, or set allow-socket-id-rooms", r))
	}
	return nil
}
