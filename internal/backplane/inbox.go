// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// maxStreams bounds the streams that an Inbox keeps track of, so that made-up origins cannot fill
// memory.
const maxStreams = 4096

// Inbox opens what arrives for a replica. It drops and counts what makes no sense, what is not
// authenticated, what comes twice and what is meant for others, and notices what was lost. Its
// methods may be called from several goroutines at a time.
type Inbox struct {
	self    sio.ReplicaID
	secret  *Secret // nil when the replicas share none
	metrics *metrics.Backplane
	log     *slog.Logger
	quiet   loglimit.ByReason
	rarely  loglimit.ByReason

	question atomic.Uint64 // what an origin that is met must answer

	mu      sync.Mutex
	streams map[streamKey]*position // guarded by mu
}

type streamKey struct {
	origin sio.ReplicaID
	alone  bool // the stream to this replica alone; otherwise the one to all
}

// position is how far a stream was read.
type position struct {
	epoch, sequence uint64
	commands        uint64
	// the origin said that it leaves: kept so that nothing old of it is taken for new
	left bool
}

// Loss is what is known to be lost of one stream.
type Loss struct {
	Envelopes uint64
	// Commands counts those among them that must not be missed. Unproven says that nobody can tell
	// whether there were any.
	Commands uint64
	Unproven bool
}

// Missed tells whether sockets here may have missed something.
func (l Loss) Missed() bool { return l.Commands > 0 || l.Unproven }

func (l Loss) plus(x Loss) Loss {
	return Loss{l.Envelopes + x.Envelopes, l.Commands + x.Commands, l.Unproven || x.Unproven}
}

// NewInbox makes the inbox of the replica. The secret may be nil.
func NewInbox(self sio.ReplicaID, secret *Secret, m *metrics.Backplane, log *slog.Logger) *Inbox {
	return &Inbox{
		self: self, secret: secret, metrics: m, log: log, streams: make(map[streamKey]*position),
		quiet: loglimit.ByReason{PerSecond: 1}, rarely: loglimit.ByReason{PerSecond: 1, Window: time.Minute},
	}
}

// Open reads an envelope. Lost tells what should have come on its stream before it and did not. ok
// is false when the envelope must be ignored; that is counted and said already.
func (i *Inbox) Open(data []byte) (e *Envelope, lost Loss, ok bool) {
	i.metrics.Received.Inc()
	i.metrics.ReceivedBytes.Add(float64(len(data)))
	if i.secret != nil {
		if sealed, genuine := i.secret.verify(data); !genuine {
			return i.reject(data, sealed)
		}
		data = data[:len(data)-len(mark)-macLength]
	}
	e, err := Decode(data)
	switch {
	case errors.Is(err, errVersion):
		return i.ignore(i.metrics.IgnoredVersion, "it speaks another revision of the wire")
	case errors.Is(err, errUnknown):
		return i.ignore(i.metrics.IgnoredUnknown, "its kind is not known")
	case err != nil:
		return i.ignore(i.metrics.IgnoredMalformed, "it makes no sense")
	case e.Origin == i.self || e.To != "" && e.To != i.self:
		return i.ignore(i.metrics.IgnoredForeign, "it is not for this replica")
	case i.secret == nil && e.sealed:
		return i.reject(data, true)
	}
	if i.secret != nil && !i.introduced(e.Origin) {
		h, ok := e.Body.(*Heartbeat)
		if !ok {
			return i.ignore(i.metrics.IgnoredUnproven, "its origin has not proven yet that it is there now")
		}
		if h.Answers == 0 || h.Answers != i.question.Load() {
			e.Unproven = true
			return e, Loss{}, true
		}
	}
	lost, repeated := i.advance(streamKey{e.Origin, e.To != ""}, e)
	if repeated {
		return i.ignore(i.metrics.IgnoredRepeated, "it came before")
	}
	return e, lost, true
}

// Ask sets the question that an origin which is not known yet must answer, in a heartbeat, before
// anything of it is believed.
func (i *Inbox) Ask(question uint64) { i.question.Store(question) }

// introduced reports whether anything of the origin was believed before.
func (i *Inbox) introduced(origin sio.ReplicaID) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.streams[streamKey{origin, true}] != nil || i.streams[streamKey{origin, false}] != nil
}

// reject drops an envelope that is not authenticated. The origin that it names is logged as a
// hint: anyone can have written it.
func (i *Inbox) reject(data []byte, sealed bool) (*Envelope, Loss, bool) {
	i.metrics.IgnoredUnauthenticated.Inc()
	reason := "it carries no authentication code: that replica has no cluster-secret, or an unauthenticated program publishes on this NATS"
	switch {
	case i.secret == nil:
		reason = "it carries an authentication code: that replica has a cluster-secret, and this one has none"
	case sealed:
		reason = "its authentication code is wrong: that replica has another cluster-secret"
	}
	if ok, suppressed := i.rarely.Allow(reason); ok {
		origin := sio.ReplicaID("unknown")
		if e, err := Decode(data); err == nil {
			origin = e.Origin
		}
		i.log.Warn("unauthenticated envelope rejected: all replicas need the same secret", "reason", reason, "peer", origin,
			"setting", "cluster-secret", "suppressed", suppressed)
	}
	return nil, Loss{}, false
}

// Missing tells what the origin, in its heartbeat or its bye, says it sent to this replica or to
// all and what has not come.
func (i *Inbox) Missing(origin sio.ReplicaID, sent []Sent) (alone, all Loss) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range sent {
		switch s.Replica {
		case i.self:
			alone = alone.plus(i.reachLocked(streamKey{origin, true}, s.Epoch, s.Sequence, s.Commands))
		case "":
			all = all.plus(i.reachLocked(streamKey{origin, false}, s.Epoch, s.Sequence, s.Commands))
		}
	}
	return alone, all
}

// Left says that the origin is gone for good. What is known of its streams is kept while there is
// room: an envelope of it that comes once more is none.
func (i *Inbox) Left(origin sio.ReplicaID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, alone := range []bool{true, false} {
		if at := i.streams[streamKey{origin, alone}]; at != nil {
			at.left = true
		}
	}
}

func (i *Inbox) ignore(counter metrics.Counter, why string) (*Envelope, Loss, bool) {
	counter.Inc()
	if ok, suppressed := i.quiet.Allow(why); ok {
		i.log.Warn("envelope ignored", "reason", why, "suppressed", suppressed)
	}
	return nil, Loss{}, false
}

func (i *Inbox) advance(key streamKey, e *Envelope) (lost Loss, repeated bool) {
	before := e.Commands
	if before > 0 && isCommand(e.Body) {
		before--
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := i.streams[key]; at != nil && (at.left || e.Epoch < at.epoch || e.Epoch == at.epoch && e.Sequence <= at.sequence) {
		return Loss{}, true
	}
	lost = i.reachLocked(key, e.Epoch, e.Sequence-1, before)
	at := i.streams[key]
	at.sequence, at.commands = e.Sequence, e.Commands
	return lost, false
}

// reachLocked moves the stream's position to the numbers at least, and tells what it passes over.
// The stream to all is met in the middle of its life, and nobody knows what came before; the one to
// this replica alone begins with it.
func (i *Inbox) reachLocked(key streamKey, epoch, sequence, commands uint64) (lost Loss) {
	at := i.streams[key]
	switch {
	case at == nil:
		i.makeRoomLocked()
		at = &position{epoch: epoch}
		i.streams[key] = at
		if !key.alone {
			at.sequence, at.commands = sequence, commands
			return Loss{Unproven: commands > 0}
		}
	case at.left || epoch < at.epoch:
		return Loss{}
	case epoch > at.epoch:
		// The counts of the old one are no longer announced.
		*at = position{epoch: epoch}
		lost.Unproven = true
	}
	if commands > at.commands {
		lost.Commands = commands - at.commands
		at.commands = commands
	}
	if sequence > at.sequence {
		lost.Envelopes = sequence - at.sequence
		at.sequence = sequence
	}
	if lost.Envelopes == 0 && lost.Commands == 0 {
		return lost
	}
	i.metrics.Gaps.Inc()
	i.metrics.Lost.Add(float64(lost.Envelopes))
	if ok, suppressed := i.quiet.Allow("lost"); ok {
		i.log.Warn("backplane lost envelopes; local sockets may have missed events", "peer", key.origin, "count", lost.Envelopes,
			"commands", lost.Commands, "suppressed", suppressed)
	}
	return lost
}

// makeRoomLocked forgets a stream when there are very many: one whose origin has left if that can
// be, or else any, since so many origins are never all real.
func (i *Inbox) makeRoomLocked() {
	if len(i.streams) < maxStreams {
		return
	}
	var some streamKey
	for key, at := range i.streams {
		some = key
		if at.left {
			break
		}
	}
	delete(i.streams, some)
}
