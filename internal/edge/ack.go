// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// Acknowledge implements dispatch.Socket.
func (s *Socket) Acknowledge(id sio.AckID, ack sio.Ack) {
	if s.state.Load() == connected {
		s.writeAck(id, &ack)
		return
	}
	s.mu.Lock()
	state, fits := s.state.Load(), true
	if state == pending || state == joining {
		fits = s.holdLocked(item{id: id, ack: cloneAck(&ack)}, ack.Size())
	}
	s.mu.Unlock()
	switch {
	case !fits:
		s.overflow()
	case state == connected:
		s.writeAck(id, &ack)
	case state == gone:
		s.client.server.metrics.AcksTooLate.Inc()
	}
}

func (s *Socket) writeAck(id sio.AckID, ack *sio.Ack) {
	s.client.server.metrics.AcksSent.Inc()
	text := borrow()
	*text = s.client.protocol().appendAck(*text, s.namespace, id, ack)
	s.client.queue(*text, ack.Attachments, false)
	giveBack(text)
}

// expect remembers that the browser owes an ack, unless the socket is gone. When it owes too many,
// the oldest counts as missing.
func (s *Socket) expect(d *hub.Delivery) bool {
	s.mu.Lock()
	if s.state.Load() == gone {
		s.mu.Unlock()
		return false
	}
	if s.acks == nil {
		s.acks = make(map[sio.AckID]*hub.Delivery, 1)
	}
	var oldest *hub.Delivery
	if len(s.acks) >= s.client.server.options.MaxOutstandingAcks {
		oldest = s.oldestLocked()
		delete(s.acks, oldest.AckID)
	}
	s.acks[d.AckID] = d
	s.mu.Unlock()
	if oldest != nil {
		s.client.server.metrics.AcksEvicted.Inc()
		s.client.server.noteLimit("max-outstanding-acks", "the oldest ack that a browser owes counts as missing: it owes more than max-outstanding-acks")
		oldest.Left(s.id)
	}
	return true
}

// oldestLocked finds the delivery with the lowest ack id: the hub counts them up.
func (s *Socket) oldestLocked() (oldest *hub.Delivery) {
	for _, d := range s.acks {
		if oldest == nil || d.AckID < oldest.AckID {
			oldest = d
		}
	}
	return oldest
}

// acked passes the browser's ack to the emit that waits for it.
func (s *Socket) acked(p *socketio.Packet) {
	var d *hub.Delivery
	if p.HasID {
		s.mu.Lock()
		d = s.acks[p.ID]
		delete(s.acks, p.ID)
		if len(s.acks) == 0 {
			s.acks = nil
		}
		s.mu.Unlock()
	}
	if d == nil {
		s.client.server.metrics.AcksUnknown.Inc()
		return
	}
	s.client.server.metrics.AcksReceived.Inc()
	d.Acked(s.id, p.Ack())
}
