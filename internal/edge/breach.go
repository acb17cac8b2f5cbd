// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"strconv"

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
	// causeOverdue is a packet whose attachments did not come in the time of the setting attachment-timeout.
	causeOverdue = "attachments_overdue"
)

var errUnfinished = sio.E(sio.CodeTooLarge, "decode packet", "too many attachments wait for others, see the setting max-unfinished")

// breakOff closes the session for a packet that could not be read.
func (c *client) breakOff(err error, data []byte) {
	cause := causeUnfinished
	if v, ok := socketio.VerdictOf(err); ok {
		cause = v.String()
	}
	c.breakRule(cause, data)
}

// breakRule closes the session since the browser broke a rule. It is called from within Message.
func (c *client) breakRule(cause string, data []byte) {
	c.broken = true
	c.report(cause, data)
	c.closeFor(cause)
}

// report counts a breach and says it once per session.
func (c *client) report(cause string, data []byte) {
	c.server.metrics.Breaches.WithLabelValues(cause).Inc()
	if ok, unlogged := c.server.breaches.Allow(); ok {
		c.server.log.Warn("session closed: the browser broke a rule", "cause", cause, "session", c.name(), "sid", c.anySocket(),
			"address", c.session.Handshake().Address, "packet", c.excerpt(data), "unlogged", unlogged)
	}
}

// name is enough of the session's id to find it again, and too little to take the session over.
func (c *client) name() string {
	const shown = 12
	id := string(c.session.ID())
	return id[:min(shown, len(id))]
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

// excerpt shows the beginning of a packet in one quoted line. The payload or the query of a connect is left out: it
// holds credentials.
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
