// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// One socket's events are handled in order, whatever their handlers do, while other sockets go on.
func TestScheduler_order(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, s, run := attached(t, func(svc *Service) {
			svc.On("x", func(_ context.Context, e *Event) error {
				if e.ID%7 == 0 {
					time.Sleep(time.Duration(e.ID%5) * time.Millisecond)
				}
				return nil
			})
		})
		const sockets, events = 10, 500
		var list []*spanwirev1.Dispatch
		for id := range uint64(events) {
			list = append(list, event(id, fmt.Sprint("s", id%sockets), "x", ""))
		}
		s.dispatch(list[:events/2]...)
		s.dispatch(list[events/2:]...)
		last := map[uint64]uint64{}
		for _, a := range s.actions(t, events) {
			id := a.GetResult().GetDispatchId()
			if before, ok := last[id%sockets]; ok && before != id-sockets {
				t.Errorf("%d came after %d", id, before)
			}
			last[id%sockets] = id
		}
		run.leave(t, s)
	})
}

// A handler that blocks holds up neither other sockets nor the answers to the broker's frames.
func TestScheduler_slow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		svc, s, run := attached(t, func(svc *Service) {
			svc.On("slow", func(context.Context, *Event) error { <-release; return nil })
			svc.On("quick", echo)
		})
		start := time.Now()
		s.dispatch(event(1, "s1", "slow", ""), event(2, "s2", "quick", "[2]"), event(3, "s1", "quick", "[3]"))
		if id := s.actions(t, 1)[0].GetResult().GetDispatchId(); id != 2 {
			t.Errorf("result of %d came first", id)
		}
		if waited := time.Since(start); waited > 5*time.Millisecond {
			t.Errorf("the quick one waited %v", waited)
		}
		// By now the handler is known as slow: many of its events do not hold up a quick one at
		// all.
		var list []*spanwirev1.Dispatch
		for id := range uint64(100) {
			list = append(list, event(100+id, fmt.Sprint("t", id), "slow", ""))
		}
		start = time.Now()
		s.dispatch(append(list, event(4, "s4", "quick", "[4]"))...)
		if id := s.actions(t, 1)[0].GetResult().GetDispatchId(); id != 4 || time.Since(start) > 5*time.Millisecond {
			t.Errorf("%d came after %v", id, time.Since(start))
		}
		// A frame whose events are all blocked is answered too.
		s.dispatch(event(5, "s1", "quick", "[5]"))
		time.Sleep(5 * time.Millisecond)
		s.mu.Lock()
		if s.confirmed != s.sent {
			t.Errorf("%d frames of %d are answered", s.confirmed, s.sent)
		}
		s.mu.Unlock()
		close(release)
		s.actions(t, 103)
		run.leave(t, s)
		if len(svc.namespaces["/"].sockets) != 0 {
			t.Errorf("%d sockets are kept after the stream ended", len(svc.namespaces["/"].sockets))
		}
	})
}

// However many of its events are open, a handler that never returns delays no other event, neither
// those beside it in a frame nor those that come later. Nothing but the window bounds how many are
// open, so no event can use up what others need.
func TestScheduler_stuckFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		_, s, run := attached(t, func(svc *Service) {
			svc.On("stuck", func(context.Context, *Event) error { <-release; return nil })
			// stuck for some, quick for the others
			svc.On("sometimes", func(_ context.Context, e *Event) error {
				if e.ID%10 == 0 {
					<-release
				}
				return nil
			})
			svc.On("quick", echo)
		})
		const rounds, each = 20, 50
		open, slowest := 0, time.Duration(0)
		for round := range uint64(rounds) {
			var list []*spanwirev1.Dispatch
			done := 0
			for i := range uint64(each) {
				id := 1000*round + 3*i
				list = append(list, event(id, fmt.Sprint("a", id), "stuck", ""), event(id+1, fmt.Sprint("b", id), "sometimes", ""),
					event(id+2, fmt.Sprint("c", id), "quick", "[1]"))
				done++
				if open++; (id+1)%10 == 0 {
					open++
				} else {
					done++
				}
			}
			start := time.Now()
			s.dispatch(list...)
			s.actions(t, done)
			slowest = max(slowest, time.Since(start))
		}
		if slowest > 20*time.Millisecond {
			t.Errorf("what is quick took %v beside %d stuck ones", slowest, open)
		}
		close(release)
		s.actions(t, open)
		run.leave(t, s)
	})
}

// Handlers registered as concurrent run beside other events of their socket.
func TestScheduler_concurrent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		_, s, run := attached(t, func(svc *Service) {
			svc.On("slow", func(context.Context, *Event) error { <-release; return nil }, Concurrent())
			svc.On("quick", echo)
		})
		s.dispatch(event(1, "s1", "slow", ""), event(2, "s1", "slow", ""), event(3, "s1", "quick", "[3]"))
		if id := s.actions(t, 1)[0].GetResult().GetDispatchId(); id != 3 {
			t.Errorf("result of %d came first", id)
		}
		close(release)
		s.actions(t, 2)
		run.leave(t, s)
	})
}

// While its frames are unanswered the instance sends no more, and what waited goes out together.
func TestScheduler_window(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, s, run := attached(t, func(svc *Service) { svc.On("x", echo) })
		s.mu.Lock()
		s.auto = false
		s.mu.Unlock()
		for id := range uint64(20) {
			s.dispatch(event(id, fmt.Sprint("s", id), "x", "[1]"))
			time.Sleep(10 * time.Millisecond)
		}
		var sizes []int
		for len(s.frames) > 0 {
			if b := (<-s.frames).GetBatch(); b != nil {
				sizes = append(sizes, len(b.GetActions()))
			}
		}
		if fmt.Sprint(sizes) != "[1 1]" {
			t.Errorf("frames of %v actions came without an answer", sizes)
		}
		s.mu.Lock()
		s.auto = true
		s.mu.Unlock()
		s.ackFrames()
		if b := (<-s.frames).GetBatch(); len(b.GetActions()) != 18 {
			t.Errorf("%d actions came together, want 18", len(b.GetActions()))
		}
		run.leave(t, s)
	})
}

// Commands of a handler stand before its result, in the order they were given.
func TestSocket_commands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, s, run := attached(t, func(svc *Service) {
			svc.On("x", func(_ context.Context, e *Event) error {
				return errors.Join(
					e.Socket.Join("r1", "r2"),
					e.Socket.To("r1").Except("r3").Volatile().Compress(false).Local().Emit("moved", 1, []byte{2}),
					e.Socket.Emit("me"),
					e.Socket.Broadcast().Send("all"),
					e.Socket.Leave("r2"),
					svc.To("r1").Disconnect(true),
					e.Ack("done"),
				)
			})
		})
		s.dispatch(event(1, "s1", "x", ""))
		list := s.actions(t, 7)
		if j := list[0].GetCommand().GetJoin(); j.GetTarget().GetRooms()[0] != "s1" || len(j.GetRooms()) != 2 {
			t.Errorf("join = %v", j)
		}
		emit := list[1].GetCommand().GetEmit()
		if fmt.Sprint(emit.GetTarget().GetRooms(), emit.GetTarget().GetExcept()) != "[r1] [s1 r3]" || !emit.GetVolatile() ||
			!emit.GetNoCompress() || !emit.GetTarget().GetLocal() || list[1].GetCommand().GetId() != 0 {
			t.Errorf("emit = %v", emit)
		}
		if e := emit.GetEvent(); e.GetName() != "moved" || string(e.GetArgs()) != `[1,{"_placeholder":true,"num":0}]` ||
			e.GetAttachments()[0][0] != 2 {
			t.Errorf("event = %v", e)
		}
		if e := list[2].GetCommand().GetEmit(); e.GetEvent().GetName() != "me" || len(e.GetEvent().GetArgs()) != 0 {
			t.Errorf("me = %v", e)
		}
		if e := list[3].GetCommand().GetEmit(); e.GetEvent().GetName() != "message" || fmt.Sprint(e.GetTarget().GetExcept()) != "[s1]" {
			t.Errorf("all = %v", e)
		}
		if l := list[4].GetCommand().GetLeave(); l.GetRooms()[0] != "r2" {
			t.Errorf("leave = %v", l)
		}
		if d := list[5].GetCommand().GetDisconnect(); !d.GetCloseSession() || d.GetTarget().GetRooms()[0] != "r1" {
			t.Errorf("disconnect = %v", d)
		}
		if r := list[6].GetResult(); string(r.GetAck().GetArgs()) != `["done"]` {
			t.Errorf("result = %v", r)
		}
		run.leave(t, s)
	})
}

// What a handler returns decides the result: an ack, an empty ack, nothing, a failure.
func TestEvent_result(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) {
			svc.On("nil", func(context.Context, *Event) error { return nil })
			svc.On("error", func(_ context.Context, e *Event) error { return errors.Join(e.Ack("no"), errors.New("broken")) })
			svc.On("panic", func(context.Context, *Event) error { panic("ouch") })
			svc.On("twice", func(_ context.Context, e *Event) error {
				if err := errors.Join(e.Ack(1)); err != nil {
					return err
				}
				if err := e.Ack(2); !errors.Is(err, ErrAcked) {
					return errors.New("a second ack was taken")
				}
				return nil
			})
			svc.On("bad", func(_ context.Context, e *Event) error { return e.Ack(func() {}) })
		})
		mute := event(2, "s", "nil", "")
		mute.WantsAck = false
		s.dispatch(event(1, "s", "nil", ""), mute, event(3, "s", "error", ""), event(4, "s", "panic", ""), event(5, "s", "twice", ""),
			event(6, "s", "bad", ""), event(7, "s", "unknown", ""), &spanwirev1.Dispatch{Id: 8, SocketId: "s", Namespace: "/else"})
		got := map[uint64]string{}
		for _, a := range s.actions(t, 8) {
			r := a.GetResult()
			got[r.GetDispatchId()] = fmt.Sprintf("%T %s%s", r.GetOutcome(), r.GetAck().GetArgs(), r.GetFailure().GetMessage())
		}
		for id, want := range map[uint64]string{
			1: "*spanwirev1.Result_Ack ",
			2: "<nil> ",
			3: "*spanwirev1.Result_Failure broken",
			4: "*spanwirev1.Result_Failure panic: ouch",
			5: "*spanwirev1.Result_Ack [1]",
			6: "*spanwirev1.Result_Failure spanwire: argument 0 cannot be sent: json: unsupported type: func()",
			7: "*spanwirev1.Result_Failure this instance has no handler for the event",
			8: "*spanwirev1.Result_Failure this instance does not know the namespace or the kind of the dispatch",
		} {
			if got[id] != want {
				t.Errorf("result of %d = %q, want %q", id, got[id], want)
			}
		}
		if svc.Stats().Failed != 3 || svc.Stats().Unknown != 1 {
			t.Errorf("stats = %+v", svc.Stats())
		}
		run.leave(t, s)
	})
}

// An answer that no frame can hold fails its dispatch, and an emit that no frame can hold is
// refused.
func TestEvent_tooLarge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.maxFrame = 1000
		svc := NewService("test", fakeOptions(b))
		svc.On("x", func(_ context.Context, e *Event) error {
			big := make([]byte, 2000)
			if err := e.Socket.Emit("big", big); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "setting max-frame") {
				t.Errorf("emit = %v", err)
			}
			for range 10 {
				if err := e.Socket.Emit("fits", make([]byte, 300)); err != nil {
					t.Errorf("emit = %v", err)
				}
			}
			return e.Ack(big)
		})
		run := runService(svc)
		s := <-b.streams
		s.dispatch(event(1, "s", "x", ""))
		if r := s.actions(t, 11)[10].GetResult(); r.GetFailure() == nil {
			t.Errorf("result = %v", r)
		}
		run.leave(t, s)
	})
}
