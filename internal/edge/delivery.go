// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"sync"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/hub"
)

// Deliver implements hub.Socket.
func (s *Socket) Deliver(d *hub.Delivery) {
	if s.state.Load() != connected && !s.deliverLater(d) {
		return
	}
	if d.Volatile && !s.client.session.Writable() {
		s.dropVolatile(d)
		return
	}
	if d.WantsAck && !s.expect(d) {
		s.tooLate(d)
		return
	}
	if !s.write(d) {
		s.client.server.metrics.DeliveriesDropped.Inc()
		d.Dropped() // where an ack is wanted, the end of the session says that none comes
	}
	if !d.Unflushed {
		s.client.session.Flush()
	}
}

// deliverLater holds the delivery for a socket that is not connected yet, or drops it. It tells
// whether the socket is connected now.
func (s *Socket) deliverLater(d *hub.Delivery) (now bool) {
	s.mu.Lock()
	state := s.state.Load()
	switch {
	case state == connected:
		s.mu.Unlock()
		return true
	case state == gone:
		s.mu.Unlock()
		s.tooLate(d)
	case d.Volatile:
		s.mu.Unlock()
		s.dropVolatile(d)
	default:
		fits := s.holdLocked(item{delivery: d}, d.Event.Size())
		s.mu.Unlock()
		if !fits {
			s.overflow()
			d.Dropped()
			s.left(d)
		}
	}
	return false
}

func (s *Socket) dropVolatile(d *hub.Delivery) {
	s.client.server.metrics.VolatileDropped.Inc()
	d.Dropped()
	s.left(d)
}

func (s *Socket) tooLate(d *hub.Delivery) {
	s.client.server.metrics.DeliveriesTooLate.Inc()
	d.Dropped()
	s.left(d)
}

func (s *Socket) left(d *hub.Delivery) {
	if d.WantsAck {
		d.Left(s.id)
	}
}

// write queues the event. A lone receiver writes into a buffer of the pool; many share one
// encoding.
func (s *Socket) write(d *hub.Delivery) (queued bool) {
	p, marked := s.client.protocol(), s.recovery != nil && d.Offset != ""
	if d.Receivers > 1 {
		return s.client.session.QueueShared(p.shared(d, marked))
	}
	ev := d.Event
	if marked {
		ev = d.Marked()
	}
	packet := borrow()
	*packet = p.appendDelivery(*packet, d, ev)
	queued = s.client.queue(*packet, d.Event.Attachments, d.NoCompress)
	giveBack(packet)
	return queued
}

// queue queues a packet. It may be used again afterwards.
func (c *client) queue(packet []byte, attachments [][]byte, noCompress bool) (queued bool) {
	p := c.protocol()
	if p == protocolMsgpack || len(attachments) == 0 {
		return c.session.Queue(engineio.Message{Data: packet, Binary: p == protocolMsgpack, NoCompress: noCompress})
	}
	return c.session.Queue(p.unit(packet, attachments, noCompress)...)
}

// buffers holds buffers for packets that are copied when they are queued.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// largestBuffer is kept; larger ones would be held by the pool for rare packets.
const largestBuffer = 64 << 10

func borrow() *[]byte {
	b := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

func giveBack(b *[]byte) {
	if cap(*b) <= largestBuffer {
		buffers.Put(b)
	}
}
