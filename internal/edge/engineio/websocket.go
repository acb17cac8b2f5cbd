// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"io"
	"net/http"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
	"github.com/spanwire/spanwire/internal/sio"
)

// queueFrames queues messages as frames and tells whether all fitted.
func (s *Session) queueFrames(ws *wsconn.Conn, messages []Message) bool {
	deflates := ws.Deflates()
	for _, m := range messages {
		if s.framing.queue(ws, m, deflates && s.server.o.deflatable(m)) == wsconn.ErrFull {
			return false
		}
	}
	return true
}

// openWebSocket opens a session of a WebSocket handshake. It tells whether the server got to know
// the session.
func (s *Server) openWebSocket(w http.ResponseWriter, r *http.Request, session *Session) bool {
	s.setCookie(w, session.id)
	conn, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		return false // answered
	}
	session.ws.Store(conn)
	if !s.add(session) {
		conn.Close(wsconn.CodeGoingAway, "")
		conn.Finish()
		return false
	}
	conn.QueuePrefixed(byte(PacketOpen), s.openData(session.id, WebSocket))
	s.enter()
	session.start(s.open)
	conn.Flush()
	// Ends with the connection, which ends with the session; Drain waits for it. The request's
	// goroutine, with its larger stack and buffers, is given back.
	go func() {
		defer s.leave()
		session.read(conn)
	}()
	return true
}

// read takes the session's packets from its WebSocket until either ends.
func (s *Session) read(conn *wsconn.Conn) {
	for {
		data, binary, err := conn.Read()
		if err != nil {
			if err == wsconn.ErrSlow {
				s.cutOff(cutWrite)
				break
			}
			reason := readReason(err)
			if !closedProperly(err) {
				s.server.lost(conn.Idle())
			}
			s.endWith(reason, endAfterQueue, nil, s.server.noticeBroken(reason, err))
			break
		}
		p, err := s.codec.parse(data, binary)
		if err != nil {
			s.end(sio.ReasonParseError, endAfterQueue)
			break
		}
		if !s.handle(p) {
			break
		}
	}
	conn.Finish()
}

// readReason is why a session whose WebSocket failed ended.
func readReason(err error) sio.Reason {
	var closed *wsconn.CloseError
	switch {
	case errors.Is(err, wsconn.ErrTooLarge):
		return sio.ReasonPayloadTooLarge
	case errors.Is(err, io.EOF), errors.As(err, &closed):
		return sio.ReasonTransportClose
	}
	return sio.ReasonTransportError
}

// closedProperly tells whether anybody said why the WebSocket ended, on either side.
func closedProperly(err error) bool {
	var closed *wsconn.CloseError
	return errors.As(err, &closed) || errors.Is(err, wsconn.ErrTooLarge) || errors.Is(err, wsconn.ErrProtocol) || errors.Is(err, wsconn.ErrClosed)
}

// closeCode is what the browser gets. Standard clients read nothing from it.
func closeCode(reason sio.Reason) int {
	if reason == sio.ReasonServerShuttingDown {
		return wsconn.CodeGoingAway
	}
	return wsconn.CodeNone
}
