// SPDX-License-Identifier: Apache-2.0

package wsconn

import "time"

// watch looks from time to time whether the peer takes anything while a goroutine may block for it,
// and closes the connection when it has taken nothing for WriteTimeout. What counts is what the
// peer has acknowledged, where the system tells: its buffers are large, and a slow link would seem
// to be stalled while they drain.
type watch struct {
	c     *Conn
	timer *time.Timer

	// Owned by the timer.
	delivered int64
	since     time.Time
}

// looks is how often a peer is looked at within WriteTimeout.
const looks = 4

func (c *Conn) watch() *watch {
	w := &watch{c: c, delivered: c.delivered(), since: time.Now()}
	w.timer = time.AfterFunc(c.o.WriteTimeout/looks, w.look)
	return w
}

// stop ends the watch. A look that is under way finds none stalled, or another, which it
// leaves alone.
func (w *watch) stop() {
	w.c.mu.Lock()
	w.timer.Stop()
	w.timer = nil
	w.c.mu.Unlock()
}

func (w *watch) look() {
	c, now := w.c, time.Now()
	delivered := c.delivered()
	if delivered != w.delivered {
		w.delivered, w.since = delivered, now
	}
	c.mu.Lock()
	switch {
	case w.timer == nil || c.dead:
		c.mu.Unlock()
	case now.Sub(w.since) < c.o.WriteTimeout:
		w.timer.Reset(c.o.WriteTimeout / looks)
		c.mu.Unlock()
	default:
		c.slow, c.dead = true, true
		c.mu.Unlock()
		c.Abort()
	}
}

// delivered is how many bytes the peer has taken, ever.
func (c *Conn) delivered() int64 { return c.taken.Load() - int64(c.unacknowledged()) }

// Outstanding tells how many bytes the peer has not taken, those that the system has taken for it
// too, and how many it has taken.
func (c *Conn) Outstanding() (bytes int, delivered int64) {
	waits := c.unacknowledged()
	delivered = c.taken.Load() - int64(waits)
	c.mu.Lock()
	defer c.mu.Unlock()
	return waits + c.queued, delivered
}

// Backlog tells how many bytes wait since the socket takes no more, and a count that changes when
// the peer takes some.
func (c *Conn) Backlog() (bytes int, delivered int64) {
	c.mu.Lock()
	if c.stalled && !c.dead {
		bytes = c.queued
	}
	c.mu.Unlock()
	if bytes == 0 {
		return 0, 0
	}
	return bytes, c.delivered()
}
