// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"

	"github.com/spanwire/spanwire/internal/sio"
)

// Sessions on a duplex transport: how one opens there, and the goroutine that reads it.
// transport.go says what such a transport is, upgrade.go how a polling session gets there.

// openDuplex opens a session on a duplex transport. It reports whether the server got to know the
// session.
func (s *Server) openDuplex(w http.ResponseWriter, r *http.Request, session *Session, t Transport, f framing) bool {
	s.setCookie(w, session.id)
	d, ok := t.accept()(s, w, r, f)
	if !ok {
		return false
	}
	session.carrier.Store(&d)
	if !s.add(session) {
		d.close(sio.ReasonServerShuttingDown, nil)
		d.Finish()
		return false
	}
	d.queuePacket(PacketOpen, s.openData(session.id, t))
	s.enter()
	session.start(s.open)
	d.Flush()
	// Ends with the connection, which ends with the session; Drain waits for it. The request's
	// goroutine, with its larger stack and buffers, is given back.
	go func() {
		defer s.leave()
		session.read(d)
	}()
	return true
}

// read takes the session's packets from its transport until either ends.
func (s *Session) read(d duplex) {
	defer d.Finish()
	for {
		data, binary, err := d.Read()
		if err != nil {
			s.readEnded(d, err)
			return
		}
		p, err := s.codec.parse(data, binary)
		if err != nil {
			s.end(sio.ReasonParseError, endAfterQueue)
			return
		}
		if !s.handle(p) {
			return
		}
	}
}

// readEnded ends the session when its transport did.
func (s *Session) readEnded(d duplex, err error) {
	e := d.end(err)
	if e.slow {
		s.cutOff(cutWrite)
		return
	}
	if !e.proper {
		s.server.lost(d.Idle())
	}
	s.endWith(e.reason, endAfterQueue, nil, s.server.noticeBroken(&e, err))
}
