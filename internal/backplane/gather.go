// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// gather collects the acks of other replicas' sockets for one emit. The publisher's lock guards it.
type gather struct {
	settled chan struct{} // closed when nothing more is awaited
	awaited map[sio.ReplicaID]*part
	came    []sio.SocketAck
	missing int             // of replicas that are done
	sockets int             // of replicas that are done
	dropped int             // of replicas that counted
	lost    []sio.ReplicaID // died before they said how many sockets they asked
	counts  bool            // only the sockets are asked for
	done    bool
}

// part is what one replica has answered so far.
type part struct {
	counted bool // the first answer has come
	sockets int
	came    int
}

func newGather() *gather {
	return &gather{settled: make(chan struct{}), awaited: make(map[sio.ReplicaID]*part)}
}

func (g *gather) expect(replica sio.ReplicaID) { g.awaited[replica] = &part{} }

func (g *gather) answered(replica sio.ReplicaID, a *GatherAnswer) {
	p := g.awaited[replica]
	if p == nil {
		return
	}
	if !p.counted {
		g.dropped += a.Dropped
	}
	p.counted, p.sockets = true, a.Sockets
	p.came += len(a.Acks)
	g.came = append(g.came, a.Acks...)
	if a.Last || g.counts {
		g.finish(replica)
	}
}

// left ends the wait for a replica that is gone, and its sockets with it.
func (g *gather) left(replica sio.ReplicaID, silently bool) {
	p := g.awaited[replica]
	if p == nil {
		return
	}
	if silently && !p.counted {
		g.lost = append(g.lost, replica)
	}
	g.finish(replica)
}

func (g *gather) finish(replica sio.ReplicaID) {
	p := g.awaited[replica]
	g.missing += max(p.sockets-p.came, 0)
	g.sockets += p.sockets
	delete(g.awaited, replica)
	g.settle()
}

func (g *gather) settle() {
	if len(g.awaited) == 0 && !g.done {
		g.done = true
		close(g.settled)
	}
}

// result gives what came, and which replicas did not even say how many sockets they asked.
func (g *gather) result() (acks sio.Acks, silent []sio.ReplicaID) {
	acks = sio.Acks{Came: g.came, Missing: g.missing, Sockets: g.sockets, Dropped: g.dropped}
	silent = g.lost
	for replica, p := range g.awaited {
		acks.Sockets += p.sockets
		acks.Missing += max(p.sockets-p.came, 0)
		if !p.counted {
			silent = append(silent, replica)
		}
	}
	slices.Sort(silent)
	if g.counts {
		// a replica of an older version asks its sockets for acks all the same
		acks.Came, acks.Missing = nil, 0
	}
	acks.Silent = silent
	return acks, silent
}
