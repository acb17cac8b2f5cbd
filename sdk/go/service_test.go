// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

func echo(_ context.Context, e *Event) error { return e.Ack(e.Args()[0]) }

func TestService_Run(t *testing.T) {
	// An event reaches its handler, and what the handler answers reaches the broker.
	t.Run("OK", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, s, run := attached(t, func(svc *Service) {
				On(svc, "add", func(_ context.Context, _ *Event, in []int) (int, error) { return in[0] + in[1], nil })
			})
			s.dispatch(event(7, "s1", "add", `[[1,2]]`))
			r := s.actions(t, 1)[0].GetResult()
			if r.GetDispatchId() != 7 || string(r.GetAck().GetArgs()) != "[3]" {
				t.Errorf("result = %v", r)
			}
			run.leave(t, s)
		})
	})
	// A service that was put together wrongly says everything that is wrong, at once.
	t.Run("ErrMisuse", func(t *testing.T) {
		svc := NewService("no spaces", Options{Window: -1, InstanceID: "a/b", Address: " , "})
		svc.On("connect", echo)
		for range 2 {
			svc.On("x", echo)
			svc.On("*", echo)
			svc.OnConnect(nil)
			svc.OnDisconnect(nil)
		}
		err := svc.Run(t.Context())
		joined, ok := err.(interface{ Unwrap() []error })
		if !errors.Is(err, ErrReserved) || !ok || len(joined.Unwrap()) != 9 {
			t.Errorf("err = %v", err)
		}
		if err := NewService("idle", Options{}).Run(t.Context()); err == nil {
			t.Error("a service without handlers ran")
		}
	})
	// A registration that the broker refuses ends Run: trying again would not help.
	t.Run("ErrRegistration", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newFakeBroker(t, "a")
			b.refuse = status.Error(codes.InvalidArgument, "window is too odd")
			svc := NewService("test", fakeOptions(b))
			svc.On("x", echo)
			var refused *RegistrationError
			if err := svc.Run(t.Context()); !errors.As(err, &refused) || refused.Message != "window is too odd" {
				t.Errorf("err = %v", err)
			}
			if err := svc.Run(t.Context()); !errors.Is(err, ErrRunning) {
				t.Errorf("second Run = %v", err)
			}
		})
	})
}

// What an instance declares is what was registered, sorted, with the token in the metadata.
func TestService_register(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		o := fakeOptions(b)
		o.Token, o.Window, o.Delivery, o.Credentials = "secret", 9, AtMostOnce, true
		svc := NewService("test", o)
		svc.Namespace("chat").On("b", echo)
		svc.Namespace("/chat").On("a", echo)
		svc.On("*", echo)
		svc.OnConnect(func(context.Context, *Socket) error { return nil })
		svc.Namespace("/unused")
		run := runService(svc)
		s := <-b.streams
		r := s.register
		if r.GetService() != "test" || r.GetInstanceId() != "test" || r.GetProtocolVersion() != 1 || r.GetWindow() != 9 ||
			!r.GetCredentials() || r.GetDeliveryMode() != spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE {
			t.Errorf("register = %v", r)
		}
		if len(r.GetRegistrations()) != 2 {
			t.Fatalf("registrations = %v", r.GetRegistrations())
		}
		root, chat := r.GetRegistrations()[0], r.GetRegistrations()[1]
		if root.GetNamespace() != "/" || !root.GetCatchAll() || !root.GetConnect() || !root.GetDisconnect() {
			t.Errorf("main namespace = %v", root)
		}
		if e := chat.GetEvents(); len(e) != 2 || e[0] != "a" || e[1] != "b" || chat.GetConnect() {
			t.Errorf("/chat = %v", chat)
		}
		if got := s.metadata.Get("authorization"); len(got) != 1 || got[0] != "Bearer secret" {
			t.Errorf("authorization = %v", got)
		}
		run.leave(t, s)
	})
}

// A stream that broke is opened again, by the same instance; what was handed out comes again and
// says so.
func TestService_reconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		started, release := make(chan uint64, 4), make(chan struct{})
		b := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(b))
		svc.On("x", func(_ context.Context, e *Event) error {
			started <- e.ID
			<-release
			return e.Ack(e.Redeliveries)
		})
		run := runService(svc)
		s := <-b.streams
		s.dispatch(event(1, "s1", "x", ""), event(2, "s1", "x", ""))
		<-started
		s.finish <- status.Error(codes.Unavailable, "gone")
		<-s.gone

		s = <-b.streams
		for id := range uint64(2) {
			d := event(id+1, "s1", "x", "")
			d.Redeliveries = 1
			s.dispatch(d)
		}
		close(release)
		for i, a := range s.actions(t, 2) {
			if r := a.GetResult(); r.GetDispatchId() != uint64(i+1) || string(r.GetAck().GetArgs()) != "[1]" {
				t.Errorf("result %d = %v", i, r)
			}
		}
		// The first run of 1 was under way; the first copy of 2 was never started, since the broker
		// hands it out again.
		if len(started) != 2 {
			t.Errorf("%d more runs started, want 2", len(started))
		}
		run.leave(t, s)
		if n := svc.Stats().Attached; n != 2 {
			t.Errorf("attached %d times", n)
		}
	})
}

// A broker that cannot be reached is tried without a limit, with pauses.
func TestService_backoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.refuse = status.Error(codes.Unavailable, "not yet")
		svc := NewService("test", fakeOptions(b))
		svc.On("x", echo)
		run := runService(svc)
		time.Sleep(time.Minute)
		b.mu.Lock()
		attempts := b.attempts
		b.refuse = nil
		b.mu.Unlock()
		if attempts < 12 || attempts > 60 {
			t.Errorf("%d attempts in a minute", attempts)
		}
		run.leave(t, <-b.streams)
	})
}

// The service attaches to the replicas that the broker announces, once each, and leaves them with
// the rest.
func TestService_topology(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		o := fakeOptions(a, b)
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		sa := <-a.streams
		topology := &spanwirev1.Topology{Replicas: []*spanwirev1.Replica{
			{Id: "a", Address: "passthrough:///a"}, {Id: "b", Address: "passthrough:///b"}, {Id: "c"},
		}}
		sa.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Topology{Topology: topology}})
		sb := <-b.streams
		sb.dispatch(event(1, "s", "x", "[1]"))
		sb.actions(t, 1)
		if len(a.streams)+len(b.streams) != 0 {
			t.Error("attached twice to a replica")
		}
		run.leave(t, sa, sb)
	})
}

// Two addresses of one replica make one attachment; the second takes over when the first is lost.
func TestService_parked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFakeBroker(t, "a")
		o := fakeOptions(a)
		o.Address = "passthrough:///a, passthrough:a"
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		first, second := <-a.streams, <-a.streams
		time.Sleep(time.Second)
		if len(a.streams) != 0 {
			t.Error("a third stream was opened")
		}
		select {
		case <-first.gone:
			first = second
		case <-second.gone:
		}
		first.dispatch(event(1, "s", "x", "[1]"))
		first.actions(t, 1)
		run.leave(t, first)
	})
}
