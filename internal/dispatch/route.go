// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// table holds the routes: which services get which event. It is never changed once stored; every attach and detach makes a new one.
// Routes of a service stay when its last instance has left, so that its events wait for it.
type table struct {
	namespaces map[sio.Namespace]*routes
}

// routes are the rules of one namespace. Each service stands in a list once.
type routes struct {
	services   []*service // all that registered the namespace
	byName     map[string][]*service
	catchAll   []*service // for events that stand not in byName
	connect    []*service
	disconnect []*service
}

func (t *table) namespace(ns sio.Namespace) *routes { return t.namespaces[ns] }

// find gives the services that handle the event.
func (r *routes) find(event string) []*service {
	if r == nil {
		return nil
	}
	if list := r.byName[event]; list != nil {
		return list
	}
	return r.catchAll
}

// away tells whether no service of the namespace has an instance.
func (r *routes) away() bool {
	return !slices.ContainsFunc(r.services, func(s *service) bool { return s.there.Load() })
}

// disconnects tells whether the service wants to be told about disconnects of the namespace's sockets.
func (t *table) disconnects(ns sio.Namespace, s *service) bool {
	r := t.namespaces[ns]
	return r != nil && slices.Contains(r.disconnect, s)
}

// buildTable makes the table of what the services declare.
func buildTable(services map[sio.ServiceName]*service) *table {
	t := &table{namespaces: map[sio.Namespace]*routes{}}
	for _, s := range services {
		for i := range s.declared {
			t.add(s, &s.declared[i])
		}
	}
	return t
}

func (t *table) add(s *service, reg *sio.Registration) {
	r := t.namespaces[reg.Namespace]
	if r == nil {
		r = &routes{byName: map[string][]*service{}}
		t.namespaces[reg.Namespace] = r
	}
	r.services = with(r.services, s)
	for _, event := range reg.Events {
		r.byName[event] = with(r.byName[event], s)
	}
	if reg.CatchAll {
		r.catchAll = with(r.catchAll, s)
	}
	if reg.Connect {
		r.connect = with(r.connect, s)
	}
	if reg.Disconnect {
		r.disconnect = with(r.disconnect, s)
	}
}

func with(list []*service, s *service) []*service {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
