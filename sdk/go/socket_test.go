// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

func connect(id uint64, sid string) *spanwirev1.Dispatch {
	return &spanwirev1.Dispatch{
		Id: id, SocketId: sid, Kind: &spanwirev1.Dispatch_Connect{Connect: &spanwirev1.Connect{}},
		Introduction: &spanwirev1.Introduction{Handshake: &spanwirev1.Handshake{
			Url: "/socket.io/?EIO=4&room=blue", Auth: []byte(`{"token":"t"}`), Address: "192.0.2.1", IssuedMs: 1000,
			Headers: []*spanwirev1.Header{{Name: "Cookie", Value: "a=b"}, {Name: "X-One", Value: "1"}, {Name: "X-One", Value: "2"}},
		}},
	}
}

func disconnected(id uint64, sid, reason string) *spanwirev1.Dispatch {
	return &spanwirev1.Dispatch{
		Id: id, SocketId: sid, Kind: &spanwirev1.Dispatch_Disconnected{Disconnected: &spanwirev1.Disconnected{Reason: reason}},
	}
}

// A connect shows the handshake and is accepted or refused; a disconnect tells the reason and ends
// what is known of the socket.
func TestNamespace_OnConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var reason string
		svc, s, run := attached(t, func(svc *Service) {
			svc.OnConnect(func(_ context.Context, sock *Socket) error {
				h := sock.Handshake()
				var auth struct{ Token string }
				if err := h.BindAuth(&auth); err != nil {
					return err
				}
				if auth.Token != "t" || h.Query.Get("room") != "blue" || h.Cookie("a") != "b" || h.Cookie("c") != "" ||
					len(h.Headers["X-One"]) != 2 || !h.Issued.Equal(time.UnixMilli(1000)) {
					t.Errorf("handshake = %+v", h)
				}
				switch sock.ID() {
				case "no":
					return Refuse("not you", map[string]int{"code": 7})
				case "many":
					return fmt.Errorf("wrapped: %w", Refuse("", 1, 2))
				case "broken":
					return errors.New("broken")
				}
				return nil
			})
			svc.OnDisconnect(func(_ context.Context, _ *Socket, r string) { reason = r })
		})
		s.dispatch(connect(1, "yes"), connect(2, "no"), connect(3, "many"), connect(4, "broken"))
		got := map[uint64]*spanwirev1.Result{}
		for _, a := range s.actions(t, 4) {
			got[a.GetResult().GetDispatchId()] = a.GetResult()
		}
		if got[1].GetAck() == nil {
			t.Errorf("yes = %v", got[1])
		}
		if r := got[2].GetRefusal(); r.GetMessage() != "not you" || string(r.GetData()) != `{"code":7}` {
			t.Errorf("no = %v", r)
		}
		if r := got[3].GetRefusal(); r == nil || r.GetMessage() != "" || string(r.GetData()) != `[1,2]` {
			t.Errorf("many = %v", r)
		}
		if got[4].GetFailure().GetMessage() != "broken" {
			t.Errorf("broken = %v", got[4])
		}
		s.dispatch(disconnected(5, "yes", "ping timeout"))
		if r := s.actions(t, 1)[0].GetResult(); r.GetOutcome() != nil || reason != "ping timeout" {
			t.Errorf("disconnect = %v, %q", r, reason)
		}
		svc.scheduler.mu.Lock()
		if n := len(svc.namespaces["/"].sockets); n != 0 {
			t.Errorf("%d sockets are kept", n)
		}
		svc.scheduler.mu.Unlock()
		run.leave(t, s)
	})
}

// asked is the outcome of an emit with an ack.
type asked struct {
	answer string
	err    error
}

// An emit that asks for acks gets them from inside a handler, although the answer comes over the
// stream that the handler came from.
func TestSocket_EmitWithAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got := make(chan asked, 8)
		svc, s, run := attached(t, func(svc *Service) {
			svc.On("x", func(ctx context.Context, e *Event) error {
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				ack, err := e.Socket.EmitWithAck(ctx, "ask", "q")
				var answer string
				if err == nil {
					err = ack.Bind(&answer)
				}
				got <- asked{answer, err}
				return nil
			})
		})
		ask := func() *spanwirev1.Command {
			s.dispatch(event(1, "s1", "x", ""))
			return s.actions(t, 1)[0].GetCommand()
		}
		answer := func(a *spanwirev1.Answer) asked {
			s.batch(&spanwirev1.DispatchBatch{Answers: []*spanwirev1.Answer{a}})
			o := <-got
			s.actions(t, 1)
			return o
		}
		c := ask()
		if e := c.GetEmit(); !e.GetWantAcks() || e.GetAckTimeoutMs() < 9800 || e.GetAckTimeoutMs() > 9900 {
			t.Errorf("emit = %v", e)
		}
		o := answer(&spanwirev1.Answer{Id: c.GetId(), Sockets: 1, Acks: []*spanwirev1.SocketAck{
			{SocketId: "s1", Ack: &spanwirev1.Ack{Args: []byte(`["a"]`)}}}})
		if o.answer != "a" || o.err != nil {
			t.Errorf("outcome = %+v", o)
		}
		if o := answer(&spanwirev1.Answer{Id: ask().GetId(), Missing: 1}); !errors.Is(o.err, ErrAckTimeout) {
			t.Errorf("missing: %v", o.err)
		}
		fault := &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_INVALID, Message: "bad"}
		var refused *CommandError
		if o := answer(&spanwirev1.Answer{Id: ask().GetId(), Fault: fault}); !errors.As(o.err, &refused) || refused.Code != FaultInvalid {
			t.Errorf("fault: %v", o.err)
		}
		ask() // never answered
		if o := <-got; !errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("deadline: %v", o.err)
		}
		s.actions(t, 1)
		ask() // the stream breaks
		s.finish <- status.Error(codes.Unavailable, "gone")
		if o := <-got; !errors.Is(o.err, ErrBrokerUnavailable) {
			t.Errorf("broken: %v", o.err)
		}
		run.leave(t, <-s.broker.streams)
		if _, err := svc.EmitWithAck(t.Context(), "late"); !errors.Is(err, ErrBrokerUnavailable) {
			t.Errorf("after Run: %v", err)
		}
	})
}

// A queue that is full makes emits wait: for room, or until their patience is over.
func TestTarget_queueFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		o := fakeOptions(b)
		o.MaxQueue = 1000
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		s := <-b.streams
		s.mu.Lock()
		s.auto = false
		s.mu.Unlock()
		if err := svc.Attached(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 4 { // two frames fill the window, one more the queue
			start := time.Now()
			err := svc.Emit("big", make([]byte, 900))
			if i < 3 && err != nil {
				t.Errorf("emit %d: %v", i, err)
			}
			if i == 3 && (!errors.Is(err, ErrQueueFull) || time.Since(start) != 10*time.Second) {
				t.Errorf("emit %d: %v after %v", i, err, time.Since(start))
			}
		}
		done := make(chan error)
		go func() { done <- svc.Emit("big", make([]byte, 900)) }()
		time.Sleep(time.Second)
		s.mu.Lock()
		s.auto = true
		s.mu.Unlock()
		s.ackFrames()
		if err := <-done; err != nil {
			t.Errorf("the emit that waited: %v", err)
		}
		s.actions(t, 4)
		run.leave(t, s)
	})
}

// What cannot be sent is said to the caller, and nothing is sent.
func TestTarget_invalid(t *testing.T) {
	svc := NewService("test", Options{})
	if err := svc.Emit("disconnect"); !errors.Is(err, ErrReserved) {
		t.Errorf("reserved: %v", err)
	}
	if err := svc.Emit(""); err == nil {
		t.Error("an event without a name was taken")
	}
	if err := svc.To("r").Join(); err == nil {
		t.Error("a join without a room was taken")
	}
	var bad *EncodeError
	if err := svc.Emit("x", 1, make(chan int)); !errors.As(err, &bad) || bad.Index != 1 {
		t.Errorf("unencodable: %v", err)
	}
}

// Emits wait for the broker that is not there yet.
func TestTarget_unattached(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(b))
		svc.On("x", echo)
		if err := svc.Emit("y"); !errors.Is(err, ErrBrokerUnavailable) {
			t.Errorf("before Run: %v", err)
		}
		done := make(chan error)
		go func() { done <- svc.Emit("y") }()
		run := runService(svc)
		s := <-b.streams
		if err := <-done; err != nil {
			t.Errorf("emit: %v", err)
		}
		s.actions(t, 1)
		run.leave(t, s)
	})
}
