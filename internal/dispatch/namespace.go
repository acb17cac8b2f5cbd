// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// namespace is one namespace that has sockets on this replica, those included whose connect is not
// decided. It spares each event the matching of patterns. It is forgotten with the last socket, so
// that the names that browsers try leave nothing behind.
type namespace struct {
	name   sio.Namespace
	routes atomic.Pointer[routes] // never nil; follows the table

	// guarded by the namespaces' mu
	sockets int
	matches []*sio.Pattern // in their order
	dynamic bool           // no service registered it by name
}

// namespaces are all of them.
type namespaces struct {
	// fixed at birth
	max    int // of dynamic ones
	gauge  metrics.Gauge
	tables *atomic.Pointer[table]

	// guards what follows and the storing of the table; no other lock is taken under it
	mu      sync.Mutex
	here    map[sio.Namespace]*namespace
	dynamic int
}

// enter counts a socket in. Without one the kind says why not; it is zero when nothing at all
// is registered yet.
func (p *namespaces) enter(ns sio.Namespace) (*namespace, DecisionKind) {
	for {
		if x, kind, ok := p.known(ns); ok {
			return x, kind
		}
		t := p.tables.Load()
		matches := t.matching(ns) // under no lock, since it may take a while
		if x, kind, ok := p.found(ns, t, matches); ok {
			return x, kind
		}
	}
}

// known counts a socket into a namespace that is there; not ok means that there is none.
func (p *namespaces) known(ns sio.Namespace) (x *namespace, kind DecisionKind, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch x = p.here[ns]; {
	case x == nil:
		return nil, 0, false
	case x.routes.Load() == nowhere:
		return nil, UnknownNamespace, true
	}
	x.sockets++
	return x, 0, true
}

// found makes a namespace; not ok means that it has to be looked up again.
func (p *namespaces) found(ns sio.Namespace, t *table, matches []*sio.Pattern) (x *namespace, kind DecisionKind, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tables.Load() != t || p.here[ns] != nil {
		return nil, 0, false
	}
	r := t.routesLocked(ns, matches)
	dynamic := t.namespaces[ns] == nil
	switch {
	case t.empty():
		return nil, 0, true
	case r == nowhere:
		return nil, UnknownNamespace, true
	case dynamic && p.dynamic >= p.max:
		return nil, NamespacesFull, true
	}
	x = &namespace{name: ns, sockets: 1, matches: matches}
	x.routes.Store(r)
	p.here[ns] = x
	p.countLocked(x, dynamic)
	return x, 0, true
}

// leave counts a socket out; nil is a socket that was never in.
func (p *namespaces) leave(x *namespace) {
	if x == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.sockets--; x.sockets == 0 {
		delete(p.here, x.name)
		p.countLocked(x, false)
	}
}

func (p *namespaces) countLocked(x *namespace, dynamic bool) {
	switch {
	case dynamic && !x.dynamic:
		p.dynamic++
		p.gauge.Inc()
	case !dynamic && x.dynamic:
		p.dynamic--
		p.gauge.Dec()
	}
	x.dynamic = dynamic
}

// follow stores the table and gives each namespace its routes of it. Only patterns that are new are
// matched.
func (p *namespaces) follow(t *table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.tables.Load()
	fresh := &table{}
	for _, r := range t.patterns {
		if _, known := old.find(r.pattern); !known {
			fresh.patterns = append(fresh.patterns, r)
		}
	}
	p.tables.Store(t)
	for ns, x := range p.here {
		matches := slices.DeleteFunc(x.matches, func(m *sio.Pattern) bool {
			_, known := t.find(m)
			return !known
		})
		matches = append(matches, fresh.matching(ns)...)
		slices.SortFunc(matches, byText)
		x.matches = matches
		x.routes.Store(t.routesLocked(ns, matches))
		p.countLocked(x, t.namespaces[ns] == nil)
	}
}
