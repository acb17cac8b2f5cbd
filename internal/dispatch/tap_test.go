// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// tap records what it gets. It implements Tap.
type tap struct{ heard []string }

func (t *tap) Following() bool { return true }

func (t *tap) Happened(o *sio.TraceEvent) {
	t.heard = append(t.heard, fmt.Sprintf("%d %s %s/%s %s%s %s", o.Kind, o.Socket, o.Service, o.Instance, o.Event.Name, o.Event.Args, o.Detail))
}

// A tap gets each hand-out, each result and each drop of this replica's dispatches, and not
// of those that others forward.
func TestTap(t *testing.T) {
	heard := &tap{}
	f := newFixture(t, Options{Tap: heard, MaxRedeliveries: 1})
	i := f.attach("a", "a1", asking)
	wants := func(what string, want ...string) {
		t.Helper()
		same(t, what, heard.heard, want...)
		heard.heard = nil
	}
	s := f.connect("s")
	i.resolve(t, 0, sio.Result{Outcome: sio.Handled})
	wants("connect", "3 s a/a1  connect", "4 s a/a1  connect")
	s.emit(t, "x", 1)
	i.resolve(t, 1, answered("[1]"))
	wants("event", "3 s a/a1 x event", "4 s a/a1 x[1] event")
	s.emit(t, "x", 1)
	i.resolve(t, 2, sio.Result{Outcome: sio.Failed, Message: "no"})
	wants("failure", "3 s a/a1 x event", "4 s a/a1 x event: failed: no")
	s.emit(t, "large", 1)
	i.a.Abandon(i.last().ID, "it is too large")
	wants("drop", "3 s a/a1 large event", "6 s a/ large event: it is too large")
	s.emit(t, "poison", 1)
	i.a.Detach()
	i = f.attach("a", "a2", asking)
	i.a.Detach()
	wants("poison", "3 s a/a1 poison event", "3 s a/a2 poison event", "6 s a/a2 poison event: set aside: every instance that received it died")

	i = f.attach("a", "a3", asking)
	dp := &Dispatch{ID: 1, Socket: &socket{id: "other", ns: "/"}, Kind: Event, Event: &sio.Event{Name: "x"}}
	if err := f.DispatchRemote("a3", i.a.Generation(), dp, func(sio.DispatchID, sio.Result) {}); err != nil {
		t.Fatal(err)
	}
	f.FlushRemote("a3")
	i.resolve(t, 0, answered("[]"))
	wants("forwarded")
	s.binding.Disconnect(sio.ReasonClientDisconnect, "s", "r")
	wants("disconnect", "3 s a/a3  disconnect ("+string(sio.ReasonClientDisconnect)+")")
}
