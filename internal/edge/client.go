// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"slices"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// The rules of a client:
//
//	connect to a namespace that is neither joined nor pending   a new socket, pending until the
//	                                                            services have decided
//	anything else in a namespace that is not joined             the session closes with
//	                                                            ReasonForcedClose
//	...but the server has just disconnected it there            dropped: it was on its way
//	a packet that cannot be read                                the session closes with
//	                                                            ReasonForcedClose
//	no namespace joined for ConnectTimeout                      the session closes with
//	                                                            ReasonForcedServerClose
//	a connect or an event while the server drains               dropped: nobody would answer it
//	the session ends, for whatever reason                       every socket ends with the same
//	                                                            reason

// client is one session and the sockets on it.
type client struct {
	// fixed at birth
	server  *Server
	session *engineio.Session

	// owned by the goroutine in Message
	decoder  socketio.Decoder
	connects bucket
	events   bucket
	held     int  // bytes counted in server.unfinished
	broken   bool // a rule was broken: what still comes is not looked at
	draining bool // nothing that is to be answered is taken

	mu      sync.Mutex // guards the fields below
	sockets []*Socket  // pending and joined; few
	// left by the server's word since the browser's last connect there
	left    map[sio.Namespace]struct{}
	joined  int32
	lonely  *time.Timer // rings when no namespace was joined for too long
	overdue *time.Timer // rings when attachments are
	// the session is being closed by this side: what still comes is not looked at
	sentenced bool
	closed    bool
}

func newClient(s *Server, session *engineio.Session) *client {
	c := &client{server: s, session: session, decoder: socketio.Decoder{Limits: &s.limits}}
	c.mu.Lock()
	c.armLocked(&c.lonely, s.options.ConnectTimeout, c.tooLonely)
	c.mu.Unlock()
	if session.Handshake().EngineProtocol == engineProtocol4 {
		c.decoder.Protocol4 = true
		c.connectUnasked()
	}
	return c
}

// Message implements engineio.Receiver.
func (c *client) Message(data []byte, binary bool) {
	if c.broken {
		return
	}
	p, complete, err := c.decode(data, binary)
	if err != nil {
		c.breakOff(err, data, binary)
		return
	}
	if c.draining && p.Type != socketio.Ack && p.Type != socketio.BinaryAck && p.Type != socketio.Disconnect {
		c.server.metrics.DrainedPackets.Inc()
		return
	}
	if p.Type == socketio.Connect {
		c.connect(&p, data)
		return
	}
	if binary && !complete {
		return // the socket was looked for when the head came
	}
	s, late := c.find(p.Namespace)
	switch {
	case late:
		c.server.metrics.LatePackets.Inc()
	case s == nil || p.Type == socketio.ConnectError:
		c.violate(causeState, message{data, binary, &p})
	case !complete:
	case c.tooFast(&p):
		c.violate(causeEventRate, message{data, binary, &p})
	default:
		s.take(&p)
	}
}

// decode reads one message and keeps account of what is unfinished.
func (c *client) decode(data []byte, binary bool) (p socketio.Packet, complete bool, err error) {
	waited := c.decoder.Waiting()
	if binary {
		p, complete, err = c.decoder.Binary(data)
	} else {
		p, complete, err = c.decoder.Text(data)
	}
	switch waits := c.decoder.Waiting(); {
	case err != nil:
	case waits:
		if !c.hold(len(data)) {
			return p, false, errUnfinished
		}
		if !waited {
			c.expectAttachments()
		}
	case waited:
		c.release()
		c.mu.Lock()
		disarmLocked(&c.overdue)
		c.mu.Unlock()
	}
	return p, complete, err
}

// hold counts bytes of an unfinished packet and tells whether there is room for them.
func (c *client) hold(n int) bool {
	c.held += n
	c.server.metrics.Incomplete.Add(float64(n))
	return c.server.unfinished.Add(int64(n)) <= c.server.options.MaxUnfinished
}

func (c *client) release() {
	c.server.unfinished.Add(-int64(c.held))
	c.server.metrics.Incomplete.Sub(float64(c.held))
	c.held = 0
}

// tooFast counts an event and tells whether there were too many.
func (c *client) tooFast(p *socketio.Packet) bool {
	rate := c.server.options.MaxEventRate
	if rate == 0 || p.Type != socketio.Event && p.Type != socketio.BinaryEvent {
		return false
	}
	return !c.events.take(time.Since(c.server.birth), rate, rate)
}

// find gives the socket that is joined to the namespace; late tells that a packet for it was on its
// way when it was disconnected.
func (c *client) find(ns sio.Namespace) (s *Socket, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s = c.findLocked(ns); s != nil && s.joined() {
		return s, false
	}
	_, late = c.left[ns]
	return nil, late || c.sentenced
}

func (c *client) findLocked(ns sio.Namespace) *Socket {
	for _, s := range c.sockets {
		if s.namespace == ns {
			return s
		}
	}
	return nil
}

// connect makes a socket and asks the services.
func (c *client) connect(p *socketio.Packet, data []byte) {
	if o := &c.server.options; !c.connects.take(time.Since(c.server.birth), o.MaxNamespaces, o.ConnectRate) {
		c.violate(causeConnectRate, message{data: data})
		return
	}
	c.mu.Lock()
	cause := ""
	switch {
	case c.sentenced:
		c.mu.Unlock()
		return
	case c.findLocked(p.Namespace) != nil:
		cause = causeConnectTwice
	case len(c.sockets) >= c.server.options.MaxNamespaces:
		cause = causeNamespaces
	}
	if cause != "" {
		c.mu.Unlock()
		c.violate(cause, message{data: data})
		return
	}
	delete(c.left, p.Namespace)
	c.mu.Unlock()
	s := newSocket(c, p) // it may have to end the socket that it comes back for
	c.add(s)
	s.ask()
}

// add takes a new socket in. When the session was sentenced meanwhile, the socket ends with the
// others.
func (c *client) add(s *Socket) {
	c.mu.Lock()
	sentenced := c.sentenced
	c.sockets = append(c.sockets, s)
	c.mu.Unlock()
	if sentenced {
		s.kick()
	}
}

// join counts a socket that was accepted. The session is not lonely any more.
func (c *client) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined++
	disarmLocked(&c.lonely)
}

// remove forgets a socket. When it was the last that was joined, the session is lonely again. With
// late, packets for it may still be on their way.
func (c *client) remove(s *Socket, joined, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.sockets, s)
	if i < 0 {
		return // the session is closed
	}
	c.sockets = slices.Delete(c.sockets, i, i+1)
	if late && len(c.left) < c.server.options.MaxNamespaces {
		if c.left == nil {
			c.left = make(map[sio.Namespace]struct{}, 1)
		}
		c.left[s.namespace] = struct{}{}
	}
	if !joined {
		return
	}
	if c.joined--; c.joined == 0 && !c.closed {
		c.armLocked(&c.lonely, c.server.options.ConnectTimeout, c.tooLonely)
	}
}

// disconnectAll ends every socket by the server's word, and the session after what is queued.
func (c *client) disconnectAll() {
	c.mu.Lock()
	c.sentenced = true
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, s := range sockets {
		s.kick()
	}
	c.session.Close(sio.ReasonForcedServerClose)
}

// Drain implements engineio.Receiver. What handlers ask of the browser is still answered, since
// they may need it for their own answers.
func (c *client) Drain() (open []<-chan struct{}) {
	c.draining = true
	c.mu.Lock()
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, s := range sockets {
		if settled := s.settled(); settled != nil {
			open = append(open, settled)
		}
	}
	return open
}

// Closed implements engineio.Receiver.
func (c *client) Closed(reason sio.Reason) {
	c.mu.Lock()
	c.closed = true
	sockets := c.sockets
	c.sockets = nil
	disarmLocked(&c.lonely)
	disarmLocked(&c.overdue)
	c.mu.Unlock()
	for _, s := range sockets {
		s.leave(reason)
	}
	c.release()
}

func (c *client) expectAttachments() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armLocked(&c.overdue, c.server.options.AttachmentTimeout, c.attachmentsOverdue)
}

func (c *client) tooLonely() {
	c.server.metrics.ConnectTimeouts.Inc()
	c.session.CloseNoted(sio.ReasonForcedServerClose, noticeLonely)
}

func (c *client) attachmentsOverdue() {
	c.closeFor(causeOverdue, message{})
}

// armLocked sets a timer. It runs on the runtime's goroutine and ends by itself; a setting that was
// changed meanwhile does not ring.
func (c *client) armLocked(timer **time.Timer, d time.Duration, ring func()) {
	disarmLocked(timer)
	if c.closed {
		return
	}
	var set *time.Timer
	set = time.AfterFunc(d, func() {
		c.mu.Lock()
		due := *timer == set
		if due {
			*timer = nil
		}
		c.mu.Unlock()
		if due {
			ring()
		}
	})
	*timer = set
}

func disarmLocked(timer **time.Timer) {
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
}

// bucket lets connects or events through at a rate. It is small, since every client has two.
type bucket struct {
	// milliseconds since the server began; after weeks without a take they may have come round, and
	// the bucket is not full again
	at    uint32
	spent float32 // of size
}

// take tells whether there is room for one more.
func (b *bucket) take(now time.Duration, size, rate int) bool {
	const second = 1000
	ms := uint32(now.Milliseconds())
	b.spent = max(0, b.spent-float32(ms-b.at)/second*float32(rate)) + 1
	b.at = ms
	return b.spent <= float32(size)
}
