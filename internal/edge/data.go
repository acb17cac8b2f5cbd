// SPDX-License-Identifier: Apache-2.0

package edge

import "github.com/spanwire/spanwire/internal/sio"

// Describe implements hub.Keeper.
func (s *Socket) Describe() sio.SocketInfo {
	return sio.SocketInfo{ID: s.id, Handshake: s.client.session.Handshake(), Auth: s.auth, Data: s.kept()}
}

// Keep implements hub.Keeper.
func (s *Socket) Keep(value []byte, ifVersion uint64) (now sio.Data, kept bool) {
	for {
		old := s.data.Load()
		if old != nil {
			now = *old
		}
		if ifVersion != 0 && ifVersion != now.Version {
			return now, false
		}
		next := &sio.Data{Value: value, Version: now.Version + 1}
		if s.data.CompareAndSwap(old, next) {
			return *next, true
		}
	}
}

// kept is what handlers keep with the socket.
func (s *Socket) kept() sio.Data {
	if d := s.data.Load(); d != nil {
		return *d
	}
	return sio.Data{}
}
