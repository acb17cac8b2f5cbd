// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// table holds the routes: which services get which event. It is never changed once stored, but for
// the unions; every attach and detach makes a new one. Routes of a service stay when its last
// instance has left, so that its events wait for it.
type table struct {
	namespaces map[sio.Namespace]*routes // registered by name
	// registered by pattern, each text once, in the order of the texts
	patterns []rule
	// of several rules, for the namespaces that they share; guarded by the namespaces' mu
	unions map[string]*routes
}

// rule is a pattern and what services registered with it.
type rule struct {
	pattern *sio.Pattern
	routes  *routes
}

// routes are the rules of one namespace. Each service stands in a list once.
type routes struct {
	services []*service // all that registered the namespace
	byName   map[string][]route
	catchAll []route // for events that stand not in byName
	// those of a group are asked at the same time, when those of the group before have accepted
	connect    [][]*service
	advised    []*service // are notified of a connect when all that were asked have accepted
	disconnect []*service
	roomEvents []*service

	asked []asked // what connect and advised are made of
}

// route leads an event to a service.
type route struct {
	service    *service
	share      int  // of the windows of its instances
	concurrent bool // the instances run it beside others of its socket
}

type asked struct {
	service  *service
	order    int
	advisory bool
}

// nowhere are the routes of a namespace that no service registers any more.
var nowhere = &routes{}

func (t *table) empty() bool { return len(t.namespaces)+len(t.patterns) == 0 }

// matching gives the patterns that match the name, in their order.
func (t *table) matching(ns sio.Namespace) (list []*sio.Pattern) {
	for _, p := range t.patterns {
		if p.pattern.Matches(ns) {
			list = append(list, p.pattern)
		}
	}
	return list
}

// some tells whether it is true for some routes of the namespace. It asks before it matches, since
// that costs more.
func (t *table) some(ns sio.Namespace, is func(*routes) bool) bool {
	if r := t.namespaces[ns]; r != nil && is(r) {
		return true
	}
	return slices.ContainsFunc(t.patterns, func(p rule) bool { return is(p.routes) && p.pattern.Matches(ns) })
}

// known tells whether some service registered the namespace.
func (t *table) known(ns sio.Namespace) bool {
	return t.some(ns, func(*routes) bool { return true })
}

// there tells whether some service of the namespace has an instance.
func (t *table) there(ns sio.Namespace) bool {
	return t.some(ns, func(r *routes) bool { return !r.away() })
}

// disconnects reports whether the service subscribes to disconnects of the namespace's
// sockets.
func (t *table) disconnects(ns sio.Namespace, s *service) bool {
	return t.some(ns, func(r *routes) bool { return slices.Contains(r.disconnect, s) })
}

// maxUnions bounds the unions that are kept: which patterns meet is up to the names that browsers
// choose.
const maxUnions = 1000

// routesLocked gives the routes of a namespace with the patterns that match it. Namespaces that the
// same patterns match share them. Under the namespaces' mu.
func (t *table) routesLocked(ns sio.Namespace, matches []*sio.Pattern) *routes {
	named := t.namespaces[ns]
	if len(matches) == 0 {
		return cmp.Or(named, nowhere)
	}
	if named == nil && len(matches) == 1 {
		i, _ := t.find(matches[0])
		return t.patterns[i].routes
	}
	var key []byte
	if named != nil {
		key = append(key, ns...)
	}
	for _, p := range matches {
		i, _ := t.find(p)
		key = binary.BigEndian.AppendUint32(append(key, 0), uint32(i))
	}
	union := t.unions[string(key)]
	if union != nil {
		return union
	}
	union = newRoutes()
	union.addRoutes(named)
	for _, p := range matches {
		i, _ := t.find(p)
		union.addRoutes(t.patterns[i].routes)
	}
	union.group()
	if t.unions == nil || len(t.unions) >= maxUnions {
		t.unions = map[string]*routes{}
	}
	t.unions[string(key)] = union
	return union
}

// routeOf gives what routes are for the sockets here, for a dispatch of another replica.
func (t *table) routeOf(s *service, dp *Dispatch) (r route) {
	switch dp.Kind {
	case Connect:
		return route{share: connectShare}
	case Disconnected:
		return route{share: disconnectShare}
	case RoomEvent:
		return route{share: roomShare}
	case Message:
		return route{share: messageShare, concurrent: true}
	case Event:
	}
	among := func(list []route) bool {
		i := slices.IndexFunc(list, func(r route) bool { return r.service == s })
		if i >= 0 {
			r = list[i]
		}
		return i >= 0
	}
	ns := dp.Socket.Namespace()
	if t.some(ns, func(r *routes) bool { return among(r.byName[dp.Event.Name]) }) ||
		t.some(ns, func(r *routes) bool { return among(r.catchAll) }) {
		return r
	}
	return route{share: otherShare}
}

// find tells where in the table the pattern stands. Patterns of the same text are the same.
func (t *table) find(p *sio.Pattern) (int, bool) {
	return slices.BinarySearchFunc(t.patterns, p, func(r rule, p *sio.Pattern) int { return byText(r.pattern, p) })
}

func byText(a, b *sio.Pattern) int { return cmp.Compare(a.String(), b.String()) }

// buildTable makes the table of what the services declare.
func buildTable(services map[sio.ServiceName]*service) *table {
	t := &table{namespaces: map[sio.Namespace]*routes{}}
	patterns := map[string]rule{}
	for _, s := range services {
		for i := range s.declared {
			reg := &s.declared[i]
			if reg.Pattern {
				r := patterns[reg.Compiled.String()]
				if r.routes == nil {
					r = rule{reg.Compiled, newRoutes()}
					patterns[reg.Compiled.String()] = r
				}
				r.routes.add(s, reg)
				continue
			}
			r := t.namespaces[reg.Namespace]
			if r == nil {
				r = newRoutes()
				t.namespaces[reg.Namespace] = r
			}
			r.add(s, reg)
		}
	}
	for _, r := range t.namespaces {
		r.group()
	}
	for _, r := range patterns {
		r.routes.group()
		t.patterns = append(t.patterns, r)
	}
	slices.SortFunc(t.patterns, func(a, b rule) int { return byText(a.pattern, b.pattern) })
	return t
}

func newRoutes() *routes { return &routes{byName: map[string][]route{}} }

// find gives the services that handle the event.
func (r *routes) find(event string) []route {
	if r == nil {
		return nil
	}
	if list := r.byName[event]; list != nil {
		return list
	}
	return r.catchAll
}

// away tells whether no service of the namespace has an instance. One that is only notified of
// connects is not waited for.
func (r *routes) away() bool {
	return r == nil || len(r.advised) == 0 && !slices.ContainsFunc(r.services, func(s *service) bool { return s.there.Load() })
}

func (r *routes) add(s *service, reg *sio.Registration) {
	r.services = with(r.services, s)
	for _, event := range reg.Events {
		r.byName[event] = withRoute(r.byName[event], route{s, s.shareOf(reg, event, false), slices.Contains(reg.Concurrent, event)})
	}
	if reg.CatchAll {
		r.catchAll = withRoute(r.catchAll, route{s, s.shareOf(reg, "", true), slices.Contains(reg.Concurrent, "*")})
	}
	if reg.Connect {
		r.addAsked(asked{s, reg.ConnectOrder, reg.Advisory})
	}
	if reg.Disconnect {
		r.disconnect = with(r.disconnect, s)
	}
	if reg.RoomEvents {
		r.roomEvents = with(r.roomEvents, s)
	}
}

// addRoutes adds what stands in others, which may be nil.
func (r *routes) addRoutes(other *routes) {
	if other == nil {
		return
	}
	for _, s := range other.services {
		r.services = with(r.services, s)
	}
	for event, list := range other.byName {
		for _, x := range list {
			r.byName[event] = withRoute(r.byName[event], x)
		}
	}
	for _, x := range other.catchAll {
		r.catchAll = withRoute(r.catchAll, x)
	}
	for _, s := range other.disconnect {
		r.disconnect = with(r.disconnect, s)
	}
	for _, s := range other.roomEvents {
		r.roomEvents = with(r.roomEvents, s)
	}
	for _, a := range other.asked {
		r.addAsked(a)
	}
}

// addAsked notes who is to be asked. A service is asked once: at the earliest of its orders, and
// for good if one registration wants that.
func (r *routes) addAsked(a asked) {
	i := slices.IndexFunc(r.asked, func(b asked) bool { return b.service == a.service })
	if i < 0 {
		r.asked = append(r.asked, a)
		return
	}
	r.asked[i].order = min(r.asked[i].order, a.order)
	r.asked[i].advisory = r.asked[i].advisory && a.advisory
}

// group makes connect and advised of asked.
func (r *routes) group() {
	slices.SortStableFunc(r.asked, func(a, b asked) int { return cmp.Compare(a.order, b.order) })
	order := -1
	for _, a := range r.asked {
		if a.advisory {
			r.advised = append(r.advised, a.service)
			continue
		}
		if a.order != order {
			order = a.order
			r.connect = append(r.connect, nil)
		}
		last := len(r.connect) - 1
		r.connect[last] = append(r.connect[last], a.service)
	}
}

func withRoute(list []route, r route) []route {
	if slices.ContainsFunc(list, func(x route) bool { return x.service == r.service }) {
		return list
	}
	return append(list, r)
}

func with(list []*service, s *service) []*service {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
