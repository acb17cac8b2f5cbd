// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A link is one WebSocket that is carried between a browser and the owner of its session: bytes
// both ways, unread.
//
//   - What one side sends is read only as fast as the other takes it, so nothing piles up here, and
//     the owner sees a slow browser as slow.
//   - When one side has sent all, the other is notified, and has a moment to say the rest. When the
//     browser breaks off, so does the link towards the owner; when the owner does, the browser
//     still gets all that the owner had said.
//   - An idle link holds two small buffers; one with much to carry takes a larger one meanwhile.

const (
	smallBuffer = 512
	largeBuffer = 32 << 10
	// lastWords is how long one side may speak on after the other has said all.
	lastWords = 5 * time.Second
	bothWays  = 2
)

type link struct {
	proxyRequest   *proxyRequest
	browser, owner net.Conn
	due            time.Time // when a drain asks the owner next; guarded by Forwarder.mu

	left  atomic.Int32 // directions that are still carried
	ended sync.Once
}

// keep makes a link of two connections, or none when the Forwarder is closed. Until drop, Drain and
// Close know of it.
func (f *Forwarder) keep(e *proxyRequest, browser, owner net.Conn) *link {
	l := &link{proxyRequest: e, browser: browser, owner: owner}
	l.left.Store(bothWays)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.links[l] = struct{}{}
	f.carried.Add(1)
	return l
}

// drop ends a link.
func (f *Forwarder) drop(l *link) {
	l.close()
	f.mu.Lock()
	delete(f.links, l)
	f.mu.Unlock()
	f.carried.Done()
}

// carry carries until both sides have said all. Each goroutine ends with its connections, at the
// latest with Close, which waits for it.
func (f *Forwarder) carry(l *link) {
	f.carried.Go(func() { f.pipe(l, l.owner, l.browser) })
	f.carried.Go(func() { f.pipe(l, l.browser, l.owner) })
}

// pipe carries one way. The one that ends last cleans up.
func (f *Forwarder) pipe(l *link, to, from net.Conn) {
	switch f.transfer(to, from) {
	case nil:
		sayAll(to)
	case l.browser:
		l.reset()
	case l.owner:
		// What it said before is still on its way to the browser, which a connection that is closed
		// with bytes unread would not get.
		endBy := time.Now().Add(lastWords)
		_ = l.owner.SetReadDeadline(endBy)
		if from == l.owner {
			sayAll(l.browser)
		} else if l.browser.SetReadDeadline(endBy) == nil {
			_, _ = io.Copy(io.Discard, l.browser)
		}
	}
	if l.left.Add(-1) == 0 {
		f.drop(l)
		f.leave()
	}
}

// transfer carries one way until there is no more, and tells which side broke, if one did.
func (f *Forwarder) transfer(to, from net.Conn) (broken net.Conn) {
	small := make([]byte, smallBuffer)
	buffer, large := small, (*[largeBuffer]byte)(nil)
	defer func() {
		if large != nil {
			f.buffers.Put(large)
		}
	}()
	var extended time.Time
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			// Deadlines cost a little: one that is new enough stays.
			if now := time.Now(); now.Sub(extended) > f.o.WriteTimeout/8 {
				extended = now
				if to.SetWriteDeadline(now.Add(f.o.WriteTimeout)) != nil {
					return to
				}
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				f.noteStalled(err, to.RemoteAddr().String())
				return to
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return from
		case n == smallBuffer && large == nil:
			large = f.buffers.Get().(*[largeBuffer]byte)
			buffer = large[:]
		case n < smallBuffer && large != nil:
			f.buffers.Put(large)
			buffer, large = small, nil
		}
	}
}

// noteStalled counts and logs a forwarded connection that ends since its receiver took nothing for
// too long. Other errors are no news.
func (f *Forwarder) noteStalled(err error, receiver string) {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	f.metrics.Stalled.Inc()
	if ok, suppressed := f.quiet.Allow("stalled"); ok {
		f.log.Warn("forwarded connection closed: write timed out", "address", receiver,
			"setting", "write-timeout", "suppressed", suppressed)
	}
}

// sayAll tells one side that nothing more comes, and gives it a moment to end, too. One that is
// gone need not be notified.
func sayAll(to net.Conn) {
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	_ = to.SetReadDeadline(time.Now().Add(lastWords))
}

// close ends both connections.
func (l *link) close() {
	l.ended.Do(func() {
		_ = l.browser.Close()
		_ = l.owner.Close()
	})
}

// reset ends both connections, and lets the owner see that the browser's broke.
func (l *link) reset() {
	if tcp, ok := l.owner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	l.close()
}
