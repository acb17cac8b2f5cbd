// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// Tap is notified which sockets come and go. It never blocks and calls nothing back.
type Tap interface {
	// Following tells whether anybody listens. Only then Happened is called.
	Following() bool
	// Happened tells one thing. It keeps nothing of o.
	Happened(o *sio.TraceEvent)
}

// note tells that the socket came or went, and in which rooms it was.
func (s *Socket) note(kind sio.TraceEventKind, detail string, rooms []sio.Room) {
	t := s.client.server.options.Tap
	if t == nil || !t.Following() {
		return
	}
	in := func(r sio.Room) bool { return slices.Contains(rooms, r) }
	t.Happened(&sio.TraceEvent{Kind: kind, Namespace: s.namespace, Socket: s.id, Detail: detail, In: in})
}
