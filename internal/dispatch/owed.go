// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// An instance whose stream broke keeps what it knows of its sockets, since it tells its handlers of
// their end should this replica be dead. So when it attaches again it is notified which of them
// went to other instances meanwhile. Lanes that did not move are still its own.

// owed are the sockets that an instance that is away is to forget.
type owed struct {
	since   time.Time
	sockets []sio.SocketID
}

const (
	// owedFor is how long an instance may be away; later it counts as another one.
	owedFor = 5 * time.Minute
	// mostOwed bounds the sockets of one instance.
	mostOwed = 100_000
)

// partLocked tells the instance that it has lost the socket to another, now or when it is back.
func (a *Attachment) partLocked(id sio.SocketID) {
	switch {
	case a.takes():
		a.releaseLocked(id)
	case a.detached && a.distance == Local:
		a.service.oweLocked(a.register.Instance, id)
	}
}

func (s *service) oweLocked(instance sio.InstanceID, id sio.SocketID) {
	for _, a := range s.local {
		if a.register.Instance == instance {
			a.releaseLocked(id)
			return
		}
	}
	now := time.Now()
	x := s.owed[instance]
	if x == nil {
		for other, y := range s.owed {
			if now.Sub(y.since) > owedFor {
				delete(s.owed, other)
			}
		}
		if s.owed == nil {
			s.owed = make(map[sio.InstanceID]*owed)
		}
		x = &owed{since: now}
		s.owed[instance] = x
	}
	if len(x.sockets) < mostOwed {
		x.sockets = append(x.sockets, id)
	}
}

// payLocked tells an instance that is back what it is to forget.
func (s *service) payLocked(a *Attachment) {
	x := s.owed[a.register.Instance]
	if x == nil || a.distance != Local {
		return
	}
	delete(s.owed, a.register.Instance)
	for _, id := range x.sockets {
		a.releaseLocked(id)
	}
}
