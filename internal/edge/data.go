// SPDX-License-Identifier: Apache-2.0

package edge

import "github.com/spanwire/spanwire/internal/sio"

// Describe implements hub.Keeper.
func (s *Socket) Describe() sio.SocketInfo {
	info := sio.SocketInfo{ID: s.id, Handshake: s.client.session.Handshake(), Auth: s.auth, Data: s.kept(),
		Transport: string(s.client.session.Transport())}
	if b := s.bound(); b != nil {
		info.Waiting = b.Waiting()
	}
	return info
}

// Keep implements hub.Keeper.
func (s *Socket) Keep(value []byte, ifVersion uint64) (now sio.Data, kept bool) {
	for {
		old := s.data.Load()
		now = dataOf(old)
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
func (s *Socket) kept() sio.Data { return dataOf(s.data.Load()) }

func dataOf(d *sio.Data) sio.Data {
	if d == nil {
		return sio.Data{Version: firstVersion}
	}
	return *d
}

// firstVersion is that of a socket with which nothing was kept yet. It is not 0, so that a handler
// can ask for its first data to be kept only if nobody else's is.
const firstVersion = 1
