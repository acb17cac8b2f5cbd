// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// doubt is whether the other replicas and this one have missed something of each other. A loss of
// the link raises it: this replica then asks those that were there, and believes that nothing is
// missing of one that answered, since its numbers are checked with the answer. One that does not
// answer in time may have sent anything.
//
// While there is doubt, commands are answered as delivered in part, and no socket is recovered.
// Mesh.changing guards it.
type doubt struct {
	losses  uint64        // of the backplane, when it was last looked at
	hello   atomic.Uint64 // identifies the question; written under changing
	awaited map[sio.ReplicaID]struct{}
	asked   time.Time // since when the question can be answered; zero while the link is down
}

// Reasons for gaps that are logged.
const (
	gapLost     = "envelopes were lost"
	gapUnproven = "what a replica sent before cannot be known"
	gapDied     = "a replica fell silent, and did not say how much it had sent"
)

// silence is after which a replica is not known to hear this one, although it is not taken for dead
// yet.
func (o *Options) silence() time.Duration { return (o.Interval + o.Dead) / 2 }

// linkChanged follows a loss of the link to the others, and its return.
func (m *Mesh) linkChanged() {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.lookLocked()
	m.askLocked()
}

// lookLocked raises doubt when the link was lost since the last look.
func (m *Mesh) lookLocked() {
	if losses := m.backplane.Losses(); losses != m.doubt.losses {
		m.doubt.losses = losses
		m.suspectLocked()
	}
}

// suspectLocked raises doubt of every replica that is there.
func (m *Mesh) suspectLocked() {
	for id := range m.members {
		m.doubt.awaited[id] = struct{}{}
	}
	m.newQuestion() // what answers an earlier one settles nothing
	m.doubt.asked = time.Time{}
	m.tellDoubtLocked()
}

// newQuestion begins a question that nobody can have answered before.
func (m *Mesh) newQuestion() {
	var id [8]byte
	_, _ = rand.Read(id[:])                        // it never fails
	question := binary.BigEndian.Uint64(id[:]) | 1 // zero answers nothing
	m.doubt.hello.Store(question)
	m.inbox.Ask(question)
}

// askLocked asks those that are awaited whether they are there. It is repeated until all have
// answered or were given up.
func (m *Mesh) askLocked() {
	if m.backplane.Healthy() != nil {
		m.doubt.asked = time.Time{}
		return
	}
	if m.doubt.asked.IsZero() {
		m.doubt.asked = time.Now()
	}
	m.beat("", true, 0)
}

// answeredLocked takes the answer of a replica, whose numbers have been checked.
func (m *Mesh) answeredLocked(origin sio.ReplicaID, answers uint64) {
	if answers == m.doubt.hello.Load() {
		delete(m.doubt.awaited, origin)
	}
	m.tellDoubtLocked()
}

// settleLocked gives up on replicas that had the time in which a silent one is taken for dead.
func (m *Mesh) settleLocked(now time.Time) {
	if d := &m.doubt; !d.asked.IsZero() && now.Sub(d.asked) >= m.options.Dead {
		for id := range d.awaited {
			delete(d.awaited, id)
			m.gap(id, gapDied, backplane.Loss{Unproven: true})
		}
	}
	m.tellDoubtLocked()
}

// diedLocked follows a replica that fell silent. While the link is in doubt the silence may be this
// one's own.
func (m *Mesh) diedLocked(id sio.ReplicaID) {
	if m.backplane.Healthy() != nil {
		m.doubt.awaited[id] = struct{}{}
	}
	if _, awaited := m.doubt.awaited[id]; !awaited {
		m.gap(id, gapDied, backplane.Loss{Unproven: true})
	}
}

// tellDoubtLocked tells the publisher of which replicas nobody can say whether they hear this one.
func (m *Mesh) tellDoubtLocked() {
	now := time.Now()
	absent := maps.Clone(m.doubt.awaited)
	m.mu.Lock()
	for id, x := range m.members {
		if now.Sub(x.lastSeen) >= m.options.silence() {
			absent[id] = struct{}{}
		}
	}
	m.mu.Unlock()
	m.publisher.Doubt(m.doubt.losses, slices.Sorted(maps.Keys(absent)), len(m.doubt.awaited) > 0, now.Add(m.options.silence()))
}

// gap follows commands of another replica that did not come: sockets that were here meanwhile may
// have missed events, and must not be recovered.
func (m *Mesh) gap(origin sio.ReplicaID, reason string, lost backplane.Loss) {
	if !m.hub.Gap() {
		return
	}
	if ok, suppressed := m.quiet.Allow(reason); ok {
		m.log.Warn("backplane gap: local sockets may have missed events and will not be recovered", "peer", origin, "reason", reason,
			"count", lost.Commands, "suppressed", suppressed)
	}
}

// missed is gap for what numbers show.
func (m *Mesh) missed(origin sio.ReplicaID, lost backplane.Loss) {
	switch {
	case lost.Commands > 0:
		m.gap(origin, gapLost, lost)
	case lost.Unproven:
		m.gap(origin, gapUnproven, lost)
	}
}
