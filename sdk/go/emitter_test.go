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

// Emit implements the contract's server side.
func (b *fakeBroker) Emit(ctx context.Context, r *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	b.emits <- r.GetEmit()
	if b.answer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.answer(r.GetEmit())
}

// An emit is one call, and its errors are those of a service's emits.
func TestEmitter_Emit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
			acks := []*spanwirev1.SocketAck{{SocketId: "s", Ack: &spanwirev1.Ack{Args: []byte(`[1]`)}}}
			return &spanwirev1.EmitResponse{Sockets: 3, Missing: 2, Acks: acks}, nil
		}
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.To("r").Except("x").Emit("news", map[string]any{"n": 1}, []byte("b")); err != nil {
			t.Fatal(err)
		}
		e := <-b.emits
		if e.GetTarget().GetNamespace() != "/" || fmt.Sprint(e.GetTarget().GetRooms(), e.GetTarget().GetExcept()) != "[r] [x]" ||
			string(e.GetEvent().GetArgs()) != `[{"n":1},{"_placeholder":true,"num":0}]` ||
			string(e.GetEvent().GetAttachments()[0]) != "b" || e.GetWantAcks() {
			t.Errorf("emit = %v", e)
		}
		acks, err := m.Namespace("chat").EmitWithAck(t.Context(), "ask")
		if err != nil || acks.Sockets != 3 || acks.Missing != 2 || len(acks.Acks) != 1 || string(acks.Acks[0].Raw()) != "[1]" {
			t.Errorf("acks = %+v, %v", acks, err)
		}
		if e := <-b.emits; e.GetTarget().GetNamespace() != "/chat" || !e.GetWantAcks() {
			t.Errorf("emit = %v", e)
		}
		for code, want := range map[codes.Code]FaultCode{
			codes.InvalidArgument: FaultInvalid, codes.Unavailable: FaultBackplaneUnavailable,
			codes.ResourceExhausted: FaultTooLarge, codes.Unimplemented: FaultUnimplemented,
		} {
			b.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) { return nil, status.Error(code, "no") }
			var refused *CommandError
			if err := m.Send("x"); !errors.As(err, &refused) || refused.Code != want {
				t.Errorf("%v: err = %v", code, err)
			}
			<-b.emits
		}
		b.answer = nil
		start := time.Now()
		if err := m.Emit("x"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// A broker that cannot be reached is told as such.
func TestEmitter_unavailable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := fakeOptions(newFakeBroker(t, "a"))
		o.Address = "passthrough:///nobody"
		m, err := NewEmitter(o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Emit("x"); !errors.Is(err, ErrBrokerUnavailable) {
			t.Errorf("err = %v", err)
		}
	})
}

// Execute implements the contract's server side.
func (b *fakeBroker) Execute(_ context.Context, r *spanwirev1.ExecuteRequest) (*spanwirev1.ExecuteResponse, error) {
	b.commands <- r.GetCommand()
	if r.GetCommand().GetLeave() != nil {
		return nil, status.Error(codes.InvalidArgument, "no")
	}
	return &spanwirev1.ExecuteResponse{Answer: &spanwirev1.Answer{
		Found: []*spanwirev1.SocketInfo{{SocketId: "s", Rooms: []string{"s", "r"}}}, Rooms: []*spanwirev1.RoomInfo{{Name: "r", Sockets: 2}},
	}}, nil
}

// What targets can be asked for by handlers, they can be asked for by programs that are none.
func TestEmitter_Execute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.To("r").Join("x"); err != nil {
			t.Fatal(err)
		}
		if c := (<-b.commands).GetJoin(); fmt.Sprint(c.GetTarget().GetRooms(), c.GetRooms()) != "[r] [x]" {
			t.Errorf("join = %v", c)
		}
		if err := m.To("r").Disconnect(true); err != nil {
			t.Fatal(err)
		}
		if c := (<-b.commands).GetDisconnect(); !c.GetCloseSession() {
			t.Errorf("disconnect = %v", c)
		}
		var refused *CommandError
		if err := m.To("r").Leave("x"); !errors.As(err, &refused) || refused.Code != FaultInvalid {
			t.Errorf("leave: %v", err)
		}
		<-b.commands
		found, err := m.To("r").FetchSockets(t.Context())
		if err != nil || len(found.Sockets) != 1 || found.Sockets[0].ID != "s" {
			t.Errorf("found %+v, %v", found, err)
		}
		<-b.commands
		rooms, err := m.Namespace("/n").Rooms(t.Context(), RoomsOptions{})
		if err != nil || rooms.Sockets["r"] != 2 || (<-b.commands).GetListRooms().GetNamespace() != "/n" {
			t.Errorf("rooms %+v, %v", rooms, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
