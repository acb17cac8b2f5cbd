// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// logBook is a log that can be read while it is written.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type circle struct {
	Self *circle
	Data []byte
}

func unsendables() map[string]any {
	self := &circle{Data: []byte("x")}
	self.Self = self
	around := map[string]any{}
	around["self"] = around
	return map[string]any{
		"nan": math.NaN(), "infinity": []any{math.Inf(1)}, "channel": make(chan int), "function": func() {}, "circle": around, "circle with bytes": self,
		"key": map[struct{ A int }]int{{1}: 1}, "key with bytes": map[[2]int][]byte{{1, 2}: []byte("x")}, "raw": json.RawMessage(`{"a":`),
		"raw text": json.RawMessage("\"\xff\""), "large": strings.Repeat("x", 2<<20), "large bytes": make([]byte, 2<<20),
	}
}

// What cannot be sent is an error of each call that would send it.
func TestCommand_unsendable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(b))
		kept := make(chan *Socket, 1)
		svc.On("x", func(_ context.Context, e *Event) error { kept <- e.Socket; return nil })
		run := runService(svc)
		s := <-b.streams
		s.dispatch(event(1, "s1", "x", ""))
		socket := <-kept
		s.actions(t, 1)
		ctx := context.Background()
		for name, v := range unsendables() {
			n := svc.Namespace("/n")
			_, ackErr := n.EmitWithAck(ctx, "e", v)
			_, countErr := n.All().EmitWithCount(ctx, "e", v)
			_, messageErr := svc.ServerSideEmitWithAck(ctx, "m", v)
			_, socketErr := socket.EmitWithAck(ctx, "e", v)
			for call, err := range map[string]error{
				"Service.Emit": svc.Emit("e", v), "Service.Send": svc.Send(v), "Namespace.Emit": n.Emit("e", v), "Target.Emit": n.To("r").Emit("e", v),
				"EmitWithAck": ackErr, "EmitWithCount": countErr, "Socket.Emit": socket.Emit("e", v), "Socket.Broadcast": socket.Broadcast().Emit("e", v),
				"Socket.EmitWithAck": socketErr, "ServerSideEmit": svc.ServerSideEmit("m", v), "ServerSideEmitWithAck": messageErr,
			} {
				if err == nil {
					t.Errorf("%s: %s says nothing", name, call)
				}
			}
			if !strings.HasSuffix(name, "bytes") { // data has no attachments
				if err := socket.SetData(ctx, v); err == nil {
					t.Errorf("%s: SetData says nothing", name)
				}
			}
		}
		// Names, too.
		bad, long := "\xff", "/"+strings.Repeat("x", 300)
		for call, err := range map[string]error{
			"event": svc.Emit(bad), "room": svc.To(bad).Emit("e"), "except": svc.Except(bad).Emit("e"), "join": socket.Join(bad), "leave": socket.Leave(bad),
			"namespace": svc.Namespace("/a,b").Emit("e"), "long namespace": svc.Namespace(long).Emit("e"), "namespace text": svc.Namespace(bad).Emit("e"),
			"message": svc.ServerSideEmit(bad), "message namespace": svc.Namespace("/a,b").ServerSideEmit("m"), "disconnect": svc.To(bad).Disconnect(false),
			"reserved": svc.Emit("connect"), "reserved message": svc.ServerSideEmit("disconnect"),
		} {
			if err == nil {
				t.Errorf("%s: no error", call)
			}
		}
		// The stream lives.
		s.dispatch(event(2, "s1", "x", ""))
		s.actions(t, 1)
		run.leave(t, s)
	})
}

// An answer that cannot be sent fails its event, also when the handler does not look at what Ack
// says.
func TestEvent_Ack_unsendable(t *testing.T) {
	for name, v := range unsendables() {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var log logBook
				b := newFakeBroker(t, "a")
				o := fakeOptions(b)
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				svc := NewService("test", o)
				svc.Namespace("/n").On("ignores", func(_ context.Context, e *Event) error {
					_ = e.Ack(v)
					return nil
				})
				svc.Namespace("/n").On("repairs", func(_ context.Context, e *Event) error {
					if e.Ack(v) != nil {
						return e.Ack("instead")
					}
					return nil
				})
				svc.OnConnect(func(context.Context, *Socket) error { return Refuse("no", v) })
				svc.On("x", echo)
				run := runService(svc)
				s := <-b.streams
				ignores, repairs := event(1, "s1", "ignores", ""), event(2, "s1", "repairs", "")
				ignores.Namespace, repairs.Namespace = "/n", "/n"
				s.dispatch(ignores, repairs, connect(3, "s2"))
				results := map[uint64]*spanwirev1.Result{}
				for _, a := range s.actions(t, 3) {
					results[a.GetResult().GetDispatchId()] = a.GetResult()
				}
				if results[1].GetFailure() == nil {
					t.Errorf("the answer that is ignored gives %v", results[1])
				}
				// what is large can be encoded
				if large := strings.HasPrefix(name, "large"); large != (results[2].GetFailure() != nil) {
					t.Errorf("the repaired answer gives %v", results[2])
				}
				if encodes := name == "large bytes"; !encodes && results[3].GetFailure() == nil {
					t.Errorf("the refusal gives %v", results[3])
				}
				run.leave(t, s)
				if text := log.String(); !strings.Contains(text, "handler failed") || !strings.Contains(text, "ignores") || !strings.Contains(text, "namespace=/n") {
					t.Errorf("the log says %s", text)
				}
			})
		})
	}
}

// What only the broker finds is logged with what it takes to find it in the program.
func TestStream_fault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log logBook
		b := newFakeBroker(t, "a")
		o := fakeOptions(b)
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		s := <-b.streams
		s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{Fault: &spanwirev1.Fault{
			Code: spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE, Message: "too large", Event: "e", Namespace: "/n", Bytes: 77,
		}}})
		time.Sleep(time.Second)
		for _, part := range []string{"level=ERROR", "too large", "event=e", "namespace=/n", "bytes=77"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("%s is not in %s", part, log.String())
			}
		}
		s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{Fault: &spanwirev1.Fault{
			Code: spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, Message: "event e came late",
		}}})
		time.Sleep(time.Second)
		if line := log.String()[strings.Index(log.String(), "bytes=77"):]; !strings.Contains(line, "event e came late") || strings.Contains(line, `event=""`) {
			t.Errorf("the line of a late result: %s", line)
		}
		run.leave(t, s)
	})
}

// What an Emitter cannot send is an error before anything is sent.
func TestEmitter_unsendable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		for name, v := range unsendables() {
			if strings.HasPrefix(name, "large") {
				continue // for the broker to say
			}
			if err := m.Emit("e", v); err == nil || errors.Is(err, ErrBrokerUnavailable) {
				t.Errorf("%s: Emit says %v", name, err)
			}
			if err := m.ServerSideEmit("m", v); err == nil {
				t.Errorf("%s: ServerSideEmit says nothing", name)
			}
		}
		if err := m.Namespace("/a,b").Emit("e"); err == nil {
			t.Error("a namespace with a comma: no error")
		}
		if len(b.emits)+len(b.commands) != 0 {
			t.Error("something was sent")
		}
	})
}
