// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"sync"

	"github.com/spanwire/spanwire/internal/sio"
)

// patterns remembers what was compiled, since services name the same few patterns again and again.
type patterns struct {
	mu       sync.Mutex
	compiled map[sio.Namespace]*sio.Pattern // guarded by mu; nil for what is no pattern
}

// maxPatterns bounds the patterns that are remembered. Beyond it any is forgotten, and compiled
// again when it is needed.
const maxPatterns = 256

// compile gives nil for what is no pattern.
func (p *patterns) compile(pattern sio.Namespace) *sio.Pattern {
	p.mu.Lock()
	defer p.mu.Unlock()
	if re, known := p.compiled[pattern]; known {
		return re
	}
	re, err := sio.CompilePattern(string(pattern))
	if err != nil {
		re = nil
	}
	if p.compiled == nil {
		p.compiled = make(map[sio.Namespace]*sio.Pattern)
	}
	for old := range p.compiled {
		if len(p.compiled) < maxPatterns {
			break
		}
		delete(p.compiled, old)
	}
	p.compiled[pattern] = re
	return re
}

// matching gives the namespaces of this replica that the pattern matches.
func (h *Hub) matching(pattern sio.Namespace) (found []sio.Namespace) {
	re := h.patterns.compile(pattern)
	if re == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for ns := range h.namespaces {
		if re.Matches(ns) {
			found = append(found, ns)
		}
	}
	return found
}

// applyMatching carries the command out in each namespace that its target matches.
func (h *Hub) applyMatching(cmd sio.Command) (sockets int) {
	for _, ns := range h.matching(cmd.To().Namespace) {
		sockets += h.Apply(cmd.In(ns))
	}
	return sockets
}

// askMatching is Ask in each namespace that the target matches, with one collection.
func (h *Hub) askMatching(e *sio.Emit) *Collection {
	type part struct {
		emit *sio.Emit
		one  Socket
		all  []Socket
	}
	var parts []part
	var everyone []Socket
	for _, ns := range h.matching(e.Target.Namespace) {
		p := part{emit: e.In(ns).(*sio.Emit)}
		p.one, p.all = h.receivers(&p.emit.Target)
		if p.one != nil {
			everyone = append(everyone, p.one)
		}
		everyone = append(everyone, p.all...)
		parts = append(parts, p)
	}
	c := newCollection(h.metrics, nil, everyone)
	for _, p := range parts {
		h.askThem(c, p.emit, p.one, p.all)
	}
	return c
}
