// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
)

// presence announces a cluster to the others that share its NATS. Their replicas see nothing else
// of one another, and two different names by mistake would leave no trace. A replica publishes the
// name of its cluster, now and then, on a subject that all have in common.
type presence struct {
	b    *Backplane
	quit chan struct{}
	once sync.Once
	done sync.WaitGroup

	mu      sync.Mutex
	foreign map[string]time.Time // guarded by mu; other clusters, and when each was heard last
}

const (
	presenceSubject  = subjectPrefix + "presence"
	presenceInterval = 30 * time.Second
	presenceLife     = 3 * presenceInterval // after which a cluster that is not heard has gone
	maxForeign       = 64                   // others that are kept: names can be made up
)

// startPresence begins to tell and to listen. A NATS that does not allow the subject only keeps
// this replica from knowing of other clusters.
func (b *Backplane) startPresence() {
	p := &presence{b: b, quit: make(chan struct{}), foreign: make(map[string]time.Time)}
	b.presence = p
	// ends with the connection
	if _, err := b.conn.Subscribe(presenceSubject, p.heard); err != nil {
		b.log.Info("other clusters on this NATS are not detected", "err", err)
	}
	p.done.Go(p.run) // ended by stop
}

func (p *presence) stop() {
	p.once.Do(func() { close(p.quit) })
	p.done.Wait()
}

func (p *presence) run() {
	ticks := time.NewTicker(presenceInterval)
	defer ticks.Stop()
	for p.tell(); ; p.tell() {
		select {
		case <-p.quit:
			return
		case <-ticks.C:
			p.expire(time.Now())
		}
	}
}

func (p *presence) tell() {
	if p.b.conn.IsConnected() {
		_ = p.b.conn.Publish(presenceSubject, []byte(p.b.options.Cluster)) // the next one may pass
	}
}

// heard takes the name of a cluster. One that is new is answered at once, so that both sides know.
func (p *presence) heard(m *client.Msg) {
	name := string(m.Data)
	if name == p.b.options.Cluster || !clusterName.MatchString(name) {
		return
	}
	p.mu.Lock()
	_, known := p.foreign[name]
	if known || len(p.foreign) < maxForeign {
		p.foreign[name] = time.Now()
	}
	p.b.metrics.ForeignClusters.Set(float64(len(p.foreign)))
	p.mu.Unlock()
	if known {
		return
	}
	p.tell()
	if ok, suppressed := p.b.quiet.Allow("foreign cluster"); ok {
		p.b.log.Warn("another cluster uses the same NATS; its replicas do not share browsers and handlers with this cluster",
			"cluster", p.b.options.Cluster, "peer", name, "setting", "cluster", "suppressed", suppressed)
	}
}

func (p *presence) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, last := range p.foreign {
		if now.Sub(last) >= presenceLife {
			delete(p.foreign, name)
		}
	}
	p.b.metrics.ForeignClusters.Set(float64(len(p.foreign)))
}
