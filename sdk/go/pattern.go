// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"fmt"
	"regexp"
)

// NamespacePattern returns the handlers of every namespace whose whole name, slash included,
// matches the regular expression (RE2, as in package regexp). Such a namespace exists when a
// browser connects to it; Socket.Namespace returns it. An emit to the pattern reaches all
// namespaces that match.
//
// Use it for namespaces that are not known in advance, such as one for each customer.
func (svc *Service) NamespacePattern(expr string) *Namespace {
	svc.mu.Lock()
	n := svc.patternLocked(expr)
	svc.mu.Unlock()
	if n != nil {
		return n
	}
	n = newNamespace(svc, expr)
	whole, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		svc.misuse(fmt.Errorf("spanwire: the namespace pattern %q is not a regular expression: %w", expr, err))
		whole = regexp.MustCompile(`[^\x00-\x{10FFFF}]`) // matches nothing
	}
	n.pattern = whole
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if !svc.running {
		svc.patterns = append(svc.patterns, n)
	}
	return n
}

func (svc *Service) patternLocked(expr string) *Namespace {
	for _, n := range svc.patterns {
		if n.name == expr {
			return n
		}
	}
	return nil
}

// namespaceLocked returns the namespace of a dispatch; an empty name means the main one. It creates
// a namespace that only patterns match.
func (p *scheduler) namespaceLocked(name []byte) *Namespace {
	if len(name) == 0 {
		name = []byte(mainNamespace)
	}
	svc := p.service
	n := svc.namespaces[string(name)]
	if n != nil || len(svc.patterns) == 0 {
		return n
	}
	if n = p.children[string(name)]; n != nil {
		return n
	}
	child := newNamespace(svc, string(name))
	child.bindLocked()
	if child.live.empty() {
		return nil
	}
	child.dynamic = true
	if p.children == nil {
		p.children = map[string]*Namespace{}
	}
	p.children[child.name] = child
	return child
}

// bindLocked sets the handlers in use: those of the namespace, then those of matching patterns in
// the order of their creation. The scheduler's mu is held, unless Run has not started.
func (n *Namespace) bindLocked() {
	n.live = n.own
	for _, p := range n.service.patterns {
		if p != n && p.pattern.MatchString(n.name) {
			n.live = n.live.with(&p.own)
		}
	}
}

// forgetLocked removes a dynamic namespace with its last socket. The scheduler's mu is held.
func (n *Namespace) forgetLocked() {
	if children := n.service.scheduler.children; n.dynamic && len(n.sockets) == 0 && children[n.name] == n {
		delete(children, n.name)
	}
}
