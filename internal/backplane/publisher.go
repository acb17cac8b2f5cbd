// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Publisher sends the envelopes of one replica: it numbers them, chooses whom to send a command to,
// and gathers acks. It implements hub.Publisher and dispatch.Others. A program that reads the other
// replicas' envelopes tells it who is there (Joined, Left) and passes it their answers (Answered,
// QueryAnswered).
type Publisher struct {
	backplane Backplane
	self      sio.ReplicaID
	secret    *Secret // nil when the replicas share none
	limit     int
	metrics   *metrics.Backplane
	results   results
	doubt     doubt

	// sending guards the numbering, and is held while an envelope is handed to the backplane, so
	// that numbers and order agree.
	sending sync.Mutex
	streams map[sio.ReplicaID]*position // guarded by sending
	epoch   uint64                      // guarded by sending; the last one given to a stream

	mu       sync.Mutex
	replicas map[sio.ReplicaID]struct{} // guarded by mu; the others
	gathers  map[uint64]*gather         // guarded by mu
	queries  map[uint64]*query          // guarded by mu
	lastID   uint64                     // guarded by mu
}

// NewPublisher makes the publisher of the replica. The secret may be nil. No envelope may be larger
// than maxEnvelope bytes.
func NewPublisher(b Backplane, self sio.ReplicaID, secret *Secret, maxEnvelope int, m *metrics.Backplane) *Publisher {
	return &Publisher{
		backplane: b, self: self, secret: secret, limit: maxEnvelope, metrics: m,
		streams:  make(map[sio.ReplicaID]*position),
		replicas: make(map[sio.ReplicaID]struct{}),
		gathers:  make(map[uint64]*gather),
		queries:  make(map[uint64]*query),
		results:  results{queues: make(map[resultKey][]Result), owed: make(map[sio.ReplicaID]struct{})},
	}
}

// Send sends the body to one replica, or to all others when to is empty. A command that waits here
// for the backplane to come back is an error with ErrKept, since its caller should know;
// anything else that waits is none.
func (p *Publisher) Send(to sio.ReplicaID, body Body) error {
	data, err := encodeBody(body)
	if err == nil && len(data)+headerRoom > p.limit {
		p.metrics.TooLarge.Inc()
		err = sio.E(sio.CodeTooLarge, "publish", fmt.Sprintf("an envelope of %d bytes is more than the %d that replicas exchange: "+
			"raise max-payload or send less at a time", len(data)+headerRoom, p.limit))
	}
	command := isCommand(body)
	if err == nil {
		data, err = p.send(to, data, command)
	}
	kept := errors.Is(err, ErrKept)
	if err != nil && !kept {
		p.metrics.PublishFailures.Inc()
		return err
	}
	p.metrics.Published.Inc()
	p.metrics.PublishedBytes.Add(float64(len(data)))
	if kept && command {
		return err
	}
	return nil
}

func (p *Publisher) send(to sio.ReplicaID, data []byte, command bool) ([]byte, error) {
	seal := p.secret.begin(data)
	p.sending.Lock()
	defer p.sending.Unlock()
	s := p.streams[to]
	if s == nil {
		p.makeRoomLocked()
		p.epoch = max(p.epoch+1, uint64(time.Now().UnixNano()))
		s = &position{epoch: p.epoch}
		p.streams[to] = s
	}
	commands := s.commands
	if command {
		commands++
	}
	header := len(data)
	data = appendHeader(data, &Envelope{Origin: p.self, To: to, Epoch: s.epoch, Sequence: s.sequence + 1, Commands: commands})
	data = p.secret.seal(seal, data, header)
	err := p.backplane.Publish(to, data)
	if err == nil || errors.Is(err, ErrKept) {
		s.sequence++
		s.commands = commands
	} else if sio.CodeOf(err) == sio.CodeUnavailable {
		s.commands = commands // the others shall know that they missed it
	}
	return data, err
}

// makeRoomLocked forgets the numbering of some replica when there are very many: should it live
// yet, its stream gets a new epoch.
func (p *Publisher) makeRoomLocked() {
	if len(p.streams) < maxStreams {
		return
	}
	for replica := range p.streams {
		if replica != "" {
			delete(p.streams, replica)
			return
		}
	}
}

// Sent tells how far the stream to all, and each to a replica that is there, was counted, for the
// heartbeat.
func (p *Publisher) Sent() []Sent {
	others := append(p.others(), "")
	p.sending.Lock()
	defer p.sending.Unlock()
	sent := make([]Sent, 0, len(others))
	for _, r := range others {
		if s := p.streams[r]; s != nil && (s.sequence > 0 || s.commands > 0) {
			sent = append(sent, Sent{Replica: r, Epoch: s.epoch, Sequence: s.sequence, Commands: s.commands})
		}
	}
	return sent
}

// Publish implements hub.Publisher. A command for sockets of one other replica goes to that one
// alone.
func (p *Publisher) Publish(cmd sio.Command) error {
	p.FlushResults()
	to := p.destination(cmd.To())
	return p.partial(to, p.Send(to, &Command{Command: cmd}))
}

// Others implements hub.Publisher.
func (p *Publisher) Others(t *sio.Target) int {
	if p.destination(t) != "" {
		return 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.replicas)
}

// Joined says that the replica is there.
func (p *Publisher) Joined(replica sio.ReplicaID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replicas[replica] = struct{}{}
}

// Left says that the replica has drained; nobody waits for its answers any more.
func (p *Publisher) Left(replica sio.ReplicaID) { p.gone(replica, false) }

// Died says that the replica is gone without a word. Nobody waits for its answers any more, and
// what it was asked it may have done or not.
func (p *Publisher) Died(replica sio.ReplicaID) { p.gone(replica, true) }

func (p *Publisher) gone(replica sio.ReplicaID, silently bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.replicas, replica)
	for _, g := range p.gathers {
		g.left(replica, silently)
	}
	for _, q := range p.queries {
		q.left(replica, silently)
	}
}

// Answered takes a replica's answer to what Ask asked. Answers that nobody waits for do nothing.
func (p *Publisher) Answered(replica sio.ReplicaID, a *GatherAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.gathers[a.ID]; g != nil {
		g.answered(replica, a)
	}
}

// Ask implements hub.Publisher. ctx should have a deadline.
func (p *Publisher) Ask(ctx context.Context, emit *sio.Emit) (collect func() (sio.Acks, error)) {
	p.FlushResults()
	to := p.destination(&emit.Target)
	g, id := p.open(to, emit.CountOnly)
	g.lost = p.lostTrack(to)
	request := &GatherRequest{ID: id, Emit: emit, Timeout: answerTimeout(ctx)}
	if err := p.Send(to, request); err != nil {
		p.close(id)
		return func() (sio.Acks, error) { return sio.Acks{Silent: p.receivers(to)}, p.partial(to, err) }
	}
	return func() (sio.Acks, error) {
		defer p.close(id)
		select {
		case <-g.settled:
		case <-ctx.Done():
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		acks, silent := g.result()
		if len(silent) > 0 {
			p.metrics.GathersFailed.Add(float64(len(silent)))
			return acks, sio.E(sio.CodeDeadline, "gather", fmt.Sprintf("replicas that did not answer: %v", silent))
		}
		return acks, nil
	}
}

func (p *Publisher) open(to sio.ReplicaID, counts bool) (*gather, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := newGather()
	g.counts = counts
	for r := range p.replicas {
		if to == "" || to == r {
			g.expect(r)
		}
	}
	g.settle()
	p.lastID++
	p.gathers[p.lastID] = g
	p.metrics.GathersOpen.Inc()
	return g, p.lastID
}

func (p *Publisher) close(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.gathers, id)
	p.metrics.GathersOpen.Dec()
}

// destination is the only other replica that can have sockets of the target, or empty when that is
// not certain: a room's name may look like the id of a socket without being one.
func (p *Publisher) destination(t *sio.Target) (only sio.ReplicaID) {
	for _, room := range t.Rooms {
		replica, ok := sio.SocketID(room).Replica()
		switch {
		case !ok || only != "" && replica != p.self && replica != only:
			return ""
		case replica != p.self:
			only = replica
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.replicas[only]; !known {
		return ""
	}
	return only
}

func (p *Publisher) others() []sio.ReplicaID {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := make([]sio.ReplicaID, 0, len(p.replicas))
	for r := range p.replicas {
		others = append(others, r)
	}
	slices.Sort(others)
	return others
}

const (
	// longestGather is how long others wait for acks when the emitter set no bound.
	longestGather = 10 * time.Minute
	// answerMargin is how much earlier than the emitter the other replicas stop waiting, at most,
	// so that their answers arrive in time.
	answerMargin = 250 * time.Millisecond
)

// answerTimeout is how long other replicas may wait for acks.
func answerTimeout(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return longestGather
	}
	left := time.Until(deadline)
	return max(left-min(left/10, answerMargin), time.Millisecond)
}
