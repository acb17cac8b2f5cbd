// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// What a table says of a name is what one would find by asking every registration.
func TestTable_property(t *testing.T) {
	spaces := []sio.Registration{
		{Namespace: "/a"}, {Namespace: "/b"}, {Namespace: "/ab"}, {Namespace: "/.*", Pattern: true}, {Namespace: "/a.*", Pattern: true},
		{Namespace: "/.b", Pattern: true}, {Namespace: "/[ab]", Pattern: true},
	}
	events := []string{"x", "y", "z"}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		f := newFixture(t, Options{MaxRedeliveries: 100}) // the connects are never answered
		// so that every namespace is there from the beginning
		f.attach("first", "first", registering(byPattern("/.*")))
		sockets := map[sio.Namespace]*socket{}
		for _, ns := range []sio.Namespace{"/a", "/b", "/ab", "/c", "/abc"} {
			sockets[ns] = f.connectTo(ns, string(ns))
		}
		declared := map[sio.ServiceName][]sio.Registration{"first": {byPattern("/.*")}}
		for n := range 12 {
			name := fmt.Sprint("s", rng.IntN(3))
			var all []sio.Registration
			for _, i := range rng.Perm(len(spaces))[:1+rng.IntN(3)] {
				r := spaces[i]
				r.CatchAll, r.Connect, r.Disconnect = rng.IntN(3) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
				r.ConnectOrder, r.Events = rng.IntN(3), events[rng.IntN(3):][:rng.IntN(2)]
				all = append(all, r)
			}
			if rng.IntN(4) == 0 {
				name = "first"
			}
			f.attach(name, name, registering(all...))
			declared[sio.ServiceName(name)] = all
			for ns, s := range sockets {
				r := s.binding.routes()
				if n%3 == 0 { // or one that comes now
					fresh := f.connectTo(ns, "fresh")
					r = cmp.Or(fresh.binding.routes(), nowhere)
					fresh.binding.Disconnect(sio.ReasonTransportClose)
				}
				checkRoutes(t, f, r, declared, ns, events)
			}
		}
	}
}

func checkRoutes(t *testing.T, f *fixture, r *routes, declared map[sio.ServiceName][]sio.Registration, ns sio.Namespace, events []string) {
	t.Helper()
	var catchAll, disconnects []string
	named, orders := map[string][]string{}, map[int][]string{}
	for name, all := range declared {
		order, own := -1, map[string]bool{}
		catch, leave := false, false
		for _, x := range all {
			if x.Pattern {
				x.Compiled, _ = sio.CompilePattern(string(x.Namespace))
			}
			if !x.Covers(ns) {
				continue
			}
			catch, leave = catch || x.CatchAll, leave || x.Disconnect
			for _, e := range x.Events {
				own[e] = true
			}
			if x.Connect && (order < 0 || x.ConnectOrder < order) {
				order = x.ConnectOrder
			}
		}
		for e := range own {
			named[e] = append(named[e], string(name))
		}
		if catch {
			catchAll = append(catchAll, string(name))
		}
		if leave {
			disconnects = append(disconnects, string(name))
		}
		if order >= 0 {
			orders[order] = append(orders[order], string(name))
		}
	}
	for _, e := range events {
		want := named[e]
		if want == nil {
			want = catchAll
		}
		same(t, fmt.Sprint(ns, " ", e), namesOf(servicesOf(r.find(e))), sorted(want)...)
	}
	var groups [][]string
	for order := range 3 {
		if orders[order] != nil {
			groups = append(groups, sorted(orders[order]))
		}
	}
	var got [][]string
	for _, group := range r.connect {
		got = append(got, namesOf(group))
	}
	if fmt.Sprint(got) != fmt.Sprint(groups) {
		t.Errorf("%s: %q are asked, want %q", ns, got, groups)
	}
	for name := range declared {
		if got, want := f.routes.Load().disconnects(ns, f.services[name]), slices.Contains(disconnects, string(name)); got != want {
			t.Errorf("%s: %s is notified of disconnects: %v", ns, name, got)
		}
	}
}

func namesOf(list []*service) (names []string) {
	for _, s := range list {
		names = append(names, string(s.name))
	}
	return sorted(names)
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

func servicesOf(routes []route) (list []*service) {
	for _, r := range routes {
		list = append(list, r.service)
	}
	return list
}
