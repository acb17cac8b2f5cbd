// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"sync"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/hub"
)

// encodingJSON is the kind of a delivery's encoding that is an *engineio.Shared of JSON packets.
const encodingJSON = 0

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
	s.write(d)
	s.client.session.Flush()
}

// deliverLater holds the delivery for a socket that is not connected yet, or drops it. It tells whether the socket is connected now.
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
			s.left(d)
		}
	}
	return false
}

func (s *Socket) dropVolatile(d *hub.Delivery) {
	s.client.server.metrics.VolatileDropped.Inc()
	s.left(d)
}

func (s *Socket) tooLate(d *hub.Delivery) {
	s.client.server.metrics.DeliveriesTooLate.Inc()
	s.left(d)
}

func (s *Socket) left(d *hub.Delivery) {
	if d.WantsAck {
		d.Left(s.id)
	}
}

// write queues the event. A lone receiver writes into a buffer of the pool; many share one encoding.
func (s *Socket) write(d *hub.Delivery) {
	if d.Receivers > 1 {
		s.client.session.QueueShared(d.Encoded(encodingJSON, func() any { return share(d) }).(*engineio.Shared))
		return
	}
	text := borrow()
	*text = appendDelivery(*text, d)
	s.client.queue(*text, d.Event.Attachments)
	giveBack(text)
}

func appendDelivery(dst []byte, d *hub.Delivery) []byte {
	if d.WantsAck {
		return socketio.AppendEventWithAck(dst, d.Namespace, d.AckID, d.Event)
	}
	return socketio.AppendEvent(dst, d.Namespace, d.Event)
}

// share encodes a delivery for all its receivers.
func share(d *hub.Delivery) *engineio.Shared {
	const head = 32 // type, number of attachments, ack id, brackets and quotes
	text := appendDelivery(make([]byte, 0, head+len(d.Namespace)+len(d.Event.Name)+len(d.Event.Args)), d)
	return engineio.NewShared(unit(text, d.Event.Attachments)...)
}

// unit is a packet's text and its attachments, which stay together.
func unit(text []byte, attachments [][]byte) []engineio.Message {
	messages := make([]engineio.Message, 1, 1+len(attachments))
	messages[0] = engineio.Message{Data: text}
	for _, a := range attachments {
		messages = append(messages, engineio.Message{Data: a, Binary: true})
	}
	return messages
}

// queue queues a packet. The text may be used again afterwards.
func (c *client) queue(text []byte, attachments [][]byte) {
	if len(attachments) == 0 {
		c.session.Queue(engineio.Message{Data: text})
		return
	}
	c.session.Queue(unit(text, attachments)...)
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
