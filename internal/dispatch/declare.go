// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"

	"github.com/spanwire/spanwire/internal/sio"
)

// Declare changes what the instance handles: the registrations take the place of those that it had.
// It has no effect on what is open. An error has CodeClosed when the attachment has ended,
// CodeInvalid when a pattern is none; nothing has changed then.
func (a *Attachment) Declare(namespaces []sio.Registration) error {
	all, err := compiled(namespaces)
	if err != nil {
		return err
	}
	d, s := a.d, a.service
	d.mu.Lock()
	if !slices.Contains(s.attachments, a) {
		d.mu.Unlock()
		return sio.E(sio.CodeClosed, "register", "the instance is not attached any more")
	}
	next := *a.declared
	next.Namespaces = all
	s.mu.Lock()
	a.declared = &next
	s.mu.Unlock()
	d.rerouteLocked(s)
	known := d.releaseKnownLocked()
	d.mu.Unlock()

	for _, b := range known {
		d.admit(b)
	}
	d.log.Info("handler instance changed its registrations", "service", s.name, "instance", a.register.Instance)
	d.changed(a.distance)
	return nil
}

// declareLocked works out what the service handles: all that any of its instances declares. Under
// the dispatcher's mu.
func (s *service) declareLocked() {
	if len(s.attachments) == 0 {
		return
	}
	s.declared = nil
	mixed := false
	for _, a := range s.attachments {
		s.declared = append(s.declared, a.declared.Namespaces...)
		mixed = mixed || differ(a.declared, s.attachments[0].declared)
	}
	s.mu.Lock()
	s.mixed = mixed
	s.mu.Unlock()
}

// differ tells whether two instances of a service declare different things.
func differ(one, other *sio.Register) bool {
	return !slices.EqualFunc(one.Namespaces, other.Namespaces, func(a, b sio.Registration) bool { return a.Equal(&b) })
}

// suitsLocked tells whether the instance declared what the dispatch is about, or no other of its
// service has either. While a service's instances are replaced by those of a newer version, what
// only one version handles goes to that.
func (a *Attachment) suitsLocked(dp *Dispatch) bool {
	s := a.service
	if !s.mixed || dp.foreign() || a.declaresLocked(dp) {
		return true
	}
	other := func(b *Attachment) bool { return b.declaresLocked(dp) }
	return !slices.ContainsFunc(s.local, other) && !slices.ContainsFunc(s.remote, other)
}

func (a *Attachment) declaresLocked(dp *Dispatch) bool {
	if dp.Kind != Event && dp.Kind != Connect {
		return true // it goes to where the socket is known
	}
	ns := dp.Socket.Namespace()
	return slices.ContainsFunc(a.declared.Namespaces, func(r sio.Registration) bool {
		if dp.Kind == Connect {
			return r.Connect && r.Covers(ns)
		}
		return (r.CatchAll || slices.Contains(r.Events, dp.Event.Name)) && r.Covers(ns)
	})
}

// eventOf names an event, or catch-all, of a registration.
type eventOf struct {
	namespace sio.Namespace // or pattern
	pattern   bool
	event     string
	all       bool // catch-all, without an event
}

// shareOf gives the share of the event, or of catch-all, on the service's instances. It is the same
// for the service's life. Under the dispatcher's mu.
func (s *service) shareOf(reg *sio.Registration, event string, all bool) int {
	key := eventOf{reg.Namespace, reg.Pattern, event, all}
	number, known := s.shares[key]
	if known {
		return number
	}
	number = firstEventShare + len(s.shares)
	if number >= maxShares {
		return otherShare
	}
	if s.shares == nil {
		s.shares = map[eventOf]int{}
	}
	s.shares[key] = number
	return number
}
