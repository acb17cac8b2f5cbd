// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"slices"

	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/sio"
)

// held is what waits for the answer to the connect.
type held struct {
	items []item
	bytes int
	end   ending // to be done after the items
}

// item is a delivery or an ack.
type item struct {
	delivery *hub.Delivery
	ack      *sio.Ack
	id       sio.AckID // of the ack
}

// ending says how the server ends a socket.
type ending uint8

const (
	endNothing ending = iota
	endSocket
	endSession
)

// itemOverhead is what an item costs beside its payload, for the limit.
const itemOverhead = 64

func (s *Socket) waitingLocked() *held {
	if s.waiting == nil {
		s.waiting = &held{}
	}
	return s.waiting
}

// holdLocked keeps an item and tells whether there was room for it.
func (s *Socket) holdLocked(it item, size int) bool {
	w := s.waitingLocked()
	if w.bytes += size + itemOverhead; w.bytes > s.client.server.options.Engine.MaxOutbound {
		return false
	}
	w.items = append(w.items, it)
	return true
}

// overflow closes the session of a browser for which too much is held.
func (s *Socket) overflow() {
	c := s.client
	c.server.metrics.HeldOverflows.Inc()
	n := *noticeHeld
	n.Facts = []any{"socket", s.id, "namespace", loglimit.Cut(s.namespace)}
	c.session.CloseNoted(sio.ReasonSlowConsumer, &n)
}

// release writes what is held, until nothing is, and tells how the server wants the socket to end.
func (s *Socket) release() ending {
	for {
		s.mu.Lock()
		w := s.waiting
		if s.state.Load() == gone {
			s.mu.Unlock()
			return endNothing
		}
		if w == nil || len(w.items) == 0 {
			s.state.Store(connected)
			s.waiting = nil
			s.mu.Unlock()
			if w == nil {
				return endNothing
			}
			return w.end
		}
		items := w.items
		w.items = nil
		s.mu.Unlock()
		for i := range items {
			s.writeItem(&items[i])
		}
	}
}

func (s *Socket) writeItem(it *item) {
	if it.ack != nil {
		s.writeAck(it.id, it.ack)
		return
	}
	if it.delivery.WantsAck && !s.expect(it.delivery) {
		it.delivery.Left(s.id)
		return
	}
	s.write(it.delivery)
}

// drop settles what was held for a socket that is gone.
func (w *held) drop(id sio.SocketID) {
	if w == nil {
		return
	}
	for _, it := range w.items {
		if it.delivery != nil && it.delivery.WantsAck {
			it.delivery.Left(id)
		}
	}
}

func cloneAck(ack *sio.Ack) *sio.Ack {
	c := &sio.Ack{Args: slices.Clone(ack.Args)}
	for _, a := range ack.Attachments {
		c.Attachments = append(c.Attachments, slices.Clone(a))
	}
	return c
}
