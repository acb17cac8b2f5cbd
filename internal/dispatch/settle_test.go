// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

func isOpen(c <-chan struct{}) bool {
	if c == nil {
		return false
	}
	select {
	case <-c:
		return false
	default:
		return true
	}
}

// A socket is settled when all that instances have of it is resolved, what waits for a window
// included, and not before its acks are queued.
func TestBinding_Settled(t *testing.T) {
	f := newFixture(t, Options{})
	i := f.attach("a", "a1", func(r *sio.Register) { r.Window = 1 })
	s, idle := f.connect("s"), f.connect("idle")
	if idle.binding.Settled() != nil {
		t.Error("an idle socket is not settled")
	}
	s.emit(t, "one", 1)
	s.emit(t, "two", 2) // waits for the window
	settled := s.binding.Settled()
	for n := range 2 {
		if !isOpen(settled) {
			t.Fatalf("settled with %d dispatches open or queued", 2-n)
		}
		i.resolve(t, n, answered(`[]`))
	}
	if settled == nil || isOpen(settled) || len(s.got()) != 2 {
		t.Errorf("not settled at the end, or without its acks: %q", s.got())
	}
}

// Between a result and the Flush that follows it, its ack may not be queued yet.
func TestBinding_Settled_beforeFlush(t *testing.T) {
	f := newFixture(t, Options{})
	i := f.attach("a", "a1", nil)
	s := f.connect("s")
	s.emit(t, "one", 1)
	before := s.binding.Settled()
	if err := i.a.Resolve(i.last().ID, answered(`[]`)); err != nil {
		t.Fatal(err)
	}
	after := s.binding.Settled()
	if !isOpen(before) || !isOpen(after) {
		t.Error("settled before the flush")
	}
	i.a.Flush()
	if isOpen(before) || isOpen(after) {
		t.Error("not settled after the flush")
	}
}

// What waits for a service that is away is not waited for, also when the service goes away
// meanwhile; what went to another instance is.
func TestBinding_Settled_away(t *testing.T) {
	f := newFixture(t, Options{})
	i, other := f.attach("a", "a1", nil), (*instance)(nil)
	s := f.connect("s")
	s.emit(t, "one", 1)
	settled := s.binding.Settled()
	other = f.attach("a", "a2", nil)
	i.a.Detach()
	if !isOpen(settled) {
		t.Error("settled although another instance has the event")
	}
	other.a.Detach()
	if isOpen(settled) || s.binding.Settled() != nil {
		t.Error("not settled although no instance is there")
	}
}

// A dispatch that ends without a result settles, too.
func TestBinding_Settled_abandoned(t *testing.T) {
	f := newFixture(t, Options{})
	i := f.attach("a", "a1", nil)
	s := f.connect("s")
	s.emit(t, "one", 1)
	settled := s.binding.Settled()
	i.a.Abandon(i.last().ID, "too large")
	if isOpen(settled) {
		t.Error("not settled")
	}
}

// A socket with several services is settled when all of them are.
func TestBinding_Settled_services(t *testing.T) {
	f := newFixture(t, Options{})
	a, b := f.attach("a", "a1", nil), f.attach("b", "b1", nil)
	s := f.connect("s")
	s.emit(t, "one", 1)
	settled := s.binding.Settled()
	a.resolve(t, 0, answered(`[]`))
	if !isOpen(settled) {
		t.Error("settled although one service has not answered")
	}
	b.resolve(t, 0, answered(`[]`))
	if isOpen(settled) {
		t.Error("not settled")
	}
}
