// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

func TestAttachment_Declare(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", registering(events("/", false, "one")))
	s := f.connect("s")
	s.emit(t, "two", 1)
	early := f.connectTo("/more", "early")
	if early.decision() != UnknownNamespace || value(f.m.Unhandled) != 1 {
		t.Errorf("before: %v, %d unhandled", early.decision(), value(f.m.Unhandled))
	}
	if err := a.a.Declare([]sio.Registration{events("/", false, "two"), events("/more", false, "x")}); err != nil {
		t.Fatal(err)
	}
	s.emit(t, "one", 2)
	s.emit(t, "two", 3)
	f.connectTo("/more", "late").emit(t, "x", 4)
	same(t, "given", a.names(), "s:event two", "late:event x")
	if got := f.Attached()[0].Register.Namespaces; len(got) != 2 {
		t.Errorf("attached tells %+v", got)
	}
	if err := a.a.Declare([]sio.Registration{{Namespace: "(", Pattern: true}}); sio.CodeOf(err) != sio.CodeInvalid {
		t.Errorf("nonsense: %v", err)
	}
	s.emit(t, "two", 5)
	if len(a.names()) != 3 {
		t.Errorf("nonsense has changed something: %v", a.names())
	}
	a.a.Detach()
	if err := a.a.Declare([]sio.Registration{events("/", false, "two")}); sio.CodeOf(err) != sio.CodeClosed {
		t.Errorf("after the end: %v", err)
	}
}

// A connect that waits for its namespace is asked about when an instance declares it.
func TestAttachment_Declare_held(t *testing.T) {
	f := newFixture(t, Options{})
	s := f.connectTo("/late", "s")
	a := f.attach("a", "a1", func(r *sio.Register) { r.Namespaces = nil })
	if s.decided() != 0 {
		t.Fatal("decided too early")
	}
	if err := a.a.Declare([]sio.Registration{{Namespace: "/late"}}); err != nil {
		t.Fatal(err)
	}
	if s.decision() != Accepted {
		t.Errorf("decisions %+v", s.decisions)
	}
}

// While two versions of a service are there, each event goes to one that handles it, and nothing
// overtakes.
func TestService_versions(t *testing.T) {
	f := newFixture(t, Options{})
	old := f.attach("a", "old", registering(events("/", false, "both", "former")))
	s := f.connect("s")
	s.emit(t, "both", 1)
	fresh := f.attach("a", "new", registering(events("/", false, "both", "latter")))
	s.emit(t, "latter", 2)
	s.emit(t, "both", 3)
	same(t, "the old one has", old.names(), "s:event both")
	same(t, "the new one has, before that is resolved", fresh.names())
	old.resolve(t, 0, answered("[]"))
	same(t, "the new one has", fresh.names(), "s:event latter", "s:event both")
	if !fresh.list[0].Introduce || fresh.list[1].Introduce {
		t.Error("the socket is not introduced once")
	}
	s.emit(t, "former", 4)
	fresh.resolve(t, 0, answered("[]"))
	fresh.resolve(t, 1, answered("[]"))
	same(t, "the old one has then", old.names(), "s:event both", "s:event former")
	if fmt.Sprint(old.released, fresh.released) != "[s] [s]" {
		t.Errorf("released: %v and %v", old.released, fresh.released)
	}
	if !old.last().Introduce {
		t.Error("a socket that comes back is not introduced again")
	}
	old.a.Detach() // nobody else handles it, and yet it is not lost
	same(t, "the new one has then", fresh.names(), "s:event latter", "s:event both", "s:event former")
}

func events(ns sio.Namespace, catchAll bool, names ...string) sio.Registration {
	return sio.Registration{Namespace: ns, Events: names, CatchAll: catchAll}
}
