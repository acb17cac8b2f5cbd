// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"io"
	"net/http"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
	"github.com/spanwire/spanwire/internal/sio"
)

// webSocket is the duplex transport "websocket": one packet is one message of a WebSocket.
type webSocket struct {
	*wsconn.Conn
	framing framing
	o       *Options
}

// acceptWebSocket answers a WebSocket handshake.
func (s *Server) acceptWebSocket(w http.ResponseWriter, r *http.Request, f framing) (duplex, bool) {
	conn, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		return nil, false // answered
	}
	return &webSocket{conn, f, &s.o}, true
}

// Transport implements duplex.
func (w *webSocket) Transport() Transport { return WebSocket }

func (w *webSocket) queue(m Message) (fits bool) {
	return w.framing.queue(w.Conn, m, w.Deflates() && w.o.deflatable(m)) != wsconn.ErrFull
}

func (w *webSocket) queueShared(m *Shared) (fits bool) {
	return w.QueueShared(m.frames(w.framing, w.Deflates(), w.o)) != wsconn.ErrFull
}

func (w *webSocket) queuePolled(o *outgoing) (fits bool) {
	if o.binary {
		return w.framing.queue(w.Conn, Message{Data: o.data, Binary: true}, false) != wsconn.ErrFull
	}
	return w.Queue(o.data, false) != wsconn.ErrFull
}

func (w *webSocket) queuePacket(t PacketType, data []byte) {
	if t == PacketPing {
		_ = w.QueueShared(pingFrame) // a full queue shows with the next message
		return
	}
	_ = w.QueuePrefixed(byte(t), data) // the same
}

func (w *webSocket) end(err error) (e streamEnd) {
	var closed *wsconn.CloseError
	e.reason, e.slow = sio.ReasonTransportError, err == wsconn.ErrSlow
	tooLarge, protocol := errors.Is(err, wsconn.ErrTooLarge), errors.Is(err, wsconn.ErrProtocol)
	switch {
	case tooLarge:
		e.reason = sio.ReasonPayloadTooLarge
	case errors.Is(err, io.EOF), errors.As(err, &closed):
		e.reason = sio.ReasonTransportClose
	}
	e.proper = closed != nil || errors.As(err, &closed) || tooLarge || protocol || errors.Is(err, wsconn.ErrClosed)
	e.violation = tooLarge || protocol
	if protocol {
		e.cause, e.text = "websocket_protocol", "WebSocket protocol violation by the client or a proxy"
	}
	return e
}

func (w *webSocket) close(reason sio.Reason, why *explanation) {
	switch {
	case why != nil:
		w.Close(why.closeCode, closeText(why.message))
	case reason == sio.ReasonServerShuttingDown:
		w.Close(wsconn.CodeGoingAway, "")
	default:
		w.Close(wsconn.CodeNone, "") // standard clients read nothing from a code
	}
}
