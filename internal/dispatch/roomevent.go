// SPDX-License-Identifier: Apache-2.0

package dispatch

import "github.com/spanwire/spanwire/internal/sio"

// RoomsWatched reports whether a service subscribes to changes of rooms of the socket's
// namespace. It takes no lock.
func (b *Binding) RoomsWatched() bool {
	r := b.routes()
	return r != nil && len(r.roomEvents) > 0
}

// RoomEvent queues what happened to a room of the socket for the services that subscribe to that,
// in turn with the socket's other dispatches. It calls nothing but Instance.Queue, so it may be
// called under a lock. FlushRooms must follow. What happens after Disconnect is dropped.
func (b *Binding) RoomEvent(e sio.RoomEvent) {
	r := b.routes()
	if r == nil {
		return
	}
	for _, s := range r.roomEvents {
		if l := b.lane(s); l != nil {
			l.tellRoom(e)
		}
	}
}

// FlushRooms sends what RoomEvent queued.
func (b *Binding) FlushRooms() {
	r := b.routes()
	if r == nil {
		return
	}
	for _, s := range r.roomEvents {
		s.mu.Lock()
		s.unlockAndFlush()
	}
}

// tellRoom queues a room event. Nobody can be made to wait for a full queue here, so what finds too
// many waiting is dropped.
func (l *lane) tellRoom(e sio.RoomEvent) {
	s := l.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.gone {
		return
	}
	if l.queue.len >= s.d.options.MaxRoomEvents {
		s.d.metrics.DroppedRoom.Inc()
		return
	}
	dp := newDispatch()
	dp.ID = s.d.nextID()
	dp.Socket, dp.Kind, dp.RoomEvent = l.binding.socket, RoomEvent, e
	dp.lane, dp.size, dp.share = l, overhead+len(e.Room), roomShare
	l.addLocked(dp)
}
