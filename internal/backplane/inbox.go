// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

const (
	// maxStreams bounds the streams that an Inbox keeps track of, so that made-up origins cannot fill memory.
	maxStreams = 4096
	// quiet is the time between two log lines about the same kind of trouble; the metrics count each.
	quiet = time.Second
)

// Inbox opens what arrives for a replica. It drops and counts what makes no sense, what comes twice and what is meant for others, and
// notices what was lost. Its methods may be called from several goroutines at a time.
type Inbox struct {
	self    sio.ReplicaID
	metrics *metrics.Backplane
	log     *slog.Logger

	mu      sync.Mutex
	streams map[streamKey]*position // guarded by mu
	said    map[string]time.Time    // guarded by mu; when each kind of trouble was logged last
}

type streamKey struct {
	origin sio.ReplicaID
	alone  bool // the stream to this replica alone; otherwise the one to all
}

// position is how far a stream was read.
type position struct{ epoch, sequence uint64 }

// NewInbox makes the inbox of the replica.
func NewInbox(self sio.ReplicaID, m *metrics.Backplane, log *slog.Logger) *Inbox {
	return &Inbox{self: self, metrics: m, log: log, streams: make(map[streamKey]*position), said: make(map[string]time.Time)}
}

// Open reads an envelope. Lost counts the envelopes of its stream that should have come before it and did not. ok is false when
// the envelope must be ignored; that is counted and said already.
func (i *Inbox) Open(data []byte) (e *Envelope, lost uint64, ok bool) {
	i.metrics.Received.Inc()
	i.metrics.ReceivedBytes.Add(float64(len(data)))
	e, err := Decode(data)
	switch {
	case errors.Is(err, errVersion):
		return i.ignore(i.metrics.IgnoredVersion, "it speaks another revision of the wire")
	case errors.Is(err, errUnknown):
		return i.ignore(i.metrics.IgnoredUnknown, "its kind is not known")
	case err != nil:
		return i.ignore(i.metrics.IgnoredGarbage, "it makes no sense")
	case e.Origin == i.self || e.To != "" && e.To != i.self:
		return i.ignore(i.metrics.IgnoredForeign, "it is not for this replica")
	}
	lost, repeated := i.advance(streamKey{e.Origin, e.To != ""}, e.Epoch, e.Sequence)
	if repeated {
		return i.ignore(i.metrics.IgnoredRepeated, "it came before")
	}
	return e, lost, true
}

// Missing counts the envelopes that the origin, in its heartbeat, says it sent to this replica alone and that have not come.
func (i *Inbox) Missing(origin sio.ReplicaID, sent []Sent) (lost uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range sent {
		if s.Replica == i.self {
			lost += i.reachLocked(streamKey{origin, true}, s.Epoch, s.Sequence)
		}
	}
	return lost
}

// Forget drops what is known of the origin's streams.
func (i *Inbox) Forget(origin sio.ReplicaID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.streams, streamKey{origin, true})
	delete(i.streams, streamKey{origin, false})
}

func (i *Inbox) ignore(counter metrics.Counter, why string) (*Envelope, uint64, bool) {
	counter.Inc()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mayLogLocked(why) {
		i.log.Warn("an envelope was ignored", "why", why)
	}
	return nil, 0, false
}

func (i *Inbox) advance(key streamKey, epoch, sequence uint64) (lost uint64, repeated bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := i.streams[key]; at != nil && (epoch < at.epoch || epoch == at.epoch && sequence <= at.sequence) {
		return 0, true
	}
	lost = i.reachLocked(key, epoch, sequence-1)
	i.streams[key].sequence = sequence
	return lost, false
}

// reachLocked moves the stream's position to the sequence at least, and counts what it passes over. The stream to all is met in the
// middle of its life; the one to this replica alone begins with it.
func (i *Inbox) reachLocked(key streamKey, epoch, sequence uint64) (lost uint64) {
	at := i.streams[key]
	switch {
	case at == nil:
		i.makeRoomLocked()
		at = &position{epoch: epoch}
		i.streams[key] = at
		if !key.alone {
			at.sequence = sequence
		}
	case epoch < at.epoch:
		return 0
	case epoch > at.epoch:
		at.epoch, at.sequence = epoch, 0
	}
	if sequence <= at.sequence {
		return 0
	}
	lost = sequence - at.sequence
	at.sequence = sequence
	i.metrics.Gaps.Inc()
	i.metrics.Lost.Add(float64(lost))
	if i.mayLogLocked("lost") {
		i.log.Warn("the backplane lost envelopes: sockets here may have missed events", "origin", key.origin, "lost", lost)
	}
	return lost
}

func (i *Inbox) makeRoomLocked() {
	if len(i.streams) < maxStreams {
		return
	}
	for key := range i.streams { // any will do: so many origins are never all real
		delete(i.streams, key)
		return
	}
}

func (i *Inbox) mayLogLocked(trouble string) bool {
	now := time.Now()
	if last, ok := i.said[trouble]; ok && now.Sub(last) < quiet {
		return false
	}
	i.said[trouble] = now
	return true
}
