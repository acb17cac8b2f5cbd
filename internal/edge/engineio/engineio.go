// SPDX-License-Identifier: Apache-2.0

// Package engineio is Engine.IO on the server's side, revision 4 and on request 3: sessions that a
// browser reaches by long-polling, by WebSocket, or by one after the other, and that carry messages
// in order. The edge calls it and hears of messages through a Receiver; it never looks into a
// message and knows nothing of Socket.IO.
//
// A session in three lines: the browser opens it with a GET (polling) or a WebSocket handshake;
// messages flow both ways, heartbeats prove that the browser lives; it ends once, with one reason,
// which side ended it.
package engineio

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Options says how sessions behave. DefaultOptions is the place to start from.
type Options struct {
	// Paths are the paths that are served, each exactly as it stands here.
	Paths []string
	// PingInterval is the time from one pong, or from the open, to the next ping.
	PingInterval time.Duration
	// PingTimeout is the time for the answer to a ping.
	PingTimeout time.Duration
	// UpgradeTimeout bounds the upgrade from the WebSocket handshake to the browser's last word.
	UpgradeTimeout time.Duration
	// MaxPayload is the largest polling body and the largest WebSocket message from a browser, in
	// bytes. About so much is put into one polling answer, too.
	MaxPayload int64
	// MaxPacketsPerPayload bounds the packets in one polling body.
	MaxPacketsPerPayload int
	// MaxPacketsPerAnswer bounds the packets in one polling answer to a client that closes the
	// session over more.
	MaxPacketsPerAnswer int
	// PacketLimitedAgents are words in the User-Agent of such clients, in any case; "*" stands for
	// all clients.
	PacketLimitedAgents []string
	// ExplainTooLarge names the limit in answers with 413 and closes with 1009, which are empty
	// otherwise.
	ExplainTooLarge bool
	// MaxPacketRate bounds the packets that one session may send per second; what comes at once may
	// be twice as much. One that passes it is closed with ReasonTooManyPackets. 0 is no bound.
	MaxPacketRate int
	// MaxOutbound bounds what waits for one browser, in bytes. A session that would pass it is
	// closed with ReasonSlowConsumer.
	MaxOutbound int
	// MaxOutboundTotal bounds what waits for all browsers together, in bytes that are held: what
	// many wait for counts once. When it is reached, sessions are closed with ReasonSlowConsumer:
	// the largest first, those that take nothing before those that do.
	MaxOutboundTotal int64
	// Transports are those that are offered.
	Transports []Transport
	// AllowUpgrades lets a polling session become a WebSocket session.
	AllowUpgrades bool
	// AllowEIO3 also opens sessions of revision 3, for clients of Socket.IO 1 and 2.
	AllowEIO3 bool
	// AllowJSONP also opens polling sessions that browsers without cross-origin requests carry by
	// script elements and forms. Browsers send cookies with those and let any page do so.
	AllowJSONP bool
	// Origins are origins that may use the server besides its own, in the form of
	// origin.ParseOrigins: "https://app.example.com" or "https://*.example.com" each, "*" for all,
	// "null" for pages that have none.
	Origins []string
	// RequireOrigin refuses requests that name no origin, as those of programs that are no
	// browsers.
	RequireOrigin bool
	// TrustedProxies are the addresses of proxies whose X-Forwarded-For, -Proto, -Host and -Port
	// are believed.
	TrustedProxies []netip.Prefix
	// CORSMaxAge is how long browsers may remember the answer to a preflight. 0 leaves it to them.
	CORSMaxAge time.Duration
	// MaxSessions bounds the sessions, and MaxSessionsPerAddress those of one address; with IPv6 a
	// network of 64 bits counts as one. 0 is no bound.
	MaxSessions           int
	MaxSessionsPerAddress int
	// Cookie is set on the first answer of a session.
	Cookie Cookie
	// PollingCompression compresses polling answers of at least CompressionThreshold bytes, where
	// the browser takes it.
	PollingCompression bool
	// WebSocketCompression does the same with messages on WebSockets, and lets browsers do so.
	WebSocketCompression bool
	CompressionThreshold int
	// CloseTimeout is how long a closed polling session waits for the GET that fetches its last
	// packets.
	CloseTimeout time.Duration
	// BodyTimeout bounds the reading of one POST body.
	BodyTimeout time.Duration
	// WriteTimeout bounds how long a browser may take nothing of what is written to it.
	WriteTimeout time.Duration
	// DrainSpread is the time over which Drain closes the sessions, so that they do not all come
	// back at once elsewhere.
	DrainSpread time.Duration
	// DrainSettle is how long Drain leaves sessions open that wait for answers to what they took.
	DrainSettle time.Duration
	// Replica is the beginning of session ids.
	Replica sio.ReplicaID
}

// offers tells whether t is offered.
func (o *Options) offers(t Transport) bool { return slices.Contains(o.Transports, t) }

// deflatable tells whether a message is worth compressing on a WebSocket whose browser takes that.
func (o *Options) deflatable(m Message) bool {
	return !m.NoCompress && len(m.Data) >= o.CompressionThreshold
}

// upgrades are the transports that a session on t can change to.
func (o *Options) upgrades(t Transport) (to []Transport) {
	if t != Polling || !o.AllowUpgrades {
		return nil
	}
	for _, d := range duplexTransports {
		if o.offers(d.name) {
			to = append(to, d.name)
		}
	}
	return to
}

// Message is one message of the application above, in either direction, without anything of
// Engine.IO.
type Message struct {
	Data   []byte
	Binary bool
	// NoCompress asks that the message is not compressed: it would gain nothing. It says nothing of
	// messages from a browser.
	NoCompress bool
}

// Receiver is the application's side of one session.
type Receiver interface {
	// Message takes one message of the browser. It is called in order, from one goroutine at a
	// time. Text is valid UTF-8. The data is the receiver's. Blocking here is back-pressure: the
	// session is not read, and its heartbeat deadline is suspended; Session.Done tells when there
	// is no use in blocking any more.
	Message(data []byte, binary bool)
	// Drain is called at most once, between two Messages, when the server is about to close the
	// session. From then on the receiver takes nothing that it would have to answer; Message is
	// still called, since what was taken before may wait for what the browser says. Each channel is
	// closed when a part of what was taken before is answered, and the answer queued.
	Drain() (open []<-chan struct{})
	// Closed is called once, after the last Message has returned.
	Closed(reason sio.Reason)
}

// Observer counts. It is called by many goroutines at the same time and must not block.
type Observer interface {
	// Opened counts a new session.
	Opened(transport string)
	// Upgraded counts a polling session that became a WebSocket session.
	Upgraded()
	// UpgradeFailed counts an upgrade that was begun and failed.
	UpgradeFailed()
	// Closed counts the end of a session.
	Closed(transport, reason string)
	// Refused counts a request that was rejected, with one of a few causes.
	Refused(cause string)
	// Received counts one message from a browser.
	Received(transport string, bytes int)
	// Sent counts messages to a browser.
	Sent(transport string, messages, bytes int)
	// CutOff counts a session that was closed with ReasonSlowConsumer, with one of a few reasons.
	CutOff(reason string)
	// Outbound counts bytes that are held for browsers which have not taken them, or no longer.
	Outbound(change int)
}

// NopObserver counts nothing.
type NopObserver struct{}

// Opened implements Observer.
func (NopObserver) Opened(string) {}

// Upgraded implements Observer.
func (NopObserver) Upgraded() {}

// UpgradeFailed implements Observer.
func (NopObserver) UpgradeFailed() {}

// Closed implements Observer.
func (NopObserver) Closed(_, _ string) {}

// Refused implements Observer.
func (NopObserver) Refused(string) {}

// Received implements Observer.
func (NopObserver) Received(string, int) {}

// Sent implements Observer.
func (NopObserver) Sent(string, int, int) {}

// CutOff implements Observer.
func (NopObserver) CutOff(string) {}

// Outbound implements Observer.
func (NopObserver) Outbound(int) {}
