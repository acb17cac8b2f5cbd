// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// What is known of services, their instances and what waits for them: for operators, and for
// replicas that ask which services are absent. It only reads.

// Load is what is known of one service.
type Load struct {
	Service   sio.ServiceName
	Declared  []sio.Registration // of its instances, or of the last that left; equal ones once
	Instances []InstanceLoad     // by id
	Waiting   int                // sockets of this replica that wait for an instance to come
	Absent    time.Time          // since when no instance takes sockets; zero while one does
	Held      int                // connects of this replica that wait meanwhile
	Queued    int                // dispatches of this replica that wait, whatever for
	// sockets of this replica that are not read, since too much of them waits
	Unread int
}

// InstanceLoad is what is known of one instance. What is counted is this replica's.
type InstanceLoad struct {
	Register *sio.Register // as in force; never changed
	Distance Distance
	Window   int
	Open     int // dispatches
	Sockets  int // that are assigned to it
	Waiting  int // sockets that wait for its window, for their share of it, or for their turn
	Queued   int // dispatches that wait for it
	Unread   int // sockets that are not read, since too much of them waits for it
	Draining bool
}

// Load tells the services, by name; those that are away too.
func (d *Dispatcher) Load() []Load {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Load, 0, len(d.services))
	for _, s := range d.services {
		all = append(all, s.loadLocked())
	}
	slices.SortFunc(all, func(a, b Load) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// Absent lists the services that have no instance that takes sockets, by name.
func (d *Dispatcher) Absent() (all []sio.Absent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.services {
		if since, held := s.absence.state(); !since.IsZero() {
			all = append(all, sio.Absent{Service: s.name, Since: since, Held: held, Declared: s.declared})
		}
	}
	slices.SortFunc(all, func(a, b sio.Absent) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// loadLocked is called under the dispatcher's mu, and takes the service's.
func (s *service) loadLocked() Load {
	v := Load{Service: s.name}
	v.Absent, v.Held = s.absence.state()
	for i := range s.declared {
		if r := &s.declared[i]; !slices.ContainsFunc(v.Declared, func(known sio.Registration) bool { return known.Equal(r) }) {
			v.Declared = append(v.Declared, *r)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Waiting, v.Queued, v.Unread = s.unassigned.len, s.backlog.events, s.backlog.blocked
	for _, a := range s.attachments {
		x := InstanceLoad{
			Register: a.declared, Distance: a.distance, Window: a.register.Window, Open: len(a.open), Sockets: a.assigned,
			Waiting: a.backlog.sockets, Queued: a.backlog.events, Unread: a.backlog.blocked, Draining: a.draining,
		}
		v.Instances = append(v.Instances, x)
	}
	slices.SortFunc(v.Instances, func(a, b InstanceLoad) int { return cmp.Compare(a.Register.Instance, b.Register.Instance) })
	return v
}

// Waiting tells what waits of the socket, by service; nothing of most.
func (b *Binding) Waiting() (all []sio.Wait) {
	b.mu.Lock()
	lanes := b.lanesLocked()
	b.mu.Unlock()
	for _, l := range lanes {
		l.service.mu.Lock()
		x := l.backlogLocked()
		l.service.mu.Unlock()
		if x.events > 0 {
			all = append(all, sio.Wait{Service: l.service.name, Events: x.events, Unread: x.blocked > 0})
		}
	}
	return all
}
