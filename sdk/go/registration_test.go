// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// declared tells a declaration in one line: each namespace with its events.
func declared(list []*spanwirev1.Registration) string {
	var parts []string
	for _, r := range list {
		parts = append(parts, r.GetNamespace()+":"+strings.Join(append(r.GetEvents(), r.GetMessages()...), ","))
	}
	return strings.Join(parts, " ")
}

// declaration waits for the next one that the instance sends.
func (s *fakeStream) declaration(t *testing.T) string {
	t.Helper()
	for {
		select {
		case m := <-s.frames:
			if r := m.GetRegistrations(); r != nil {
				return declared(r.GetRegistrations())
			}
		case <-s.gone:
			t.Fatal("the stream ended without a declaration")
		}
	}
}

func (s *fakeStream) registered(fault *spanwirev1.Fault) {
	s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Registered{Registered: &spanwirev1.Registered{Fault: fault}}})
	synctest.Wait()
}

// drained waits for the instance's drain and ends the stream.
func (s *fakeStream) drained(t *testing.T) {
	t.Helper()
	for {
		select {
		case m := <-s.frames:
			if m.GetDrain() != nil {
				s.finish <- nil
				<-s.gone
				return
			}
		case <-s.gone:
			t.Fatal("the stream ended without a drain")
		}
	}
}

// A handler that comes while the service runs is declared, and called.
func TestService_On_running(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("a", echo) })
		synctest.Wait()
		svc.On("b", echo)
		svc.Namespace("/n").OnMessage("m", func(context.Context, *Message) error { return nil })
		svc.Namespace("n").On("c", echo)
		if got := s.declaration(t); got != "/:a,b" {
			t.Errorf("declared %q", got)
		}
		waited := make(chan error)
		go func() { waited <- svc.Registered(t.Context()) }()
		synctest.Wait()
		if len(waited) != 0 || len(s.frames) != 0 {
			t.Error("a second declaration did not wait for the answer to the first")
		}
		s.registered(nil)
		if got := s.declaration(t); got != "/:a,b /n:c,m" {
			t.Errorf("declared %q", got)
		}
		s.registered(nil)
		if err := <-waited; err != nil {
			t.Errorf("Registered = %v", err)
		}
		other := event(2, "s2", "c", "[2]")
		other.Namespace = "/n"
		s.dispatch(event(1, "s1", "b", "[1]"), other)
		for _, a := range s.actions(t, 2) {
			if a.GetResult().GetAck() == nil {
				t.Errorf("result = %v", a)
			}
		}
		run.leave(t, s)
		if err := svc.Registered(t.Context()); !errors.Is(err, ErrBrokerUnavailable) {
			t.Errorf("after Run: %v", err)
		}
	})
}

// A removed handler is called until every broker has accepted the change; then nothing keeps it,
// nor the sockets of its namespace.
func TestService_Off(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		o := fakeOptions(a, b)
		o.Address = "passthrough:///a,passthrough:///b"
		svc := NewService("test", o)
		n := svc.Namespace("/n")
		n.On("x", echo)
		svc.On("y", echo)
		run := runService(svc)
		sa, sb := <-a.streams, <-b.streams
		synctest.Wait()
		x := func(s *fakeStream, id uint64) string {
			d := event(id, "s1", "x", "[1]")
			d.Namespace = "/n"
			s.dispatch(d)
			r := s.actions(t, 1)[0].GetResult()
			return string(r.GetAck().GetArgs()) + r.GetFailure().GetMessage()
		}
		n.Off("x")
		if da, db := sa.declaration(t), sb.declaration(t); da != "/:y" || db != "/:y" {
			t.Errorf("declared %q and %q", da, db)
		}
		sa.registered(nil)
		if got := x(sb, 1); got != "[1]" {
			t.Errorf("before all brokers know: %q", got)
		}
		sb.registered(nil)
		if err := svc.Registered(t.Context()); err != nil {
			t.Error(err)
		}
		svc.scheduler.mu.Lock()
		if len(n.sockets) != 0 || svc.namespaces["/n"] != nil {
			t.Errorf("%d sockets are kept in a namespace that nobody handles", len(n.sockets))
		}
		svc.scheduler.mu.Unlock()
		if got := x(sb, 2); !strings.Contains(got, "does not know the namespace") {
			t.Errorf("after all brokers know: %q", got)
		}
		n.On("x", echo)
		sa.declaration(t)
		sb.declaration(t)
		sa.registered(nil)
		sb.registered(nil)
		if got := x(sa, 3); got != "[1]" {
			t.Errorf("after it came again: %q", got)
		}
		run.leave(t, sa, sb)
	})
}

// Taking away and registering again replaces a handler: what is declared says so once.
func TestService_Off_replace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var called []string
		note := func(who string) EventHandler {
			return func(context.Context, *Event) error { called = append(called, who); return nil }
		}
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", note("old")) })
		synctest.Wait()
		svc.Off("x") // the last one, which has to wait for another
		svc.On("x", note("new"))
		if got := s.declaration(t); got != "/:x" {
			t.Errorf("declared %q", got)
		}
		s.registered(nil)
		s.dispatch(event(1, "s1", "x", ""))
		s.actions(t, 1)
		svc.Off("x")
		svc.Off("nothing")
		err := svc.Registered(t.Context())
		if !errors.Is(err, errNothingLeft) || !strings.Contains(err.Error(), `"nothing" to remove`) {
			t.Errorf("Registered = %v", err)
		}
		if err := svc.Registered(t.Context()); strings.Contains(err.Error(), "nothing\"") {
			t.Errorf("said twice: %v", err)
		}
		s.dispatch(event(2, "s1", "x", ""))
		s.actions(t, 1)
		if !slices.Equal(called, []string{"new", "new"}) {
			t.Errorf("called %v", called)
		}
		run.leave(t, s)
	})
}

// All that can be registered can be taken away, also before Run.
func TestNamespace_OffAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := func(n *Namespace) {
			n.On("x", nil)
			n.On("*", nil)
			n.OnConnect(nil)
			n.OnDisconnect(nil)
			n.OnRoom(nil)
			n.OnMessage("m", nil)
		}
		one := func(svc *Service) {
			svc.Off("x")
			svc.Off("*")
			svc.OffConnect()
			svc.OffDisconnect()
			svc.OffRoom()
			svc.OffMessage("m")
		}
		svc, s, run := attached(t, func(svc *Service) {
			svc.Namespace("/keep").On("a", echo)
			all(svc.main())
			one(svc)
			all(svc.NamespacePattern("/p.*"))
			svc.NamespacePattern("/p.*").OffAll()
		})
		synctest.Wait()
		if got := declared(s.register.GetRegistrations()); got != "/keep:a" {
			t.Errorf("registered %q", got)
		}
		all(svc.main())
		all(svc.NamespacePattern("/p.*"))
		s.declaration(t)
		s.registered(nil)
		if got := s.declaration(t); got != "/:x,m /keep:a /p.*:x,m" {
			t.Errorf("declared %q", got)
		}
		one(svc)
		svc.NamespacePattern("/p.*").OffAll()
		s.registered(nil)
		if got := s.declaration(t); got != "/keep:a" {
			t.Errorf("declared %q", got)
		}
		s.registered(nil)
		if err := svc.Registered(t.Context()); err != nil {
			t.Error(err)
		}
		if len(svc.namespaces) != 1 || len(svc.patterns) != 0 {
			t.Errorf("%d namespaces and %d patterns are kept", len(svc.namespaces), len(svc.patterns))
		}
		run.leave(t, s)
	})
}

// What a broker rejects is reported, changes nothing, and does not keep the service from attaching
// again.
func TestService_Registered_refused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(b))
		svc.On("x", echo)
		run := runService(svc)
		s := <-b.streams
		synctest.Wait()
		svc.Off("x")
		svc.On("bad", echo)
		if got := s.declaration(t); got != "/:bad" {
			t.Errorf("declared %q", got)
		}
		s.registered(&spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_INVALID, Message: "too bad"})
		var refused *RegistrationError
		if err := svc.Registered(t.Context()); !errors.As(err, &refused) || refused.Message != "too bad" {
			t.Errorf("Registered = %v", err)
		}
		s.dispatch(event(1, "s1", "x", "[1]"))
		s.actions(t, 1)
		s.finish <- status.Error(codes.Unavailable, "gone")
		s = <-b.streams
		if got := declared(s.register.GetRegistrations()); got != "/:x" {
			t.Errorf("attached again with %q", got)
		}
		synctest.Wait()
		svc.Off("bad")
		svc.On("good", echo)
		if got := s.declaration(t); got != "/:good" {
			t.Errorf("declared %q", got)
		}
		s.registered(nil)
		if err := svc.Registered(t.Context()); err != nil {
			t.Errorf("Registered = %v", err)
		}
		run.leave(t, s)
	})
}

// A change that no broker heard of is refused when the service attaches again: it then attaches
// with what was taken before.
func TestService_Registered_refusedOnAttach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(b))
		svc.On("x", echo)
		run := runService(svc)
		s := <-b.streams
		b.mu.Lock()
		b.refuse = status.Error(codes.InvalidArgument, "too bad")
		b.mu.Unlock()
		s.finish <- status.Error(codes.Unavailable, "gone")
		<-s.gone
		svc.On("bad", echo)
		for attempts := 1; attempts < 2; {
			time.Sleep(10 * time.Millisecond)
			b.mu.Lock()
			attempts = b.attempts
			if attempts == 2 {
				b.refuse = nil
			}
			b.mu.Unlock()
		}
		s = <-b.streams
		if got := declared(s.register.GetRegistrations()); got != "/:x" {
			t.Errorf("attached again with %q", got)
		}
		var refused *RegistrationError
		if err := svc.Registered(t.Context()); !errors.As(err, &refused) {
			t.Errorf("Registered = %v", err)
		}
		run.leave(t, s)
	})
}

// A broker that does not know of changes, whether it says so or not, is left and attached again.
func TestService_Registered_olderBroker(t *testing.T) {
	unimplemented := &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED, Message: "unknown frame"}
	for name, answer := range map[string]func(s *fakeStream){
		"Fault": func(s *fakeStream) {
			s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{Fault: unimplemented}})
		},
		"Registered": func(s *fakeStream) { s.registered(unimplemented) },
		"Silence":    func(*fakeStream) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newFakeBroker(t, "a")
				svc := NewService("test", fakeOptions(b))
				release := make(chan struct{})
				svc.On("x", func(_ context.Context, e *Event) error { <-release; return e.Ack("done") })
				run := runService(svc)
				s := <-b.streams
				s.dispatch(event(1, "s1", "x", ""))
				synctest.Wait()
				svc.On("y", echo)
				s.declaration(t)
				waited := make(chan error)
				go func() { waited <- svc.Registered(t.Context()) }()
				answer(s)
				for (<-s.frames).GetDrain() == nil {
				}
				svc.On("z", echo)
				close(release) // what is open is finished first
				if r := s.actions(t, 1)[0].GetResult(); string(r.GetAck().GetArgs()) != `["done"]` {
					t.Errorf("result = %v", r)
				}
				s.finish <- nil
				s = <-b.streams
				if got := declared(s.register.GetRegistrations()); got != "/:x,y,z" {
					t.Errorf("attached again with %q", got)
				}
				if err := <-waited; err != nil {
					t.Errorf("Registered = %v", err)
				}
				run.leave(t, s)
			})
		})
	}
}

// A handler that never returns does not keep a stream that is to be attached again for longer than
// a drain takes.
func TestService_Registered_olderBrokerStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(b))
		release := make(chan struct{})
		svc.On("x", func(context.Context, *Event) error { <-release; return nil })
		run := runService(svc)
		s := <-b.streams
		s.dispatch(event(1, "s1", "x", ""))
		synctest.Wait()
		svc.On("y", echo)
		s.declaration(t)
		s.registered(&spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED})
		start := time.Now()
		s = <-b.streams
		if waited := time.Since(start); waited < svc.options.DrainTimeout || waited > svc.options.DrainTimeout+time.Second {
			t.Errorf("attached again after %v", waited)
		}
		close(release)
		run.leave(t, s)
	})
}

// A pattern may come and go too, also over a namespace whose sockets are known: they stay who they
// are.
func TestService_NamespacePattern_running(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sockets []*Socket
		keep := func(_ context.Context, e *Event) error { sockets = append(sockets, e.Socket); return e.Ack() }
		svc, s, run := attached(t, func(svc *Service) { svc.Namespace("/room-1").On("a", keep) })
		id := uint64(0)
		say := func(ns, name string) bool {
			id++
			d := event(id, "s1", name, "")
			d.Namespace = ns
			s.dispatch(d)
			return s.actions(t, 1)[0].GetResult().GetAck() != nil
		}
		settle := func(want string) {
			t.Helper()
			if got := s.declaration(t); got != want {
				t.Errorf("declared %q, want %q", got, want)
			}
			s.registered(nil)
		}
		synctest.Wait()
		ok := []bool{say("/room-1", "a"), say("/room-1", "b")}
		p := svc.NamespacePattern(`/room-\d`)
		p.On("b", keep)
		settle(`/room-1:a /room-\d:b`)
		ok = append(ok, say("/room-1", "b"), say("/room-2", "b"), say("/room-2", "a"))
		// a name that a pattern brought becomes one of its own
		svc.Namespace("/room-2").On("a", keep)
		settle(`/room-1:a /room-2:a /room-\d:b`)
		ok = append(ok, say("/room-2", "a"))
		svc.Namespace("/room-2").OffAll() // and goes back
		settle(`/room-1:a /room-\d:b`)
		ok = append(ok, say("/room-2", "b"), say("/room-2", "a"))
		p.OffAll()
		settle(`/room-1:a`)
		ok = append(ok, say("/room-1", "a"), say("/room-2", "b"))
		if want := "[true false true true false true true false true false]"; fmt.Sprint(ok) != want {
			t.Errorf("got %v, want %v", ok, want)
		}
		for i, same := range []int{0, 0, 2, 2, 2, 0} {
			if sockets[i] != sockets[same] {
				t.Errorf("event %d came from another socket than event %d", i, same)
			}
		}
		if len(svc.scheduler.children) != 0 {
			t.Errorf("%d namespaces are kept", len(svc.scheduler.children))
		}
		run.leave(t, s)
	})
}

// Registering from many goroutines while events come harms nothing.
func TestService_On_flood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", echo) })
		synctest.Wait()
		changed := make(chan struct{})
		for i := range 4 {
			go func() {
				defer func() { changed <- struct{}{} }()
				for j := range 50 {
					name := fmt.Sprint("e", i, "-", j)
					svc.On(name, echo)
					svc.Emit("notified", name)
					svc.Off(name)
				}
			}()
		}
		results, next, running := 0, uint64(0), 4
		for running > 0 || results < int(next) {
			if running > 0 {
				next++
				s.dispatch(event(next, fmt.Sprint("s", next%7), "x", "[1]"))
			}
			select {
			case <-changed:
				running--
			case m := <-s.frames:
				if m.GetRegistrations() != nil {
					s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Registered{Registered: &spanwirev1.Registered{}}})
				}
				for _, a := range m.GetBatch().GetActions() {
					if a.GetResult() != nil {
						results++
					}
				}
			}
		}
		go func() {
			for m := range s.frames {
				if m.GetRegistrations() != nil {
					s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Registered{Registered: &spanwirev1.Registered{}}})
				}
				if m.GetDrain() != nil {
					s.finish <- nil
					return
				}
			}
		}()
		if err := svc.Registered(t.Context()); err != nil {
			t.Error(err)
		}
		if n := svc.namespaces["/"]; len(n.own.events) != 1 {
			t.Errorf("%d handlers are kept", len(n.own.events))
		}
		run.stop()
		if err := <-run.ended; err != nil {
			t.Error(err)
		}
	})
}

// A socket that went to another instance is forgotten, unless it is back already.
func TestService_released(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("a", echo) })
		kept := func() string {
			synctest.Wait()
			svc.scheduler.mu.Lock()
			defer svc.scheduler.mu.Unlock()
			return fmt.Sprint(slices.Sorted(maps.Keys(svc.namespaces["/"].sockets)))
		}
		s.dispatch(event(1, "s1", "a", "[1]"), event(2, "s2", "a", "[2]"))
		s.actions(t, 2)
		if got := kept(); got != "[s1 s2]" {
			t.Errorf("kept: %s", got)
		}
		s.batch(&spanwirev1.DispatchBatch{Released: []string{"s1", "s2", "s3"}, Dispatches: []*spanwirev1.Dispatch{event(3, "s2", "a", "[3]")}})
		s.actions(t, 1)
		if got := kept(); got != "[s2]" {
			t.Errorf("kept: %s", got)
		}
		run.leave(t, s)
	})
}
