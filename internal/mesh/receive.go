// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// receive takes what the backplane brings, one envelope after another.
func (m *Mesh) receive(data []byte) {
	e, lost, ok := m.inbox.Open(data)
	if !ok {
		return
	}
	if e.Unproven {
		m.challenge(e.Origin, e.Body.(*backplane.Heartbeat).HelloID)
		return
	}
	if lost.Envelopes > 0 && e.To != "" {
		m.lost(e.Origin)
	}
	m.missed(e.Origin, lost)
	m.seen(e.Origin)
	switch b := e.Body.(type) {
	case *backplane.Command:
		m.hub.Apply(b.Command)
	case *backplane.GatherRequest:
		m.gather(e.Origin, b)
	case *backplane.GatherAnswer:
		m.publisher.Answered(e.Origin, b)
	case *backplane.QueryRequest:
		m.query(e.Origin, b)
	case *backplane.QueryAnswer:
		m.publisher.QueryAnswered(e.Origin, b)
	case *backplane.Heartbeat:
		m.counted(e.Origin, b.Sent)
		m.heard(e.Origin, b)
	case *backplane.Bye:
		m.counted(e.Origin, b.Sent)
		m.left(e.Origin)
	case *backplane.DispatchBatch:
		m.lend(e.Origin, b)
	case *backplane.ResultBatch:
		m.resolve(e.Origin, b)
	case *backplane.Lost:
		m.reset(e.Origin)
	}
}

// challenge answers the heartbeat of a replica that is not known, and asks it to prove that it is
// there now. Replayed heartbeats get no more than a few answers.
func (m *Mesh) challenge(origin sio.ReplicaID, answers uint64) {
	if ok, _ := m.challenges.Allow(); ok {
		m.beat(origin, true, answers)
	}
}

// counted compares how far the origin counted with what came.
func (m *Mesh) counted(origin sio.ReplicaID, sent []backplane.Sent) {
	alone, all := m.inbox.Missing(origin, sent)
	if alone.Envelopes > 0 {
		m.lost(origin)
	}
	m.missed(origin, alone)
	m.missed(origin, all)
}

// lost follows the loss of envelopes that the origin sent to this replica alone: dispatches for
// instances here, which the origin must redeliver, or results of instances there, for which this
// replica must.
func (m *Mesh) lost(origin sio.ReplicaID) {
	m.send(origin, &backplane.Lost{})
	m.reset(origin)
}
