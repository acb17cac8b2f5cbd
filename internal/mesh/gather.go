// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// answerBytes is about how large an answer becomes before it is split.
const answerBytes = 256 << 10

// gather delivers another replica's emit here and answers with the acks. The emit is delivered
// before what comes next; only the wait goes on beside it.
func (m *Mesh) gather(origin sio.ReplicaID, request *backplane.GatherRequest) {
	request.Emit.Tally = new(sio.Tally)
	if request.Emit.CountOnly {
		sockets := m.hub.Deliver(request.Emit)
		m.send(origin, &backplane.GatherAnswer{ID: request.ID, Sockets: sockets, Dropped: request.Emit.Tally.Dropped(), Last: true})
		return
	}
	asked := m.hub.Ask(request.Emit)
	if asked.Sockets() == 0 || !m.mayGather() {
		acks := settledOnly(asked)
		m.answer(origin, request, asked.Sockets(), acks)
		return
	}
	m.send(origin, &backplane.GatherAnswer{ID: request.ID, Sockets: asked.Sockets(), Dropped: request.Emit.Tally.Dropped()})
	m.goroutines.Go(func() { // ends with the time of the request, or with the mesh
		ctx, cancel := context.WithTimeout(m.life, request.Timeout)
		defer cancel()
		acks := asked.Wait(ctx)
		m.gathered()
		m.answer(origin, request, asked.Sockets(), acks)
	})
}

// settledOnly gives what came already.
func settledOnly(asked *hub.Collection) sio.Acks {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return asked.Wait(now)
}

func (m *Mesh) mayGather() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gathers >= m.options.MaxGathers || m.life.Err() != nil {
		m.metrics.GathersRejected.Inc()
		return false
	}
	m.gathers++
	m.metrics.Gathers.Inc()
	return true
}

func (m *Mesh) gathered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gathers--
	m.metrics.Gathers.Dec()
}

// answer sends the acks, in several answers when they are large. An ack that is too large for the
// backplane is missing there.
func (m *Mesh) answer(to sio.ReplicaID, request *backplane.GatherRequest, sockets int, acks sio.Acks) {
	rest, dropped := acks.Came, request.Emit.Tally.Dropped()
	for {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size < answerBytes) {
			size += rest[n].Ack.Size() + 64
			n++
		}
		last := n == len(rest)
		err := m.publisher.Send(to, &backplane.GatherAnswer{ID: request.ID, Sockets: sockets, Dropped: dropped, Acks: rest[:n], Last: last})
		if err != nil {
			m.log.Warn("acks not delivered to the peer that asked", "peer", to, "count", n, "err", err)
			if last && sio.CodeOf(err) == sio.CodeTooLarge {
				m.send(to, &backplane.GatherAnswer{ID: request.ID, Sockets: sockets, Dropped: dropped, Last: true})
			}
		}
		if last {
			return
		}
		rest = rest[n:]
	}
}
