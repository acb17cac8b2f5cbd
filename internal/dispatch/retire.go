// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Retire forgets a service that has no instance: connects do not wait for it any more, and what is
// queued for it is dropped. With an instance attached nothing happens, and the answer names it; so
// it does when the service is not known.
func (d *Dispatcher) Retire(name sio.ServiceName) (r sio.Retired) {
	d.mu.Lock()
	s := d.services[name]
	if s == nil {
		d.mu.Unlock()
		return sio.Retired{}
	}
	if r.Instances = s.attachedLocked(); len(r.Instances) > 0 {
		d.mu.Unlock()
		return r
	}
	d.retireLocked(s)
	known := d.releaseKnownLocked()
	d.mu.Unlock()
	r.Known = true
	r.Connects, r.Dropped = d.retired(s, known, "retire")
	return r
}

// RetireWith forgets the service as soon as the instance has left, if it is the last one. It is
// what other replicas say of an instance that left them for good.
func (d *Dispatcher) RetireWith(name sio.ServiceName, instance sio.InstanceID) (r sio.Retired) {
	d.mu.Lock()
	if s := d.services[name]; s != nil {
		if r.Instances = s.attachedLocked(); len(r.Instances) == 1 && r.Instances[0] == instance {
			s.retiring = instance
		}
	}
	d.mu.Unlock()
	if len(r.Instances) > 0 {
		return r
	}
	return d.Retire(name)
}

// Retire says that the service is forgotten when this instance leaves and no other is there.
func (a *Attachment) Retire() {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	a.retires = true
}

// Retires tells whether the instance said that its service is to be forgotten with it.
func (a *Attachment) Retires() bool {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	return a.retires
}

// attachedLocked lists the service's instances, each once. Under the dispatcher's mu.
func (s *service) attachedLocked() (all []sio.InstanceID) {
	for _, a := range s.attachments {
		all = append(all, a.register.Instance)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// leftLocked follows the end of the service's last attachment, and tells whether the service is to
// be forgotten with it. Under the dispatcher's mu.
func (s *service) leftLocked(a *Attachment) (retires bool) {
	s.left = time.Now()
	if len(s.attachments) > 0 {
		return false
	}
	s.retainLocked()
	retires = a.retires || s.retiring == a.register.Instance
	if retires && s.d.options.RetainLast {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.overdue = true
		s.yieldLocked()
		return false
	}
	return retires
}

// retainLocked starts the time of the absent service's retention. Under the dispatcher's mu.
func (s *service) retainLocked() {
	if wait := s.d.options.Retention; wait > 0 {
		s.retention = time.AfterFunc(max(0, wait-time.Since(s.left)), s.expire)
	}
}

// stayLocked follows an attachment. Under the dispatcher's mu.
func (s *service) stayLocked() {
	s.retiring = ""
	if s.retention != nil {
		s.retention.Stop()
		s.retention = nil
	}
	s.mu.Lock()
	s.overdue = false
	s.mu.Unlock()
}

// expire forgets the service, since it was away for the time of Options.Retention.
func (s *service) expire() {
	d := s.d
	d.mu.Lock()
	if d.services[s.name] != s || len(s.attachments) > 0 || time.Since(s.left) < d.options.Retention {
		d.mu.Unlock()
		return
	}
	if connected := d.options.Connected; connected != nil && !connected() {
		// its instances may be where this replica cannot hear of them
		s.retention.Reset(d.options.Retention)
		d.mu.Unlock()
		return
	}
	s.forgetLocked(d.options.RetainLast)
}

// forgetLocked forgets the absent service; one that is to yield only if a connect waits for it
// alone. It gives the dispatcher's mu back.
func (s *service) forgetLocked(yields bool) {
	d := s.d
	s.mu.Lock()
	s.overdue = yields && !s.blocksLocked()
	wait := s.overdue || s.closed
	s.mu.Unlock()
	if wait {
		d.mu.Unlock()
		return
	}
	d.retireLocked(s)
	known := d.releaseKnownLocked()
	d.mu.Unlock()
	d.retired(s, known, "service-retention")
}

// yield forgets the service if a connect waits for it alone and it is absent still.
func (s *service) yield() {
	s.d.mu.Lock()
	if s.d.services[s.name] != s || len(s.attachments) > 0 {
		s.d.mu.Unlock()
		return
	}
	s.forgetLocked(true)
}

// yieldLocked has an overdue service yield if a connect waits for it alone. Under the service's mu.
func (s *service) yieldLocked() {
	if s.overdue && s.blocksLocked() {
		s.overdue = false
		time.AfterFunc(0, s.yield) // ends at once
	}
}

// blocksLocked tells whether a connect waits for this service alone: one whose namespace has
// another service that is there.
func (s *service) blocksLocked() bool {
	for l := s.unassigned.head; l != nil; l = l.next {
		if l.timer != nil && !l.binding.routes().away() {
			return true
		}
	}
	return false
}

// yieldAllLocked has overdue services yield to the one that has attached. Under the dispatcher's
// mu.
func (d *Dispatcher) yieldAllLocked() {
	if !d.options.RetainLast {
		return
	}
	for _, s := range d.services {
		s.mu.Lock()
		s.yieldLocked()
		s.mu.Unlock()
	}
}

// retireLocked forgets the service. Under the dispatcher's mu; retired follows.
func (d *Dispatcher) retireLocked(s *service) {
	delete(d.services, s.name)
	if s.retention != nil {
		s.retention.Stop()
	}
	d.namespaces.follow(buildTable(d.services))
	d.unhandled.forget()
	s.mu.Lock()
	s.retired, s.sweeping = true, false
	if s.sweeper != nil {
		s.sweeper.Stop()
	}
	s.mu.Unlock()
	s.absence.end()
	d.metrics.ForgetService(string(s.name))
}

// retired lets go of all that waits for a service that is forgotten, and of held connects that can
// be decided now. The reason is for the log.
func (d *Dispatcher) retired(s *service, known []*Binding, reason string) (connects, dropped int) {
	connects, dropped = s.dropAll()
	for _, b := range known {
		d.admit(b)
	}
	connects += len(known)
	level := slog.LevelInfo
	if dropped > 0 {
		level = slog.LevelWarn
	}
	d.log.Log(context.Background(), level, "service retired: connects no longer wait for it, and what was queued for it is dropped",
		"service", s.name, "reason", reason, "connects", connects, "dispatches", dropped)
	return connects, dropped
}

// sweepRetired drops what came to wait for the service while it was being forgotten.
func (s *service) sweepRetired() {
	s.mu.Lock()
	s.sweeping = false
	s.mu.Unlock()
	s.dropAll()
}

// dropAll drops what waits for a service that is forgotten. Its connects go on without it.
func (s *service) dropAll() (connects, dropped int) {
	var all, asking []*Dispatch
	s.mu.Lock()
	for l := s.unassigned.pop(); l != nil; l = s.unassigned.pop() {
		l.listed = true // so that dropping does not place it
		l.releaseConnectLocked()
		for _, dp := range l.dropLocked(time.Time{}) {
			if dp.Kind == Connect && !dp.advisory {
				asking = append(asking, dp)
			} else {
				all = append(all, dp)
			}
		}
		l.listed = false
	}
	s.unlockAndFlush()
	s.d.abandon(all, s.d.metrics.DroppedRetired, "the service was retired")
	for _, dp := range asking {
		s.d.conclude(dp, sio.Result{Outcome: sio.Handled})
	}
	return len(asking), len(all)
}
