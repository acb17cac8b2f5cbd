// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"fmt"
	"maps"
	"regexp"
)

// NamespacePattern gives the handlers of every namespace whose whole name, slash included, the regular expression matches (RE2, as in
// package regexp). Such a namespace exists as soon as a browser connects to it; Socket.Namespace tells its name. What it emits goes to
// all namespaces that match.
func (svc *Service) NamespacePattern(expr string) *Namespace {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	for _, n := range svc.patterns {
		if n.name == expr {
			return n
		}
	}
	n := newNamespace(svc, expr)
	whole, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		svc.misuse(fmt.Errorf("spanwire: the namespace pattern %q is no regular expression: %w", expr, err))
		whole = regexp.MustCompile(`[^\x00-\x{10FFFF}]`) // matches nothing
	}
	n.pattern = whole
	if !svc.running {
		svc.patterns = append(svc.patterns, n)
	}
	return n
}

// namespaceLocked finds the namespace of a dispatch; empty means the main one. One that a pattern matches is made when it is met
// first, of the handlers of all patterns that match, and of those that were registered for its very name, which come first.
func (p *scheduler) namespaceLocked(name []byte) *Namespace {
	if len(name) == 0 {
		name = []byte(mainNamespace)
	}
	svc := p.service
	if len(svc.patterns) == 0 {
		return svc.namespaces[string(name)]
	}
	if n := p.children[string(name)]; n != nil {
		return n
	}
	var child *Namespace
	for _, n := range svc.patterns {
		if !n.pattern.Match(name) {
			continue
		}
		if child == nil {
			child = newNamespace(svc, string(name))
			child.dynamic = true
			child.adopt(svc.namespaces[string(name)])
		}
		child.adopt(n)
	}
	if child == nil {
		return svc.namespaces[string(name)]
	}
	if p.children == nil {
		p.children = map[string]*Namespace{}
	}
	p.children[child.name] = child
	return child
}

// adopt takes the other's handlers where it has none of its own.
func (n *Namespace) adopt(other *Namespace) {
	if other == nil {
		return
	}
	events, messages := maps.Clone(other.events), maps.Clone(other.messages)
	maps.Copy(events, n.events)
	maps.Copy(messages, n.messages)
	n.events, n.messages = events, messages
	first := func(mine **handler, its *handler) {
		if *mine == nil {
			*mine = its
		}
	}
	first(&n.any, other.any)
	first(&n.connect, other.connect)
	first(&n.disconnect, other.disconnect)
	first(&n.room, other.room)
}

// forgetLocked lets go of a namespace that was made for its sockets, when the last of them is gone. The scheduler's mu is held.
func (n *Namespace) forgetLocked() {
	if children := n.service.scheduler.children; n.dynamic && len(n.sockets) == 0 && children[n.name] == n {
		delete(children, n.name)
	}
}
