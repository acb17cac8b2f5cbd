// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A session's states:
//
//	open     messages flow; on polling, or after the upgrade on websocket
//	ended    the reason is known: nothing is queued or delivered any more; the receiver hears
//	         Closed
//	         when its last Message returned
//	gone     the server does not know the id any more
//
//	open  -> ended, gone   on a duplex transport always; on polling when the browser ended it,
//	                       broke
//	                       a rule, went away or was too slow: a GET
//	                       that waits is answered with the last packets
//	open  -> ended         on polling when this side ended it: what is queued and the close packet
//	                       wait for the next GET
//	ended -> gone          when that GET has fetched all, or CloseTimeout has passed
//
// Only endWith leaves the state open. It does so once: the first reason stays.

// Session is one Engine.IO connection life, kept across an upgrade. Its methods may be called by
// anyone at the same time, and none of them blocks. An idle session costs memory, so there is
// little in it.
type Session struct {
	// Fixed at birth.
	server    *Server
	receiver  Receiver
	handshake *sio.Handshake
	id        sio.SessionID
	codec     codec

	// carrier is set once, under mu: the transport, once it is not polling.
	carrier atomic.Pointer[duplex]
	// ended is set once, under mu.
	ended atomic.Bool
	// leaving is set once: the replica that carries the WebSocket drains.
	leaving atomic.Bool

	// recv is held while the receiver is called: it keeps calls apart that come from POSTs, from
	// the duplex transport and from the end.
	recv sync.Mutex

	// packets counts what the browser sends, against MaxPacketRate.
	packets rate

	mu      sync.Mutex    // guards the fields below, and orders what is queued
	polling *polling      // nil once the transport is websocket
	done    chan struct{} // made when someone asks for it

	heartbeat
}

// ending says how a session ends towards the browser.
type ending uint8

const (
	// endAfterQueue sends what is queued and a close.
	endAfterQueue ending = iota
	// endNow answers a waiting GET with what is queued and a close packet, and forgets the session.
	endNow
	// endAnswered is the answer to the browser's own close: a waiting GET gets a noop.
	endAnswered
	// endAbort drops what is queued.
	endAbort
)

// newSession makes a session that holds recv until start, so that an end before that waits for the
// receiver.
func (s *Server) newSession(h *sio.Handshake, c codec) *Session {
	h.EngineProtocol = c.revision()
	session := &Session{server: s, handshake: h, id: sio.NewSessionID(s.o.Replica), codec: c}
	session.recv.Lock()
	return session
}

// start lets the application in. It is called once, when the session is known to the server and its
// open packet is queued.
func (s *Session) start(open func(*Session) Receiver) {
	s.server.obs.Opened(string(s.Transport()))
	s.receiver = open(s)
	s.recv.Unlock()
	s.startHeartbeat()
}

// ID is the session's secret name.
func (s *Session) ID() sio.SessionID { return s.id }

// Handshake is what the browser sent when it opened the session.
func (s *Session) Handshake() *sio.Handshake { return s.handshake }

// Transport is the present one.
func (s *Session) Transport() Transport {
	if d := s.duplex(); d != nil {
		return d.Transport()
	}
	return Polling
}

// Done is closed when the session ends, before Closed: it wakes a receiver that blocks in Message.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.ended.Load() {
			close(s.done)
		}
	}
	return s.done
}

// Queue appends messages that stay together, such as a packet and its attachments, and tells
// whether it did. It copies the data. A session for which MaxOutbound bytes wait already is closed
// with ReasonSlowConsumer. After the end the messages are dropped.
func (s *Session) Queue(messages ...Message) (queued bool) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return false
	}
	fits, bytes := true, 0
	d := s.duplex()
	for _, m := range messages {
		if d != nil {
			fits = fits && d.queue(m)
		} else {
			fits = fits && s.polling.queue(newOutgoing(m), s.server.o.MaxOutbound)
		}
	}
	s.mu.Unlock()
	for _, m := range messages {
		bytes += len(m.Data)
	}
	return s.queued(fits, len(messages), bytes)
}

// QueueShared is Queue for messages that many sessions get. It copies nothing that it need not.
func (s *Session) QueueShared(m *Shared) (queued bool) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return false
	}
	fits := true
	if d := s.duplex(); d != nil {
		fits = d.queueShared(m)
	} else {
		for _, packet := range m.packets() {
			fits = fits && s.polling.queue(packet, s.server.o.MaxOutbound)
		}
	}
	s.mu.Unlock()
	return s.queued(fits, len(m.messages), m.bytes)
}

// queued counts what fitted and closes a session whose queue is full.
func (s *Session) queued(fits bool, messages, bytes int) bool {
	if !fits {
		s.cutOff(cutFull)
		return false
	}
	s.server.obs.Sent(string(s.Transport()), messages, bytes)
	return true
}

// Flush writes what is queued if the transport takes it now. It is cheap when nothing is queued.
func (s *Session) Flush() {
	if d := s.duplex(); d != nil {
		d.Flush()
		return
	}
	s.mu.Lock()
	if p := s.polling; p != nil && len(p.out) > 0 {
		p.answer()
	}
	s.mu.Unlock()
	// An upgrade in between has flushed itself.
}

// Writable tells that a message queued now would leave now: the browser keeps up.
func (s *Session) Writable() bool {
	if d := s.duplex(); d != nil {
		return d.Writable()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polling != nil && s.polling.waiting != nil && !s.ended.Load()
}

// Close ends the session after what is queued. Only the first reason counts. Closed follows.
func (s *Session) Close(reason sio.Reason) { s.end(reason, endAfterQueue) }

// CloseNoted is Close with a log line that knows more than the reason.
func (s *Session) CloseNoted(reason sio.Reason, n *Notice) { s.endWith(reason, endAfterQueue, nil, n) }

// end is endWith for what needs no explanation, to the browser or in the log.
func (s *Session) end(reason sio.Reason, how ending) { s.endWith(reason, how, nil, nil) }

// endWith is the only way out of the state open. It tells whether it was the one that took it. A
// nil notice stands for that of the reason.
func (s *Session) endWith(reason sio.Reason, how ending, why *explanation, n *Notice) (ended bool) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return false
	}
	s.ended.Store(true)
	s.stopHeartbeat()
	if s.done != nil {
		close(s.done)
	}
	transport, d, gone := s.Transport(), s.duplex(), true
	var probe *probe
	if p := s.polling; p != nil {
		probe = p.takeProbe()
		p.why, p.telling = why, why != nil && p.posting
		gone = p.end(how)
		if !gone {
			p.linger = time.AfterFunc(s.server.o.CloseTimeout, s.forget)
		}
		if p.telling {
			p.gone, gone = gone, false
		}
	}
	// Ends when the receiver has returned; Drain waits for it.
	s.server.enter()
	s.mu.Unlock()

	switch {
	case d != nil && how == endAbort:
		d.Abort()
	case d != nil:
		d.close(reason, why)
	case probe != nil:
		probe.to.close(sio.ReasonTransportClose, nil)
	}
	if gone {
		s.forget()
	}
	s.server.noteEnd(s, transport, reason, n)
	go func() {
		defer s.server.leave()
		s.recv.Lock()
		s.receiver.Closed(reason)
		s.recv.Unlock()
		s.server.obs.Closed(string(transport), string(reason))
	}()
	return true
}

// abort ends what is left of a session that was closed, without waiting for the browser.
func (s *Session) abort() {
	s.mu.Lock()
	if s.polling != nil {
		s.polling.stopLinger()
	}
	s.mu.Unlock()
	if d := s.duplex(); d != nil {
		d.Abort()
	}
	s.forget()
}

// forget makes the session unknown to the server. What is queued goes, but for what a GET is about
// to take.
func (s *Session) forget() {
	s.mu.Lock()
	if p := s.polling; p != nil {
		p.final = true
		if !p.getting {
			p.drop()
		}
	}
	s.mu.Unlock()
	s.server.remove(s)
}

// handle takes one packet of the browser and tells whether more may follow.
func (s *Session) handle(p Packet) bool {
	if s.tooFast() {
		return false
	}
	if p.Type != PacketPong {
		s.heard()
	}
	switch p.Type {
	case PacketMessage:
		return s.deliver(p)
	case PacketPong:
		s.ponged()
	case PacketPing:
		s.pinged(p)
	case PacketClose:
		s.end(sio.ReasonTransportClose, endAnswered)
	case PacketOpen, PacketUpgrade, PacketNoop:
		// Out of place, and harmless.
	}
	return !s.ended.Load()
}

func (s *Session) deliver(p Packet) bool {
	s.recv.Lock()
	defer s.recv.Unlock()
	if s.ended.Load() {
		return false
	}
	s.server.obs.Received(string(s.Transport()), len(p.Data))
	since := s.enterReceiver()
	s.receiver.Message(p.Data, p.Binary)
	s.leaveReceiver(since)
	return !s.ended.Load()
}
