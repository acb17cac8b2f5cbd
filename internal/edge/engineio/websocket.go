// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

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
func acceptWebSocket(s *Server, w http.ResponseWriter, r *http.Request, f framing) (duplex, bool) {
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

func (w *webSocket) queuePacket(t PacketType, data []byte) (fits bool) {
	if t == PacketPing {
		return w.QueueShared(pingFrame) != wsconn.ErrFull
	}
	return w.QueuePrefixed(byte(t), data) != wsconn.ErrFull
}

func (w *webSocket) end(err error) (e streamEnd) {
	var frame *wsconn.CloseError
	closed := errors.As(err, &frame)
	tooLarge, protocol := errors.Is(err, wsconn.ErrTooLarge), errors.Is(err, wsconn.ErrProtocol)
	e.slow = err == wsconn.ErrSlow
	e.violation = tooLarge || protocol
	e.proper = closed || e.violation || errors.Is(err, wsconn.ErrClosed)
	switch {
	case tooLarge:
		e.reason = sio.ReasonPayloadTooLarge
	case closed, errors.Is(err, io.EOF):
		e.reason = sio.ReasonTransportClose
	default:
		e.reason = sio.ReasonTransportError
	}
	if protocol {
		e.cause, e.text = "websocket_protocol", "WebSocket protocol violation by the client or a proxy"
	}
	return e
}

func (w *webSocket) close(reason sio.Reason, why *explanation) {
	switch {
	case why != nil:
		w.Close(closeCode(why.limit), closeText(why.message))
	case reason == sio.ReasonServerShuttingDown:
		w.Close(wsconn.CodeGoingAway, "")
	default:
		w.Close(wsconn.CodeNone, "") // standard clients read nothing from a code
	}
}

// closeCode is the code for a browser that passed a limit.
func closeCode(l Limit) int {
	if l == LimitSize {
		return wsconn.CodeTooLarge
	}
	return wsconn.CodePolicy
}

// closeText cuts a text so that it fits into a close frame.
func closeText(text string) string {
	const most = 123
	if len(text) <= most {
		return text
	}
	text = text[:most]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return strings.TrimSpace(text)
}
