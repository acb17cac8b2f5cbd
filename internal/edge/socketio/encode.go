// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"strconv"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/jsonscan"
	"github.com/spanwire/spanwire/internal/sio"
)

// AppendConnect appends the answer to a connect that was accepted. The private id, which the
// browser shows when it comes back, is left out when it is empty.
func AppendConnect(dst []byte, ns sio.Namespace, id sio.SocketID, pid sio.PrivateID) []byte {
	dst = appendHead(dst, Connect, 0, ns)
	dst = append(dst, `{"sid":`...)
	dst = appendText(dst, string(id))
	if pid != "" {
		dst = append(dst, `,"pid":`...)
		dst = appendText(dst, string(pid))
	}
	return append(dst, '}')
}

// AppendConnectError appends the answer to a connect that was refused. Data is one JSON value, or
// nil.
func AppendConnectError(dst []byte, ns sio.Namespace, message string, data []byte) []byte {
	dst = appendHead(dst, ConnectError, 0, ns)
	dst = append(dst, `{"message":`...)
	dst = appendText(dst, message)
	if len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, data...)
	}
	return append(dst, '}')
}

// AppendDisconnect appends what ends a socket.
func AppendDisconnect(dst []byte, ns sio.Namespace) []byte { return appendHead(dst, Disconnect, 0, ns) }

// AppendEvent appends the text of an event that asks for no ack; its attachments must follow as
// they are.
func AppendEvent(dst []byte, ns sio.Namespace, ev *sio.Event) []byte {
	return appendEvent(appendHead(dst, binaryType(Event, ev.Attachments), len(ev.Attachments), ns), ev)
}

// AppendEventWithAck is AppendEvent for an event that asks for an ack with the id.
func AppendEventWithAck(dst []byte, ns sio.Namespace, id sio.AckID, ev *sio.Event) []byte {
	dst = appendHead(dst, binaryType(Event, ev.Attachments), len(ev.Attachments), ns)
	return appendEvent(strconv.AppendUint(dst, uint64(id), 10), ev)
}

// AppendAck appends the text of an ack; its attachments must follow as they are.
func AppendAck(dst []byte, ns sio.Namespace, id sio.AckID, ack *sio.Ack) []byte {
	dst = appendHead(dst, binaryType(Ack, ack.Attachments), len(ack.Attachments), ns)
	dst = strconv.AppendUint(dst, uint64(id), 10)
	if len(ack.Args) == 0 {
		return append(dst, "[]"...)
	}
	return append(dst, ack.Args...)
}

func binaryType(t PacketType, attachments [][]byte) PacketType {
	switch {
	case len(attachments) == 0:
		return t
	case t == Ack:
		return BinaryAck
	}
	return BinaryEvent
}

// appendHead appends all that stands before the ack id.
func appendHead(dst []byte, t PacketType, attachments int, ns sio.Namespace) []byte {
	dst = append(dst, byte(t))
	if attachments > 0 {
		dst = append(strconv.AppendInt(dst, int64(attachments), 10), '-')
	}
	if ns != sio.MainNamespace && ns != "" {
		dst = append(append(dst, ns...), ',')
	}
	return dst
}

// appendEvent appends the array of name and arguments.
func appendEvent(dst []byte, ev *sio.Event) []byte {
	dst = append(dst, '[')
	dst = appendText(dst, ev.Name)
	s := jsonscan.Scanner{Data: ev.Args}
	if open := s.Space(0); s.At(open) == '[' {
		if first := s.Space(open + 1); s.At(first) != ']' {
			dst = append(dst, ',')
			return append(dst, ev.Args[open+1:]...)
		}
	}
	return append(dst, ']')
}

// appendText appends a JSON string.
func appendText(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return append(appendEscaped(append(dst, text[:i]...), text[i:]), '"')
		}
	}
	return append(append(dst, text...), '"')
}

// appendEscaped escapes what JSON asks for and no more, and replaces what is no UTF-8, which a
// browser would close the session for.
func appendEscaped(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
