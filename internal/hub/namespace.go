// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"sync"

	"github.com/spanwire/spanwire/internal/sio"
)

// namespace holds the sockets of one namespace and their rooms. The room that every socket has of
// its own is found through sockets and costs nothing; others may join it too, and are then kept in
// rooms like those of any room.
type namespace struct {
	// journal is nil when nothing is kept for sockets that come back.
	journal *journal
	// turn is held while an event of the journal is queued for its receivers. It is taken before
	// mu.
	turn sync.Mutex

	mu       sync.RWMutex
	sockets  map[sio.SocketID]*member // guarded by mu
	rooms    map[sio.Room]room        // guarded by mu; only those with members
	absent   int                      // guarded by mu; sockets that may come back
	notified []Watcher                // guarded by mu; to be flushed when it is given back
}

// member is one socket and the rooms it joined.
type member struct {
	socket Socket
	joined []sio.Room // guarded by namespace.mu; without the own room
	trace  *trace     // guarded by namespace.mu; nil without a journal

	admitted bool // guarded by namespace.mu
}

type room map[*member]struct{}

// fewRooms is the number of rooms up to which a union looks for a socket in the rooms before,
// instead of keeping a set.
const fewRooms = 8

func newNamespace() *namespace {
	return &namespace{sockets: make(map[sio.SocketID]*member), rooms: make(map[sio.Room]room)}
}

// emptyLocked tells whether there is nobody who could be reached, now or later.
func (n *namespace) emptyLocked() bool { return len(n.sockets) == 0 && n.absent == 0 }

// add tells whether the socket is a new one. The same id again takes the place of the old socket,
// without its rooms.
func (n *namespace) add(s Socket) (added bool, ceased int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := s.ID()
	if old := n.sockets[id]; old != nil {
		ceased = n.leaveAllLocked(old)
		old.socket, old.trace, old.admitted = s, n.journal.newTrace(), false
		return false, ceased
	}
	n.sockets[id] = &member{socket: s, trace: n.journal.newTrace()}
	return true, 0
}

// remove tells in which rooms the socket was, nil when it was not there, how many rooms ceased with
// it, and whether it was the last.
func (n *namespace) remove(id sio.SocketID) (rooms []sio.Room, ceased int, empty bool, notified []Watcher) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.sockets[id]
	if m == nil {
		return nil, 0, false, nil
	}
	delete(n.sockets, id)
	rooms = m.roomsLocked()
	ceased = n.leaveAllLocked(m)
	return rooms, ceased, n.emptyLocked(), n.takeNotifiedLocked()
}

func (n *namespace) roomsOf(id sio.SocketID) []sio.Room {
	n.mu.RLock()
	defer n.mu.RUnlock()
	m := n.sockets[id]
	if m == nil {
		return nil
	}
	return m.roomsLocked()
}

// roomsLocked gives the rooms, the own first.
func (m *member) roomsLocked() []sio.Room {
	rooms := make([]sio.Room, 0, len(m.joined)+1)
	return append(append(rooms, m.socket.ID().Room()), m.joined...)
}

// join tells how many sockets the target has here, and how many rooms came into being.
func (n *namespace) join(t *sio.Target, rooms []sio.Room) (sockets, begun int) {
	n.mu.Lock()
	defer n.unlockAndTell()
	members := n.membersLocked(t)
	for _, m := range members {
		for _, r := range rooms {
			begun += n.joinLocked(m, r)
		}
	}
	return len(members), begun
}

// leave tells how many sockets the target has here, and how many rooms ceased.
func (n *namespace) leave(t *sio.Target, rooms []sio.Room) (sockets, ceased int) {
	n.mu.Lock()
	defer n.unlockAndTell()
	members := n.membersLocked(t)
	for _, m := range members {
		for _, r := range rooms {
			ceased += n.leaveLocked(m, r)
		}
	}
	return len(members), ceased
}

// membersLocked writes the target's sockets down, since joins and leaves may change the very rooms
// that choose them.
func (n *namespace) membersLocked(t *sio.Target) (members []*member) {
	n.eachLocked(t, func(m *member) { members = append(members, m) })
	return members
}

// receivers is a snapshot of the target's sockets. The first goes into one, so that an emit to a
// lone socket needs no slice.
func (n *namespace) receivers(t *sio.Target) (one Socket, all []Socket) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.receiversLocked(t, nil)
}

// receiversLocked also shows each member to visit, which may be nil.
func (n *namespace) receiversLocked(t *sio.Target, visit func(*member)) (one Socket, all []Socket) {
	if len(t.Rooms) == 0 && len(n.sockets) > 1 {
		all = make([]Socket, 0, len(n.sockets))
	}
	n.eachLocked(t, func(m *member) {
		if visit != nil {
			visit(m)
		}
		switch {
		case one == nil && all == nil:
			one = m.socket
		case all == nil:
			all = make([]Socket, 1, max(8, n.sizeLocked(t.Rooms)))
			all[0] = one
			all = append(all, m.socket)
		default:
			all = append(all, m.socket)
		}
	})
	if all != nil {
		one = nil
	}
	return one, all
}

// sizeLocked estimates how many sockets the rooms have.
func (n *namespace) sizeLocked(rooms []sio.Room) int {
	size := 0
	for _, r := range rooms {
		size += len(n.rooms[r]) + 1
	}
	return min(size, len(n.sockets))
}

func (n *namespace) joinLocked(m *member, r sio.Room) (begun int) {
	if r == m.socket.ID().Room() {
		return 0
	}
	members := n.rooms[r]
	if _, in := members[m]; in {
		return 0
	}
	if members == nil {
		members = make(room, 1)
		n.rooms[r] = members
		begun = 1
	}
	members[m] = struct{}{}
	m.joined = append(m.joined, r)
	m.trace.joined(n.journal)
	if w := m.watcher(); w != nil {
		n.enterLocked(m, w, r)
	}
	return begun
}

func (n *namespace) leaveLocked(m *member, r sio.Room) (ceased int) {
	members := n.rooms[r]
	if _, in := members[m]; !in {
		return 0
	}
	for i, joined := range m.joined {
		if joined == r {
			last := len(m.joined) - 1
			m.joined[i] = m.joined[last]
			m.joined[last] = ""
			m.joined = m.joined[:last]
			m.trace.left(i, r, n.journal)
			break
		}
	}
	ceased = n.dropLocked(members, m, r)
	if w := m.watcher(); w != nil {
		n.exitLocked(m, w, r)
	}
	return ceased
}

func (n *namespace) leaveAllLocked(m *member) (ceased int) {
	w := m.watcher()
	if w != nil {
		n.exitLocked(m, w, m.socket.ID().Room())
	}
	for _, r := range m.joined {
		ceased += n.dropLocked(n.rooms[r], m, r)
		if w != nil {
			n.exitLocked(m, w, r)
		}
	}
	m.joined = nil
	return ceased
}

func (n *namespace) dropLocked(members room, m *member, r sio.Room) (ceased int) {
	delete(members, m)
	if len(members) > 0 {
		return 0
	}
	delete(n.rooms, r)
	return 1
}

// eachLocked calls visit, which must not change any room, for every socket of the target once.
func (n *namespace) eachLocked(t *sio.Target, visit func(*member)) {
	if len(t.Rooms) == 0 {
		n.allExceptLocked(t.Except, visit)
		return
	}
	var seen room
	if len(t.Rooms) > fewRooms {
		seen = make(room)
	}
	for i, r := range t.Rooms {
		once := func(m *member) {
			if seen != nil {
				if _, in := seen[m]; in {
					return
				}
				seen[m] = struct{}{}
			} else if n.inAnyLocked(m, t.Rooms[:i]) {
				return
			}
			if !n.inAnyLocked(m, t.Except) {
				visit(m)
			}
		}
		if m := n.sockets[sio.SocketID(r)]; m != nil {
			once(m)
		}
		for m := range n.rooms[r] {
			once(m)
		}
	}
}

func (n *namespace) allExceptLocked(rooms []sio.Room, visit func(*member)) {
	for _, m := range n.sockets {
		if !n.inAnyLocked(m, rooms) {
			visit(m)
		}
	}
}

func (n *namespace) inAnyLocked(m *member, rooms []sio.Room) bool {
	for _, r := range rooms {
		if r == m.socket.ID().Room() {
			return true
		}
		if members := n.rooms[r]; len(members) > 0 {
			if _, in := members[m]; in {
				return true
			}
		}
	}
	return false
}
