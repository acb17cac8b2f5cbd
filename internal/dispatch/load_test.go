// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// The load names each service with its instances, what they have, and who waits; a service that is
// away keeps what it declared.
func TestDispatcher_Load(t *testing.T) {
	f := newFixture(t, Options{})
	show := func() (all []string) {
		for _, s := range f.Load() {
			all = append(all, fmt.Sprintf("%s declares %d, waiting %d", s.Service, len(s.Declared), s.Waiting))
			for _, i := range s.Instances {
				all = append(all, fmt.Sprintf("%s window %d open %d sockets %d waiting %d draining %v", i.Register.Instance, i.Window, i.Open,
					i.Sockets, i.Waiting, i.Draining))
			}
		}
		return all
	}
	two := f.attach("b", "b2", func(r *sio.Register) { r.Window = 1 })
	f.attach("a", "a1", func(r *sio.Register) { r.Namespaces[0].Namespace = "/else" })
	one := f.connect("one")
	other := f.connect("other")
	one.emit(t, "x", 1)
	other.emit(t, "x", 1)
	same(t, "busy", show(), "a declares 1, waiting 0", "a1 window 1024 open 0 sockets 0 waiting 0 draining false",
		"b declares 1, waiting 0", "b2 window 1 open 1 sockets 2 waiting 1 draining false")
	f.attach("b", "b1", nil)
	two.a.Drain()
	same(t, "draining", show()[2:], "b declares 1, waiting 0", "b1 window 1024 open 1 sockets 1 waiting 0 draining false",
		"b2 window 1 open 1 sockets 1 waiting 0 draining true")
	two.a.Detach()
	for _, a := range []sio.InstanceID{"b1", "a1"} {
		f.local[a].Detach()
	}
	same(t, "away", show(), "a declares 1, waiting 0", "b declares 1, waiting 2")
}
