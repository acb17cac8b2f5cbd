// SPDX-License-Identifier: Apache-2.0

// Package wsconn is one WebSocket connection, fully owned: who holds a Conn needs to know nothing
// of frames, control frames or sockets. It is called by engineio and by the raw echo server; it
// knows neither Engine.IO nor any other protocol above WebSocket.
//
// The handshake and the reading of frames are gorilla/websocket's. The writing is ours: gorilla
// gets a net.Conn of ours, so that all that it writes itself goes through the same outbound queue
// and nothing interleaves.
package wsconn

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/edge/budget"
	"github.com/spanwire/spanwire/internal/hijack"
)

// Options says how connections behave. The zero value of each field stands for its default.
type Options struct {
	// MaxMessage is the largest message that is read, in bytes; a larger one closes with 1009.
	// Default 1,000,000.
	MaxMessage int64
	// TooLarge is the text of the close frame for a larger message, at most 123 bytes. Default
	// none.
	TooLarge string
	// MaxFragments bounds, about, the frames that one message may be split over, control frames in
	// between included; more close with 1008. Default 1,024.
	MaxFragments int
	// MaxPings is how many pings a second are answered; the rest is ignored. Default 100.
	MaxPings int
	// MaxOutbound bounds the bytes that wait for the peer. Default 128 MiB.
	MaxOutbound int
	// Budget counts what waits for peers that take no more. Default none.
	Budget *budget.Budget
	// WriteTimeout ends a connection whose peer takes nothing of what waits for it for so long.
	// Default 20 s.
	WriteTimeout time.Duration
	// CloseTimeout bounds the wait for the peer's part of the close. Default 2 s.
	CloseTimeout time.Duration
	// ReadBuffer is the size of the buffer that each connection keeps, in bytes, at least 257.
	// Default 512.
	ReadBuffer int
	// Deflate lets the peer and this side compress messages, when the peer offers it. Messages
	// count with their inflated size.
	Deflate bool
	birth   time.Time // of the upgrader: what its connections' times count from

	// Refuse answers a request that is no proper WebSocket handshake, or whose client did not wait
	// for its answer: then the error is hijack.ErrEarly. Default: http.Error with the status.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, err error)
}

const (
	defaultMaxMessage   = 1_000_000
	defaultMaxFragments = 1024
	defaultMaxPings     = 100
	defaultMaxOutbound  = 128 << 20
	defaultWriteTimeout = 20 * time.Second
	defaultCloseTimeout = 2 * time.Second
	defaultReadBuffer   = 512
	minReadBuffer       = 257 // gorilla takes over a buffer from this size on
)

// withDefaults is a copy of o without zeros.
func (o Options) withDefaults() *Options {
	fill(&o.MaxMessage, defaultMaxMessage)
	fill(&o.MaxFragments, defaultMaxFragments)
	fill(&o.MaxPings, defaultMaxPings)
	fill(&o.MaxOutbound, defaultMaxOutbound)
	fill(&o.WriteTimeout, defaultWriteTimeout)
	fill(&o.CloseTimeout, defaultCloseTimeout)
	fill(&o.ReadBuffer, defaultReadBuffer)
	o.ReadBuffer = max(o.ReadBuffer, minReadBuffer)
	o.birth = time.Now()
	return &o
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Upgrader makes connections of requests.
type Upgrader struct {
	o        *Options
	upgrader websocket.Upgrader
}

// NewUpgrader makes an Upgrader.
func NewUpgrader(o Options) *Upgrader {
	return &Upgrader{
		o: o.withDefaults(),
		upgrader: websocket.Upgrader{
			// The origin is the caller's to check, before.
			CheckOrigin:       func(*http.Request) bool { return true },
			Error:             refuse(o.Refuse),
			EnableCompression: o.Deflate,
			// With a pool gorilla keeps no write buffer; it never takes one from it, since all
			// messages are framed here.
			WriteBufferPool: new(sync.Pool),
		},
	}
}

// refuse answers a client that did not wait on the connection that was taken over.
func refuse(o func(w http.ResponseWriter, r *http.Request, status int, err error)) func(http.ResponseWriter, *http.Request, int, error) {
	if o == nil {
		o = func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			w.Header().Set("Sec-Websocket-Version", "13")
			http.Error(w, http.StatusText(status), status)
		}
	}
	return func(w http.ResponseWriter, r *http.Request, status int, err error) {
		if h, ok := w.(*hijacker); ok && h.answer != nil {
			o(h.answer, r, http.StatusBadRequest, hijack.ErrEarly)
			return
		}
		o(w, r, status, err)
	}
}

// Conn is one connection. Read and Finish belong to one goroutine, the reader; all other methods
// may be called by anyone at the same time, and none of them blocks.
type Conn struct {
	// Fixed at birth.
	o    *Options
	ws   *websocket.Conn
	sock net.Conn
	// nil where only the on-demand writer may write: TLS, and systems without it
	raw      syscall.RawConn
	in       *bufio.Reader // gorilla reads from it
	deflates bool

	// Owned by the reader.
	meter   meter
	pings   window
	pongDue bool

	touched atomic.Int64 // when bytes last went either way, since the upgrader's birth

	outbound
}

// touch takes note of bytes that went either way. It is called once for each read or write of the
// socket.
func (c *Conn) touch() { c.touched.Store(int64(time.Since(c.o.birth))) }

// Idle is the time since bytes last went either way.
func (c *Conn) Idle() time.Duration { return time.Since(c.o.birth) - time.Duration(c.touched.Load()) }

// Upgrade answers r with 101 and takes its connection over, or refuses it and says why. The answer
// leaves with the first Flush, in one write with what was queued until then. The first subprotocol
// that the client offers is accepted. Cookies that were set on w go with the answer.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	c := &Conn{o: u.o}
	var header http.Header
	if offered := websocket.Subprotocols(r); len(offered) > 0 {
		header = http.Header{"Sec-Websocket-Protocol": offered[:1]}
	}
	if cookies := w.Header()["Set-Cookie"]; len(cookies) > 0 {
		if header == nil {
			header = make(http.Header)
		}
		header["Set-Cookie"] = cookies
	}
	if u.o.Deflate {
		r = withoutNarrowWindows(r)
	}
	h := &hijacker{ResponseWriter: w, c: c}
	ws, err := u.upgrader.Upgrade(h, r, header)
	if h.answer != nil {
		h.answer.Close()
	}
	if err != nil {
		c.Abort()
		return nil, err
	}
	c.ws = ws
	// nobody else knows the connection yet
	c.deflates = u.o.Deflate && bytes.Contains(c.first.own, acceptedDeflate)
	c.meter.deflated = c.deflates
	ws.SetReadLimit(u.o.MaxMessage)
	ws.SetPingHandler(c.pinged)
	ws.SetPongHandler(c.ponged)
	ws.SetCloseHandler(c.peerCloses)
	return c, nil
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }
