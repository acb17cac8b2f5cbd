// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// The upgrade: a polling session tries a WebSocket and, when it carries, moves to it.
//
//	browser                         server
//	GET websocket with the sid  ->  101; the probe begins. A second one meanwhile or later is
//	                                closed
//	2probe                      ->  3probe; from now on a GET that would wait gets a noop at once,
//	                                so that the browser's polling
//	                                comes to rest. Messages still travel by polling
//	5                           ->  the transport is websocket: what is queued leaves there, in
//	                                order
//
// Anything else as the first packet, another packet in between, or no `5` within UpgradeTimeout
// closes the WebSocket; the session stays on polling as if nothing had been. `5` without a probe is
// fine.

const (
	// noopInterval is the pause between two noops of one probe, once it has had promptNoops. A
	// browser that polls on through its probe must not do so in a tight loop.
	noopInterval = 100 * time.Millisecond
	// promptNoops is how many GETs of one probe are answered with a noop at once. Two are usual:
	// the GET that waits, and one that the browser sends before it has read 3probe.
	promptNoops = 8
)

// probe is an upgrade under way. It is guarded by Session.mu; the upgrade is over when
// polling.probe is another, or nil.
type probe struct {
	to       duplex
	deadline *time.Timer
	noop     *time.Timer // runs from the probe on
	prompt   int         // noops that were sent at once
}

func (p *probe) stop() {
	p.deadline.Stop()
	if p.noop != nil {
		p.noop.Stop()
	}
}

// upgrade begins an upgrade to a duplex transport.
func (s *Session) upgrade(w http.ResponseWriter, r *http.Request, t Transport, f framing) {
	d, ok := t.accept()(s.server, w, r, f)
	if !ok {
		return
	}
	s.mu.Lock()
	if s.ended.Load() || s.polling == nil || s.polling.probe != nil {
		s.mu.Unlock()
		s.upgradeFailed(upgradeRepeated)
		d.close(sio.ReasonTransportClose, nil)
		d.Finish()
		return
	}
	p := &probe{to: d}
	p.deadline = time.AfterFunc(s.server.o.UpgradeTimeout, func() { s.dropProbe(p, upgradeLate) })
	s.polling.probe = p
	s.server.enter()
	s.mu.Unlock()
	d.Flush()
	// Ends with the connection, which the probe's timer or the session's end closes; Drain waits
	// for it.
	go func() {
		defer s.server.leave()
		failure := s.tryProbe(p)
		if failure == "" {
			s.read(d)
			return
		}
		s.dropProbe(p, failure)
		d.Finish()
	}()
}

// tryProbe reads until the session is on the WebSocket, or is not to be: then it says why.
func (s *Session) tryProbe(p *probe) (failure string) {
	for {
		data, binary, err := p.to.Read()
		if err != nil {
			return upgradeEnd(p.to.end(err))
		}
		if binary {
			return upgradePacket
		}
		packet, err := s.codec.parse(data, false)
		switch {
		case err != nil:
			return upgradePacket
		case packet.Type == PacketPing && string(packet.Data) == probeData:
			p.to.queuePacket(PacketPong, packet.Data)
			p.to.Flush()
			s.startNoops(p)
		case packet.Type == PacketUpgrade:
			if !s.upgraded(p) {
				return upgradeRepeated
			}
			return ""
		default:
			return upgradePacket
		}
	}
}

// startNoops begins to bring the browser's polling to rest.
func (s *Session) startNoops(p *probe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polling == nil || s.polling.probe != p || p.noop != nil {
		return
	}
	p.noop = time.AfterFunc(noopInterval, func() { s.sendNoop(p) })
	if s.polling.waiting != nil {
		s.polling.restIdle()
		s.polling.answer()
	}
}

// restIdle queues a noop for a GET that would wait while a WebSocket is being tried.
func (p *polling) restIdle() {
	if p.probe == nil || p.probe.noop == nil || p.probe.prompt == promptNoops || len(p.out) > 0 || p.telling {
		return
	}
	p.probe.prompt++
	p.out = append(p.out, noopPacket)
}

func (s *Session) sendNoop(p *probe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	polling := s.polling
	if polling == nil || polling.probe != p {
		return
	}
	if polling.waiting != nil && len(polling.out) == 0 {
		polling.out = append(polling.out, noopPacket)
	}
	polling.answer()
	p.noop.Reset(noopInterval)
}

// upgraded moves the session to the WebSocket.
func (s *Session) upgraded(p *probe) bool {
	s.mu.Lock()
	polling := s.polling
	if s.ended.Load() || polling == nil || polling.probe != p {
		s.mu.Unlock()
		return false
	}
	polling.takeProbe()
	// All of it fits as it is, see packetCost, though maybe not as base64; a broken connection is
	// seen by the reader.
	fits := true
	for i := range polling.out {
		o := &polling.out[i]
		fits = fits && o.moveTo(p.to)
		polling.left(o)
		*o = outgoing{}
	}
	polling.out = nil
	if polling.getting {
		if time.Since(polling.since) > overtaking {
			polling.out = append(polling.out, noopPacket)
		}
		polling.answer()
	}
	to := p.to // apart, so that the probe is not kept
	s.carrier.Store(&to)
	s.polling = nil
	s.mu.Unlock()
	s.server.obs.Upgraded()
	if !fits {
		s.cutOff(cutFull)
	}
	p.to.Flush()
	return true
}

// dropProbe gives an upgrade up, unless it is over.
func (s *Session) dropProbe(p *probe, cause string) {
	s.mu.Lock()
	current := s.polling != nil && s.polling.probe == p
	if current {
		s.polling.takeProbe()
	}
	s.mu.Unlock()
	if current {
		p.to.close(sio.ReasonTransportClose, nil)
		s.upgradeFailed(cause)
	}
}
