// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// What a service handles may change while it runs. The rules:
//
// 1. Each change makes a declaration of all that is handled, with a number. A stream opens with the
// last one; a stream that is older is
//     sent the last one, and again when that was answered and there is a newer one, so many changes in a row make few frames.
// 2. A new handler is called as soon as a broker hands out an event for it. One that was taken away
// is called until every attached broker
//     has taken a declaration without it, since events of it may be on their way until then.
// 3. A declaration that a broker refuses is kept for the next change to mend. Streams open with the
// last that was taken meanwhile. 4. A broker that does not know of changes says so, or nothing. The
// stream is drained then, and attached anew.

// declarations are what was declared to brokers. They are guarded by the service's mu.
type declarations struct {
	declared declaration        // the last
	taken    declaration        // the last that a broker took
	refused  *RegistrationError // why declared was not taken; nil while nobody refused it
	// the number of the last without a handler that is still kept; 0 for none
	retired uint64
	none    bool // nothing is wanted any more, which cannot be declared
}

// declaration is all that a service handles at a time.
type declaration struct {
	number uint64
	list   []*spanwirev1.Registration
}

// declaredTo is how far a stream got. Its fields are guarded by the service's mu.
type declaredTo struct {
	taken    uint64 // the number of the declaration in force
	answered uint64 // the number of the last that was answered, taken or refused
	asked    declaration
	late     *time.Timer // while asked is not answered
	outdated bool        // the broker does not know of changes, so the stream is being drained
}

var (
	errNothingLeft = errors.New("spanwire: the last handler of a service cannot be removed (end Run instead)")
	errOutdated    = errors.New("the broker accepts changed registrations only when a stream opens")
)

// change carries out a change of the namespace's own handlers, and declares it if the service runs.
func (svc *Service) change(n *Namespace, apply func(n *Namespace) error) {
	svc.mu.Lock()
	if !svc.running {
		if err := apply(svc.keptLocked(n)); err != nil {
			svc.misuses = append(svc.misuses, err)
		}
		svc.mu.Unlock()
		return
	}
	svc.scheduler.mu.Lock()
	err := apply(svc.keptLocked(n))
	svc.bindLocked()
	svc.scheduler.mu.Unlock()
	var nothing error
	if err == nil {
		nothing = svc.declareLocked()
	}
	svc.notifyLocked()
	asked := svc.askLocked()
	svc.mu.Unlock()
	if err != nil {
		svc.misuse(err)
	}
	if nothing != nil {
		svc.options.Logger.Info("last handler stays in force until another is registered")
	}
	for _, s := range asked {
		s.flush()
	}
}

// keptLocked gives the namespace that the service keeps under the name, which may be another than
// the program has.
func (svc *Service) keptLocked(n *Namespace) *Namespace {
	if n.pattern != nil {
		if kept := svc.patternLocked(n.name); kept != nil {
			return kept
		}
		svc.patterns = append(svc.patterns, n)
		return n
	}
	if kept := svc.namespaces[n.name]; kept != nil {
		return kept
	}
	if svc.scheduler != nil {
		if child := svc.scheduler.children[n.name]; child != nil {
			delete(svc.scheduler.children, n.name)
			child.dynamic = false
			n = child
		}
	}
	svc.namespaces[n.name] = n
	return n
}

// bindLocked works out what is called in each namespace, and lets go of the sockets of those where
// nothing is. The scheduler's mu is held, unless nothing runs yet.
func (svc *Service) bindLocked() {
	bind := func(list map[string]*Namespace) {
		for _, n := range list {
			if n.bindLocked(); !n.live.empty() {
				continue
			}
			for _, socket := range n.sockets {
				if !socket.lane.claimed { // a claimed one is let go of when its events are done
					socket.forgetLocked()
				}
			}
		}
	}
	bind(svc.namespaces)
	if svc.scheduler != nil {
		bind(svc.scheduler.children)
	}
}

// declareLocked makes a declaration of what is registered.
func (svc *Service) declareLocked() error {
	var list []*spanwirev1.Registration
	add := func(n *Namespace) {
		if r := n.registration(); r != nil {
			list = append(list, r)
		}
	}
	for _, name := range sortedKeys(svc.namespaces) {
		add(svc.namespaces[name])
	}
	for _, n := range svc.patterns {
		add(n)
	}
	if svc.none = len(list) == 0; svc.none {
		return errNothingLeft
	}
	svc.declared, svc.refused = declaration{svc.declared.number + 1, list}, nil
	return nil
}

// declaration gives what a stream opens with.
func (svc *Service) declaration() declaration {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.refused != nil && svc.taken.number > 0 {
		return svc.taken
	}
	return svc.declared
}

// opened notes the declaration that a stream opened with. The service's mu is held.
func (svc *Service) openedLocked(s *stream, d declaration) {
	s.declared = declaredTo{taken: d.number, answered: d.number}
	if svc.refused != nil {
		s.declared.answered = svc.declared.number
	}
	svc.tookLocked(d)
}

func (svc *Service) tookLocked(d declaration) {
	if d.number > svc.taken.number {
		svc.taken = d
	}
}

// askLocked puts the last declaration into the queues of the streams that have an older one, and
// gives those streams, to be flushed without the lock.
func (svc *Service) askLocked() (asked []*stream) {
	for _, l := range svc.links {
		s := l.stream
		if s == nil || s.ended.Load() || s.declared.outdated || s.declared.late != nil || s.declared.answered >= svc.declared.number {
			continue
		}
		frame, err := proto.Marshal(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Registrations{
			Registrations: &spanwirev1.Registrations{Registrations: svc.declared.list},
		}})
		if err != nil || !s.out.control(frame) { // text that is no UTF-8, or the stream is leaving
			s.declared.answered = svc.declared.number
			if err != nil {
				svc.refused = &RegistrationError{Message: err.Error()}
			}
			continue
		}
		s.declared.asked = svc.declared
		silent := &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED, Message: "no answer in time"}
		number := svc.declared.number
		s.declared.late = time.AfterFunc(svc.options.AttachTimeout, func() { svc.registered(s, number, silent) })
		asked = append(asked, s)
	}
	return asked
}

// registered works on what a broker says to a declaration; number is 0 for the one that was asked
// last. It tells whether the stream waited for that.
func (svc *Service) registered(s *stream, number uint64, fault *spanwirev1.Fault) bool {
	svc.mu.Lock()
	at := &s.declared
	if at.late == nil || number != 0 && number != at.asked.number {
		svc.mu.Unlock()
		return false
	}
	at.late.Stop()
	at.late, at.answered = nil, at.asked.number
	outdated := fault.GetCode() == spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED
	switch {
	case fault == nil:
		at.taken = at.asked.number
		svc.tookLocked(at.asked)
	case outdated:
		at.answered, at.outdated = at.taken, true
		close(s.outdated)
	case at.asked.number == svc.declared.number:
		svc.refused = &RegistrationError{Message: fault.GetMessage()}
	}
	svc.settleLocked()
	svc.notifyLocked()
	asked := svc.askLocked()
	svc.mu.Unlock()
	switch {
	case outdated:
		s.log.Info("broker does not support changed registrations; attaching again", "err", fault.GetMessage())
	case fault != nil:
		s.log.Error("broker rejected the changed registrations; the previous ones stay in force", "err", fault.GetMessage())
	}
	for _, s := range asked {
		s.flush()
	}
	return true
}

// refuse notes that a broker ended the opening of a stream because of a declaration.
func (svc *Service) refuse(number uint64, err *RegistrationError) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if number == svc.declared.number && svc.taken.number > 0 && svc.taken.number != number {
		svc.refused = err
		svc.notifyLocked()
	}
}

// settleLocked forgets handlers and namespaces that were taken away and that no broker asks for any
// more. The service's mu is held.
func (svc *Service) settleLocked() {
	if svc.retired == 0 {
		return
	}
	taken := svc.declared.number
	if svc.refused != nil {
		taken = svc.taken.number
	}
	for _, l := range svc.links {
		if s := l.stream; s != nil && !s.ended.Load() {
			taken = min(taken, s.declared.taken)
		}
	}
	if taken >= svc.retired {
		svc.retired = 0
	}
	svc.scheduler.mu.Lock()
	defer svc.scheduler.mu.Unlock()
	for _, n := range svc.namespaces {
		n.own.forget(taken)
	}
	var patterns []*Namespace
	for _, n := range svc.patterns {
		if n.own.forget(taken); !n.own.empty() {
			patterns = append(patterns, n)
		}
	}
	svc.patterns = patterns
	svc.bindLocked()
	for name, n := range svc.namespaces {
		if !n.own.empty() {
			continue
		}
		delete(svc.namespaces, name) // a handler that is registered later brings it back
		if len(n.sockets) > 0 {
			n.dynamic = true
			if svc.scheduler.children == nil {
				svc.scheduler.children = map[string]*Namespace{}
			}
			svc.scheduler.children[name] = n
		}
	}
}

// Registered waits until what was registered and taken away so far is in force at every broker that
// the service is attached to, one at least. It is for programs whose handlers come and go while Run
// runs, and returns what was wrong with the changes since it was called last: the program's own
// mistakes, which are ignored otherwise, or a RegistrationError if a broker refused, and what was
// in force before is in force still. A service cannot be left without any handler: the last one
// stays until there is another.
func (svc *Service) Registered(ctx context.Context) error {
	for {
		svc.mu.Lock()
		changed := svc.changed
		settled, err := svc.inForceLocked(), error(nil)
		if settled && svc.running {
			wrong := svc.misuses
			svc.misuses = nil
			if svc.refused != nil {
				wrong = append(wrong, svc.refused)
			}
			if svc.none {
				wrong = append(wrong, errNothingLeft)
			}
			err = errors.Join(wrong...)
		}
		svc.mu.Unlock()
		if settled {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-svc.over:
			return ErrBrokerUnavailable
		}
	}
}

// inForceLocked tells whether every stream has answered the last declaration.
func (svc *Service) inForceLocked() bool {
	attached := false
	for _, l := range svc.links {
		s := l.stream
		if s == nil || s.ended.Load() {
			continue
		}
		if s.declared.answered < svc.declared.number {
			return false
		}
		attached = true
	}
	return attached
}

// Off takes the handler of an event away, also "*". It is called until every attached broker has
// been told; the events that come after that go to other services, or to nobody.
func (n *Namespace) Off(event string) {
	n.off("handler for event "+fmt.Sprintf("%q", event), func(hs *handlers, number uint64) bool {
		if event == catchAll {
			return retire(hs.any, number)
		}
		return retire(hs.events[event], number)
	})
}

// OffConnect takes the connect handler away: this service is not asked about connects any more.
func (n *Namespace) OffConnect() {
	n.off("connect handler", func(hs *handlers, number uint64) bool { return retire(hs.connect, number) })
}

// OffDisconnect takes the disconnect handler away.
func (n *Namespace) OffDisconnect() {
	n.off("disconnect handler", func(hs *handlers, number uint64) bool { return retire(hs.disconnect, number) })
}

// OffRoom takes the room handler away.
func (n *Namespace) OffRoom() {
	n.off("room handler", func(hs *handlers, number uint64) bool { return retire(hs.room, number) })
}

// OffMessage takes the handler of a message away, also "*".
func (n *Namespace) OffMessage(name string) {
	n.off("handler for message "+fmt.Sprintf("%q", name), func(hs *handlers, number uint64) bool {
		return retire(hs.messages[name], number)
	})
}

// OffAll takes all handlers of the namespace away: the service has nothing to do with it any more.
func (n *Namespace) OffAll() {
	n.off("handler", func(hs *handlers, number uint64) (found bool) {
		for _, list := range [...]map[string]*handler{hs.events, hs.messages} {
			for _, h := range list {
				found = retire(h, number) || found
			}
		}
		for _, place := range hs.single() {
			found = retire(*place, number) || found
		}
		return found
	})
}

func (n *Namespace) off(what string, take func(hs *handlers, number uint64) bool) {
	svc := n.service
	svc.change(n, func(n *Namespace) error {
		if !take(&n.own, svc.declared.number+1) {
			return fmt.Errorf("spanwire: namespace %s has no %s to remove", n.name, what)
		}
		if svc.retired = svc.declared.number + 1; !svc.running {
			n.own.forget(svc.retired)
		}
		return nil
	})
}

// Off takes the handler of an event of the main namespace away; see Namespace.Off.
func (svc *Service) Off(event string) { svc.main().Off(event) }

// OffConnect takes the connect handler of the main namespace away.
func (svc *Service) OffConnect() { svc.main().OffConnect() }

// OffDisconnect takes the disconnect handler of the main namespace away.
func (svc *Service) OffDisconnect() { svc.main().OffDisconnect() }

// OffRoom takes the room handler of the main namespace away.
func (svc *Service) OffRoom() { svc.main().OffRoom() }

// OffMessage takes the handler of a message of the main namespace away.
func (svc *Service) OffMessage(name string) { svc.main().OffMessage(name) }
