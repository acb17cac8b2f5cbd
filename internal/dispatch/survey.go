// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Survey is what is known of one service.
type Survey struct {
	Service   sio.ServiceName
	Declared  []sio.Registration // of its instances, or of the last that left; equal ones once
	Instances []InstanceSurvey   // by id
	Waiting   int                // sockets of this replica that wait for an instance to come
	Absent    time.Time          // since when no instance takes sockets; zero while one does
	Held      int                // connects of this replica that wait meanwhile
}

// InstanceSurvey is what is known of one instance. What is counted is this replica's.
type InstanceSurvey struct {
	Register *sio.Register // as in force; never changed
	Distance Distance
	Window   int
	Open     int // dispatches
	Sockets  int // that are assigned to it
	Waiting  int // sockets that wait for its window, or for their share of it
	Draining bool
}

// Survey tells the services, by name; those that are away too.
func (d *Dispatcher) Survey() []Survey {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Survey, 0, len(d.services))
	for _, s := range d.services {
		all = append(all, s.surveyLocked())
	}
	slices.SortFunc(all, func(a, b Survey) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// Absent lists the services that have no instance that takes sockets, by name.
func (d *Dispatcher) Absent() (all []sio.Absent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.services {
		if since, held := s.absence.state(); !since.IsZero() {
			all = append(all, sio.Absent{Service: s.name, Since: since, Held: held})
		}
	}
	slices.SortFunc(all, func(a, b sio.Absent) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// surveyLocked is called under the dispatcher's mu, and takes the service's.
func (s *service) surveyLocked() Survey {
	v := Survey{Service: s.name}
	v.Absent, v.Held = s.absence.state()
	for i := range s.declared {
		if r := &s.declared[i]; !slices.ContainsFunc(v.Declared, func(known sio.Registration) bool { return known.Equal(r) }) {
			v.Declared = append(v.Declared, *r)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Waiting = s.homeless.len
	for _, a := range s.attachments {
		x := InstanceSurvey{
			Register: a.declared, Distance: a.distance, Window: a.register.Window, Open: len(a.open), Sockets: a.assigned,
			Waiting: a.ring.len, Draining: a.draining,
		}
		for _, share := range a.crowded {
			x.Waiting += share.waiting.len
		}
		v.Instances = append(v.Instances, x)
	}
	slices.SortFunc(v.Instances, func(a, b InstanceSurvey) int { return cmp.Compare(a.Register.Instance, b.Register.Instance) })
	return v
}
