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

// The handlers of a service may change while it runs. The rules:
//
//  1. Each change makes a declaration of all handlers, with a number. A stream opens with the last
//     declaration. A stream with an older one is sent the last one, and again when that was
//     answered and a newer one exists. Many changes in a row therefore need few frames.
//  2. A new handler runs as soon as a broker dispatches an event for it. A removed handler runs
//     until every attached broker has accepted a declaration without it, since its events may be on
//     their way until then.
//  3. A declaration that a broker rejects stays for the next change to correct. Streams open with
//     the last accepted one meanwhile.
//  4. A broker that does not support changes says so, or does not answer. Its stream is drained and
//     opened again.

// declarations are the declarations of a service. They are guarded by the service's mu.
type declarations struct {
	declared declaration        // the last
	taken    declaration        // the last that a broker accepted
	refused  *RegistrationError // why a broker rejected declared; nil if none did
	// the number of the last declaration that removed a handler which is still kept; 0 for none
	retired uint64
	none    bool // every handler was removed, which cannot be declared
}

// declaration lists all handlers of a service at one time.
type declaration struct {
	number uint64
	list   []*spanwirev1.Registration
}

// declaredTo is the progress of one stream. Its fields are guarded by the service's mu.
type declaredTo struct {
	taken    uint64 // the number of the declaration in force
	answered uint64 // the number of the last that the broker accepted or rejected
	asked    declaration
	late     *time.Timer // set while asked is not answered
	outdated bool        // the broker does not support changes, so the stream drains
}

var (
	errNothingLeft = errors.New("spanwire: the last handler of a service cannot be removed (end Run instead)")
	errOutdated    = errors.New("the broker accepts changed registrations only when a stream opens")
)

// change applies a change of the namespace's own handlers, and declares it if the service runs.
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

// keptLocked returns the namespace that the service keeps under the name. The program may hold
// another one.
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

// bindLocked sets the handlers in use of each namespace, and forgets the sockets of namespaces
// without any. The scheduler's mu is held, unless Run has not started.
func (svc *Service) bindLocked() {
	bind := func(list map[string]*Namespace) {
		for _, n := range list {
			if n.bindLocked(); !n.live.empty() {
				continue
			}
			for _, socket := range n.sockets {
				if !socket.lane.claimed { // a claimed one is forgotten after its events
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

// declareLocked makes a declaration of the registered handlers.
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

// declaration returns the declaration to open a stream with.
func (svc *Service) declaration() declaration {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.refused != nil && svc.taken.number > 0 {
		return svc.taken
	}
	return svc.declared
}

// openedLocked notes the declaration that a stream opened with. The service's mu is held.
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

// askLocked queues the last declaration on the streams that have an older one. It returns those
// streams, to be flushed without the lock.
func (svc *Service) askLocked() (asked []*stream) {
	for _, l := range svc.links {
		s := l.stream
		if s == nil || s.ended.Load() || s.declared.outdated || s.declared.late != nil || s.declared.answered >= svc.declared.number {
			continue
		}
		frame, err := proto.Marshal(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Registrations{
			Registrations: &spanwirev1.Registrations{Registrations: svc.declared.list},
		}})
		if err != nil || !s.out.control(frame) { // text that is not UTF-8, or a stream that drains
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

// registered handles the answer of a broker to a declaration; number is 0 for the last one sent. It
// reports whether the stream waited for it.
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

// refuse notes that a broker rejected a declaration at the opening of a stream.
func (svc *Service) refuse(number uint64, err *RegistrationError) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if number == svc.declared.number && svc.taken.number > 0 && svc.taken.number != number {
		svc.refused = err
		svc.notifyLocked()
	}
}

// settleLocked deletes removed handlers and namespaces that no broker uses. The service's mu is
// held.
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
		delete(svc.namespaces, name) // a later registration creates it again
		if len(n.sockets) > 0 {
			n.dynamic = true
			if svc.scheduler.children == nil {
				svc.scheduler.children = map[string]*Namespace{}
			}
			svc.scheduler.children[name] = n
		}
	}
}

// Registered waits until all changes of handlers so far are in force at every attached broker, and
// at one at least. It returns the errors of the changes since the last call: invalid registrations,
// which are ignored, and a RegistrationError if a broker rejected the change, after which the
// previous handlers stay in force. The last handler of a service cannot be removed; it stays in
// force until another is registered.
//
// Use it in programs that add and remove handlers while Run runs.
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

// inForceLocked reports whether every stream has answered the last declaration.
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

// Off removes the handler of an event, also "*". The handler runs until every attached broker has
// accepted the change. Later events go to other services, or are dropped.
func (n *Namespace) Off(event string) {
	n.off("handler for event "+fmt.Sprintf("%q", event), func(hs *handlers, number uint64) bool {
		if event == catchAll {
			return retire(hs.any, number)
		}
		return retire(hs.events[event], number)
	})
}

// OffConnect removes the connect handler: the broker no longer asks this service about connects.
func (n *Namespace) OffConnect() {
	n.off("connect handler", func(hs *handlers, number uint64) bool { return retire(hs.connect, number) })
}

// OffDisconnect removes the disconnect handler.
func (n *Namespace) OffDisconnect() {
	n.off("disconnect handler", func(hs *handlers, number uint64) bool { return retire(hs.disconnect, number) })
}

// OffRoom removes the room handler.
func (n *Namespace) OffRoom() {
	n.off("room handler", func(hs *handlers, number uint64) bool { return retire(hs.room, number) })
}

// OffMessage removes the handler of a message, also "*".
func (n *Namespace) OffMessage(name string) {
	n.off("handler for message "+fmt.Sprintf("%q", name), func(hs *handlers, number uint64) bool {
		return retire(hs.messages[name], number)
	})
}

// OffAll removes all handlers of the namespace: the service no longer takes part in it.
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

// Off removes the handler of an event of the main namespace; see Namespace.Off.
func (svc *Service) Off(event string) { svc.main().Off(event) }

// OffConnect removes the connect handler of the main namespace.
func (svc *Service) OffConnect() { svc.main().OffConnect() }

// OffDisconnect removes the disconnect handler of the main namespace.
func (svc *Service) OffDisconnect() { svc.main().OffDisconnect() }

// OffRoom removes the room handler of the main namespace.
func (svc *Service) OffRoom() { svc.main().OffRoom() }

// OffMessage removes the handler of a message of the main namespace.
func (svc *Service) OffMessage(name string) { svc.main().OffMessage(name) }
