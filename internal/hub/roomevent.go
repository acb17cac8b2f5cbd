// SPDX-License-Identifier: Apache-2.0

package hub

import "github.com/spanwire/spanwire/internal/sio"

// Watcher is a Socket whose services may watch what happens to its rooms. Only admitted
// sockets count: for who watches, a socket that is not admitted yet is in no room.
type Watcher interface {
	// RoomsWatched tells whether a service watches the namespace's rooms. It is called
	// under a lock, for nearly every change, and must neither block nor call back.
	RoomsWatched() bool
	// RoomChanged queues what happened, in the order of the calls. It is called under a lock and
	// must neither block nor call back.
	RoomChanged(e sio.RoomEvent)
	// FlushRooms sends what was queued. It follows without the lock.
	FlushRooms()
}

// Admit says that the socket was admitted: from now on it counts for watchers of rooms, which get
// of those that it is in already. Nothing happens when the socket is not there, or not any more.
func (h *Hub) Admit(ns sio.Namespace, s Socket) {
	n := h.namespace(ns)
	if n == nil {
		return
	}
	n.mu.Lock()
	m := n.sockets[s.ID()]
	if m == nil || m.socket != s || m.admitted {
		n.mu.Unlock()
		return
	}
	m.admitted = true
	if w := m.watcher(); w != nil {
		n.enterLocked(m, w, m.socket.ID().Room())
		for _, r := range m.joined {
			n.enterLocked(m, w, r)
		}
	}
	n.unlockAndTell()
}

// watcher gives the socket when a service watches its rooms.
func (m *member) watcher() Watcher {
	if !m.admitted {
		return nil
	}
	if w, ok := m.socket.(Watcher); ok && w.RoomsWatched() {
		return w
	}
	return nil
}

// enterLocked tells that the member is in the room.
func (n *namespace) enterLocked(m *member, w Watcher, r sio.Room) {
	if !n.othersLocked(m, r) {
		n.changedLocked(w, sio.RoomCreated, r)
	}
	n.changedLocked(w, sio.RoomJoined, r)
}

// exitLocked tells that the member is not in the room any more.
func (n *namespace) exitLocked(m *member, w Watcher, r sio.Room) {
	n.changedLocked(w, sio.RoomLeft, r)
	if !n.othersLocked(m, r) {
		n.changedLocked(w, sio.RoomDeleted, r)
	}
}

// othersLocked tells whether an admitted member other than m is in the room. Nearly all members are
// admitted, so the first that is looked at settles it.
func (n *namespace) othersLocked(m *member, r sio.Room) bool {
	if owner := n.sockets[sio.SocketID(r)]; owner != nil && owner != m && owner.admitted {
		return true
	}
	for other := range n.rooms[r] {
		if other != m && other.admitted {
			return true
		}
	}
	return false
}

func (n *namespace) changedLocked(w Watcher, change sio.RoomChange, r sio.Room) {
	w.RoomChanged(sio.RoomEvent{Change: change, Room: r})
	if last := len(n.notified) - 1; last < 0 || n.notified[last] != w {
		n.notified = append(n.notified, w)
	}
}

// unlockAndTell gives the lock back and flushes what was queued under it.
func (n *namespace) unlockAndTell() {
	notified := n.takeNotifiedLocked()
	n.mu.Unlock()
	flushRooms(notified)
}

func (n *namespace) takeNotifiedLocked() (notified []Watcher) {
	notified, n.notified = n.notified, nil
	return notified
}

func flushRooms(notified []Watcher) {
	for _, w := range notified {
		w.FlushRooms()
	}
}
