// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"fmt"
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// Tap gets what is delivered. It never blocks, and calls nothing back but what it is given.
type Tap interface {
	// Following tells whether anybody listens. Only then Happened is called.
	Following() bool
	// Happened tells one thing. It keeps nothing of o.
	Happened(o *sio.TraceEvent)
}

// WithTap gives the hub its tap, before anybody uses it.
func (h *Hub) WithTap(t Tap) *Hub {
	h.tap = t
	return h
}

// noteEmit tells that the event is delivered to the receivers. No lock of the hub or a namespace is
// held.
func (h *Hub) noteEmit(e *sio.Emit, one Socket, all []Socket) {
	if h.tap != nil && h.tap.Following() {
		h.tellEmit(e, one, all)
	}
}

func (h *Hub) tellEmit(e *sio.Emit, one Socket, all []Socket) {
	if one != nil {
		all = []Socket{one}
	}
	if len(all) == 0 && e.Origin == (sio.Addressee{}) {
		return // a replica of the receivers tells
	}
	o := sio.TraceEvent{
		Kind: sio.Emitted, Namespace: e.Target.Namespace, Rooms: e.Target.Rooms, Event: e.Event,
		Service: e.Origin.Service, Instance: e.Origin.Instance, Detail: fmt.Sprintf("%d sockets", len(all)),
	}
	switch {
	case len(all) == 1:
		o.Detail = "1 socket"
		if one = all[0]; slices.Equal(e.Target.Rooms, []sio.Room{one.ID().Room()}) {
			o.Socket, o.Rooms = one.ID(), nil
		}
	case e.Target.Local:
		o.Detail += " of this replica"
	}
	o.Reaches = func(id sio.SocketID) bool {
		return slices.ContainsFunc(all, func(s Socket) bool { return s.ID() == id })
	}
	o.In = func(r sio.Room) bool { return h.anyIn(e.Target.Namespace, r, all) }
	h.tap.Happened(&o)
}

// anyIn tells whether one of the sockets is in the room.
func (h *Hub) anyIn(ns sio.Namespace, r sio.Room, sockets []Socket) bool {
	n := h.namespace(ns)
	if n == nil {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	members := n.rooms[r]
	return slices.ContainsFunc(sockets, func(s Socket) bool {
		m := n.sockets[s.ID()]
		_, in := members[m]
		return m != nil && in
	})
}
