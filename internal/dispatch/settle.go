// SPDX-License-Identifier: Apache-2.0

package dispatch

import "sync/atomic"

// A replica that drains closes a browser's session when the services have answered what they were
// given of it. A result closes its dispatch under the service's lock and is concluded after that,
// so an idle lane alone does not say that its acks were queued: the next Flush of each attachment
// that has results on their way does.

// settlement is the wait for one socket's services.
type settlement struct {
	// lanes that are busy and attachments that have yet to flush, and one for the goroutine that
	// counts them
	parts atomic.Int64
	done  chan struct{}
}

func (w *settlement) leave() {
	if w.parts.Add(-1) == 0 {
		close(w.done)
	}
}

// Settled gives a channel that is closed when all that the services were given of the socket has
// ended and its acks were queued. It is nil when that is so. What waits for a service that is away
// is not waited for. Nothing of the socket may be given meanwhile.
func (b *Binding) Settled() <-chan struct{} {
	b.mu.Lock()
	lanes := b.lanesLocked()
	b.mu.Unlock()
	w := &settlement{done: make(chan struct{})}
	w.parts.Store(1)
	for _, l := range lanes {
		l.service.mu.Lock()
		l.service.settleLocked(l, w)
		l.service.mu.Unlock()
	}
	if w.parts.Add(-1) == 0 {
		return nil
	}
	return w.done
}

func (s *service) settleLocked(l *lane, w *settlement) {
	if !l.busyLocked() {
		s.awaitFlushesLocked(w)
		return
	}
	if s.settling == nil {
		s.settling = make(map[*lane]*settlement)
	}
	w.parts.Add(1)
	s.settling[l] = w
}

// busyLocked tells whether an instance has something of the socket, or will be given it.
func (l *lane) busyLocked() bool { return l.open > 0 || l.queue.len > 0 && l.at != nil }

// settledLocked follows the end of a dispatch of the lane.
func (s *service) settledLocked(l *lane) {
	w := s.settling[l]
	if w == nil || l.busyLocked() {
		return
	}
	delete(s.settling, l)
	s.awaitFlushesLocked(w)
	w.leave()
}

// resettleLocked looks at all lanes that are waited for: some may have lost their last instance.
func (s *service) resettleLocked() {
	for l := range s.settling {
		s.settledLocked(l)
	}
}

// awaitFlushesLocked lets the settlement wait for the results that were taken and may not have been
// concluded.
func (s *service) awaitFlushesLocked(w *settlement) {
	for _, a := range s.unflushed {
		w.parts.Add(1)
		a.settling = append(a.settling, w)
	}
}

// unflushedLocked notes that a result is on its way.
func (a *Attachment) unflushedLocked() {
	if !a.unflushed {
		a.unflushed = true
		a.service.unflushed = append(a.service.unflushed, a)
	}
}

// flushedLocked notes that all results before were concluded.
func (a *Attachment) flushedLocked() {
	if !a.unflushed {
		return
	}
	a.unflushed = false
	s := a.service
	for i, other := range s.unflushed {
		if other == a {
			last := len(s.unflushed) - 1
			s.unflushed[i], s.unflushed[last] = s.unflushed[last], nil
			s.unflushed = s.unflushed[:last]
			break
		}
	}
	for _, w := range a.settling {
		w.leave()
	}
	a.settling = nil
}
