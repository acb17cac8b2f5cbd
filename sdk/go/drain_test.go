// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// When the context ends the broker is asked for nothing new, and what is open is finished first.
func TestService_drain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		_, s, run := attached(t, func(svc *Service) {
			svc.On("x", func(ctx context.Context, e *Event) error {
				<-release
				if err := ctx.Err(); err != nil {
					return err
				}
				return e.Ack("finished")
			})
		})
		s.dispatch(event(1, "s1", "x", ""))
		synctest.Wait()
		run.stop()
		for (<-s.frames).GetDrain() == nil {
		}
		close(release)
		if r := s.actions(t, 1)[0].GetResult(); string(r.GetAck().GetArgs()) != `["finished"]` {
			t.Errorf("result = %v", r)
		}
		s.finish <- nil
		if err := <-run.ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// With Options.Retire, or the environment variable, the drain says that the service retires; by
// itself it does not.
func TestService_drain_retire(t *testing.T) {
	for _, tt := range []struct {
		option      bool
		environment string
		want        bool
	}{{false, "", false}, {true, "", true}, {false, "true", true}, {false, "false", false}} {
		t.Setenv("SPANWIRE_RETIRE", tt.environment)
		bubble(t, func(t *testing.T) {
			_, s, run := attached(t, func(svc *Service) {
				svc.options.Retire = svc.options.Retire || tt.option
				svc.On("x", func(context.Context, *Event) error { return nil })
			})
			synctest.Wait()
			run.stop()
			drain := (<-s.frames).GetDrain()
			for drain == nil {
				drain = (<-s.frames).GetDrain()
			}
			if drain.GetRetire() != tt.want {
				t.Errorf("%+v: drain %v", tt, drain)
			}
			s.finish <- nil
			<-run.ended
		})
	}
}

// A handler that does not finish has its context cancelled, and Run returns an error.
func TestService_drain_timeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, s, run := attached(t, func(svc *Service) {
			svc.On("x", func(ctx context.Context, _ *Event) error { <-ctx.Done(); return ctx.Err() })
		})
		s.dispatch(event(1, "s1", "x", ""))
		synctest.Wait()
		start := time.Now()
		run.stop()
		if err := <-run.ended; !errors.Is(err, ErrDrainTimeout) || time.Since(start) != 10*time.Second {
			t.Errorf("Run = %v after %v", err, time.Since(start))
		}
	})
}

// A service that cannot reach its broker ends at once.
func TestService_drain_unattached(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := fakeOptions(newFakeBroker(t, "a"))
		o.Address = "passthrough:///nobody"
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		time.Sleep(time.Minute)
		start := time.Now()
		run.stop()
		if err := <-run.ended; err != nil || time.Since(start) > 0 {
			t.Errorf("Run = %v after %v", err, time.Since(start))
		}
	})
}

// A replica that drains keeps being answered; other replicas are preferred for emits.
func TestService_drain_broker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		o := fakeOptions(a, b)
		o.Address = "passthrough:///a,passthrough:///b"
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		sa, sb := <-a.streams, <-b.streams
		synctest.Wait()
		sa.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Drain{Drain: &spanwirev1.Drain{}}})
		synctest.Wait()
		if err := svc.Emit("y"); err != nil {
			t.Errorf("emit: %v", err)
		}
		sb.actions(t, 1)
		sa.dispatch(event(1, "s", "x", "[1]"))
		sa.actions(t, 1)
		sa.finish <- nil
		sa = <-a.streams
		synctest.Wait()
		run.leave(t, sa, sb)
	})
}

// Faults and unknown frames are counted and harm nothing.
func TestService_fault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", echo) })
		s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{Fault: &spanwirev1.Fault{Message: "odd"}}})
		s.send(&spanwirev1.AttachResponse{})
		s.dispatch(event(1, "s", "x", "[1]"))
		s.actions(t, 1)
		run.leave(t, s)
		if st := svc.Stats(); st.Faults != 1 || st.Unknown != 1 || st.Dispatches != 1 {
			t.Errorf("stats = %+v", st)
		}
	})
}

// An advisory connect handler that refuses keeps its socket, which is connected all the same.
func TestNamespace_OnConnect_advisory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, s, run := attached(t, func(svc *Service) {
			svc.OnConnect(func(context.Context, *Socket) error { return Refuse("no") }, Advisory())
			svc.On("x", func(_ context.Context, e *Event) error { return e.Ack(e.Socket.Handshake().Address) })
		})
		s.dispatch(&spanwirev1.Dispatch{
			Id: 1, SocketId: "s1", Namespace: "/", WantsAck: true, Kind: &spanwirev1.Dispatch_Connect{Connect: &spanwirev1.Connect{}},
			Introduction: &spanwirev1.Introduction{Handshake: &spanwirev1.Handshake{Address: "here"}},
		}, event(2, "s1", "x", ""))
		list := s.actions(t, 2)
		if f := list[0].GetResult().GetFailure(); !strings.Contains(f.GetMessage(), "no") {
			t.Errorf("result %v", list[0])
		}
		if r := list[1].GetResult(); string(r.GetAck().GetArgs()) != `["here"]` {
			t.Errorf("result %v", r)
		}
		run.stop()
		s.finish <- nil
		<-run.ended
	})
}
