// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"strings"
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

func (p *peer) declare(list ...*spanwirev1.Registration) *spanwirev1.Registered {
	p.t.Helper()
	p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Registrations{
		Registrations: &spanwirev1.Registrations{Registrations: list},
	}})
	m := p.receive().GetRegistered()
	if m == nil {
		p.t.Fatal("registrations were not answered")
	}
	return m
}

func TestAttach_registrations(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(func(r *spanwirev1.Register) {
		r.Registrations = []*spanwirev1.Registration{{Events: []string{"one"}}}
	})
	b := h.connect("s1")
	if f := p.declare(&spanwirev1.Registration{Events: []string{"two"}}).GetFault(); f != nil {
		t.Fatalf("fault %v", f)
	}
	for _, name := range []string{"one", "two"} {
		if err := b.binding.Dispatch(t.Context(), &sio.Event{Name: name}, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	if d := p.dispatches(1)[0]; d.GetEvent().GetName() != "two" {
		t.Errorf("dispatched %v", d)
	}
	for name, list := range map[string][]*spanwirev1.Registration{
		"registrations: there are 0 registrations":      {},
		"registrations: namespace \"x\" must begin":     {{Namespace: "x"}},
		"registrations: event \"connect\" of namespace": {{Events: []string{"connect"}}},
		"registrations: namespace \"/\" stands twice":   {{}, {Namespace: "/"}},
		"registrations: pattern \"(\" is no pattern":    {{Namespace: "(", Pattern: true}},
	} {
		f := p.declare(list...).GetFault()
		if f.GetCode() != spanwirev1.FaultCode_FAULT_CODE_INVALID || !strings.Contains(f.GetMessage(), name) {
			t.Errorf("fault %v, want %s", f, name)
		}
	}
	if err := b.binding.Dispatch(t.Context(), &sio.Event{Name: "two"}, 0, false); err != nil {
		t.Fatal(err)
	}
	if d := p.dispatches(1)[0]; d.GetEvent().GetName() != "two" {
		t.Errorf("after nonsense: dispatched %v", d)
	}
}

// An instance is notified which of its sockets go to another one that handles what it does not.
func TestAttach_released(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	attach := func(id, event string) *peer {
		return h.attach(func(r *spanwirev1.Register) {
			r.InstanceId = id
			r.Registrations = []*spanwirev1.Registration{{Events: []string{event}}}
		})
	}
	one, two := attach("one", "a"), attach("two", "b")
	b := h.connect("s1")
	for _, x := range []struct {
		p    *peer
		name string
	}{{one, "a"}, {two, "b"}} {
		if err := b.binding.Dispatch(t.Context(), &sio.Event{Name: x.name}, 0, false); err != nil {
			t.Fatal(err)
		}
		x.p.act(acked(x.p.dispatches(1)[0].GetId(), `[]`))
	}
	m := one.receive().GetBatch()
	for m == nil {
		m = one.receive().GetBatch()
	}
	if got := m.GetReleased(); len(got) != 1 || got[0] != string(b.id) || len(m.GetDispatches()) != 0 {
		t.Errorf("the first is notified of %v", m)
	}
}
