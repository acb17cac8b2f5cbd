// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// RoomsWatched implements hub.Watcher.
func (s *Socket) RoomsWatched() bool { return s.bound().RoomsWatched() }

// RoomChanged implements hub.Watcher.
func (s *Socket) RoomChanged(e sio.RoomEvent) { s.bound().RoomEvent(e) }

// FlushRooms implements hub.Watcher.
func (s *Socket) FlushRooms() { s.bound().FlushRooms() }

// bound is what the dispatcher knows of an admitted socket.
func (s *Socket) bound() *dispatch.Binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binding
}
