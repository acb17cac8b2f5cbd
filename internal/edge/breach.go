// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// The causes of breaches beside the verdicts of socketio. They are metric labels.
const (
	// causeState is a packet for a namespace that is not joined, or one that browsers never send.
	causeState = "state"
	// causeConnectTwice is a connect to a namespace that is joined or pending.
	causeConnectTwice = "connect_twice"
	// causeConnectRate is more connects than the setting connect-rate allows.
	causeConnectRate = "connect_rate"
	// causeEventRate is more events than the setting max-event-rate allows.
	causeEventRate = "event_rate"
	// causeNamespaces is more namespaces than the setting max-namespaces-per-session allows.
	causeNamespaces = "namespaces"
	// causeUnfinished is a packet that would pass the setting max-unfinished.
	causeUnfinished = "unfinished"
	// causeOverdue is a packet whose attachments did not come in the time of the setting
	// attachment-timeout.
	causeOverdue = "attachments_overdue"
)

var errUnfinished = sio.E(sio.CodeTooLarge, "decode packet", "too many attachments wait for others, see the setting max-unfinished")

// breakOff closes the session for a packet that could not be read.
func (c *client) breakOff(err error, data []byte, binary bool) {
	cause := causeUnfinished
	if v, ok := socketio.VerdictOf(err); ok {
		cause = v.String()
	}
	c.violate(cause, message{data: data, binary: binary})
}

// violate closes the session since the browser violated the protocol or a limit. It is called from
// within Message.
func (c *client) violate(cause string, m message) {
	c.broken = true
	c.closeFor(cause, m)
}

// closeFor counts a breach and closes the session, with an explanation to the browser where it is
// of a limit.
func (c *client) closeFor(cause string, m message) {
	c.server.metrics.Violations.With(cause).Inc()
	c.debug(cause, m)
	l, limited := c.server.explained[cause]
	n := &engineio.Notice{Level: slog.LevelWarn, Cause: cause, Setting: l.setting, Text: "protocol violation by client: " + c.rule(cause)}
	n.Facts = append(n.Facts, "reason", cause, "socket", c.anySocket())
	if m.data != nil {
		n.Facts = append(n.Facts, "packet", m.kind(), "bytes", len(m.data))
	}
	if limited {
		c.session.CloseWith(sio.ReasonForcedClose, l.kind, l.text, n)
		return
	}
	c.session.CloseNoted(sio.ReasonForcedClose, n)
}

// rule says which rule was broken.
func (c *client) rule(cause string) string {
	if l, ok := c.server.explained[cause]; ok {
		return l.text
	}
	for _, v := range socketio.Verdicts() {
		if v.String() == cause {
			return v.Rule()
		}
	}
	return map[string]string{
		causeState:        "a packet of a namespace that it has not joined, or one that browsers never send",
		causeConnectTwice: "a connect to a namespace that it has joined or asked for",
	}[cause]
}

// message is what violated the protocol. Its content is for debugging only: it may hold what users
// keep to themselves.
type message struct {
	data   []byte
	binary bool
	packet *socketio.Packet // set when it was decoded, which may have altered data
}

// kind names the packet's type without what it says.
func (m *message) kind() string {
	switch {
	case m.binary:
		return "binary"
	case len(m.data) == 0:
		return "empty"
	}
	return socketio.PacketType(m.data[0]).String()
}

// debug shows the packet to who asked for it by the setting log-level.
func (c *client) debug(cause string, m message) {
	log, ctx := c.server.log, context.Background()
	if m.data == nil || !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	if m.packet != nil {
		m.packet.Restore(m.data)
	}
	log.Debug("protocol violation by client", "reason", cause, "session", c.session.Name(), "packet", c.excerpt(m.data))
}

// anySocket is the id of the client's first socket, or nothing.
func (c *client) anySocket() sio.SocketID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sockets) == 0 {
		return ""
	}
	return c.sockets[0].id
}

// excerpt shows the beginning of a packet in one quoted line. The payload or the query of a connect
// is left out: it holds credentials.
func excerpt(data []byte) string {
	const shown = 100
	if len(data) > 0 && data[0] == byte(socketio.Connect) {
		if i := bytes.IndexAny(data, `{["?`); i >= 0 {
			data = data[:i]
		}
	}
	if len(data) > shown {
		return strconv.QuoteToASCII(string(data[:shown])) + "..."
	}
	return strconv.QuoteToASCII(string(data))
}
