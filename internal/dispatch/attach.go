// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"slices"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Attach adds an instance. Its form has been checked. The instance may be given dispatches before
// Attach returns. A newer stream of an instance takes the place of the older, whose Done is closed.
// An error has CodeConflict when the instance's id belongs to another service, or for a Remote one
// when it is attached here too; CodeTooLarge when too many services are known; CodeInvalid when a
// pattern that nobody has compiled yet is none.
func (d *Dispatcher) Attach(reg *sio.Register, inst Instance, distance Distance) (*Attachment, error) {
	a := &Attachment{
		d: d, instance: inst, register: *reg, distance: distance,
		done: make(chan struct{}), empty: make(chan struct{}), open: map[sio.DispatchID]*Dispatch{},
		ring: ring{gauge: d.metrics.WaitingWindow}, redelivered: share{waiting: ring{gauge: d.metrics.WaitingShare}},
	}
	a.register.Window = d.window(reg.Window)
	declared := a.register
	var err error
	if declared.Namespaces, err = compiled(reg.Namespaces); err != nil {
		return nil, err
	}
	a.declared, a.register.Namespaces = &declared, nil
	d.mu.Lock()
	var evicted *service
	old, err := d.conflictLocked(reg, distance)
	if err == nil {
		a.service, evicted, err = d.serviceLocked(reg.Service)
	}
	if err != nil {
		d.mu.Unlock()
		return nil, err
	}
	s := a.service
	differs := len(s.attachments) > 0 && differ(s.attachments[0].declared, a.declared)
	d.generations++
	a.generation = d.generations
	s.attachments = append(s.attachments, a)
	d.instances(distance)[reg.Instance] = a
	d.gauge(distance).Inc()
	s.stayLocked()
	d.rerouteLocked(s)
	s.mu.Lock()
	s.joinLocked(a)
	s.unlockAndFlush()
	known := d.releaseKnownLocked()
	d.yieldAllLocked()
	d.mu.Unlock()

	if evicted != nil {
		d.retired(evicted, nil, "max-services")
	}
	if old != nil {
		old.Detach()
	}
	for _, b := range known {
		d.admit(b)
	}
	d.noteAttached(a, distance, old != nil)
	if differs {
		d.log.Warn("registrations differ from those of the service's other instances; events go to the instances that registered them",
			"service", reg.Service, "instance", reg.Instance)
	}
	d.changed(distance)
	return a, nil
}

// noteAttached logs a new attachment.
func (d *Dispatcher) noteAttached(a *Attachment, distance Distance, replaces bool) {
	line := "instance attached"
	if distance == Remote {
		line = "instance of a peer attached"
	} else if replaces {
		line = "instance attached; its older stream ends"
	}
	reg := &a.register
	d.log.Info(line, "service", reg.Service, "instance", reg.Instance, "sdk", reg.SDKName+" "+reg.SDKVersion, "limit", reg.Window)
}

// compiled gives the registrations with their patterns compiled.
func compiled(all []sio.Registration) ([]sio.Registration, error) {
	all = slices.Clone(all)
	for i := range all {
		if r := &all[i]; r.Pattern && r.Compiled == nil {
			var err error
			if r.Compiled, err = sio.CompilePattern(string(r.Namespace)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (d *Dispatcher) window(wanted int) int {
	if wanted <= 0 {
		wanted = d.options.DefaultWindow
	}
	return min(wanted, d.options.MaxWindow)
}

func (d *Dispatcher) instances(distance Distance) map[sio.InstanceID]*Attachment {
	if distance == Local {
		return d.local
	}
	return d.remote
}

func (d *Dispatcher) gauge(distance Distance) metrics.Gauge {
	if distance == Local {
		return d.metrics.LocalInstances
	}
	return d.metrics.RemoteInstances
}

// conflictLocked gives the attachment that the new one takes the place of.
func (d *Dispatcher) conflictLocked(reg *sio.Register, distance Distance) (old *Attachment, err error) {
	if distance == Remote && d.local[reg.Instance] != nil {
		return nil, sio.E(sio.CodeConflict, "attach", fmt.Sprintf("the instance %q is attached here itself", reg.Instance))
	}
	old = d.instances(distance)[reg.Instance]
	if old != nil && old.service.name != reg.Service {
		return nil, sio.E(sio.CodeConflict, "attach", fmt.Sprintf(
			"the instance id %q is in use by an instance of service %q; give each instance an id of its own", reg.Instance, old.service.name))
	}
	return old, nil
}

// serviceLocked finds or makes the service. When too many are known, the one that has been away
// longest gives way: what waits for it is the caller's to let go.
func (d *Dispatcher) serviceLocked(name sio.ServiceName) (s, evicted *service, err error) {
	if s := d.services[name]; s != nil {
		return s, nil, nil
	}
	if len(d.services) >= d.options.MaxServices {
		for _, s := range d.services {
			if len(s.attachments) == 0 && (evicted == nil || s.left.Before(evicted.left)) {
				evicted = s
			}
		}
		if evicted == nil {
			return nil, nil, sio.E(sio.CodeTooLarge, "attach", fmt.Sprintf("%d services are attached, which is the most allowed (setting max-services)",
				len(d.services)))
		}
		// the table is made again; held connects are released with the new service's
		d.retireLocked(evicted)
	}
	return d.newServiceLocked(name), evicted, nil
}

func (d *Dispatcher) newServiceLocked(name sio.ServiceName) *service {
	s := &service{d: d, name: name, unassigned: ring{gauge: d.metrics.WaitingInstance}}
	s.absence.service = s
	d.services[name] = s
	return s
}

// rerouteLocked follows a change of the service's attachments.
func (d *Dispatcher) rerouteLocked(s *service) {
	s.declareLocked()
	d.namespaces.follow(buildTable(d.services))
	d.unhandled.forget()
}

// forget takes the attachment out of the lists, and tells whether it was there. The service is
// retired if it leaves with the attachment; then known are the held connects that can be decided.
func (d *Dispatcher) forget(a *Attachment) (was, retired bool, known []*Binding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := a.service
	i := slices.Index(s.attachments, a)
	if i < 0 {
		return false, false, nil
	}
	s.attachments = slices.Delete(s.attachments, i, i+1)
	if list := d.instances(a.distance); list[a.register.Instance] == a {
		delete(list, a.register.Instance)
	}
	d.gauge(a.distance).Dec()
	if s.leftLocked(a) {
		d.retireLocked(s)
		return true, true, d.releaseKnownLocked()
	}
	d.rerouteLocked(s)
	return true, false, nil
}
