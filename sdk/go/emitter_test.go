// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Emit implements the contract's server side.
func (b *fakeBroker) Emit(ctx context.Context, r *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	b.note(ctx, r.GetIdempotencyKey())
	b.emits <- r.GetEmit()
	if b.answer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.answer(r.GetEmit())
}

// note keeps the credentials and the key of a call.
func (b *fakeBroker) note(ctx context.Context, key string) {
	md, _ := metadata.FromIncomingContext(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shown = append(b.shown, strings.Join(md.Get("authorization"), ","))
	b.keys = append(b.keys, key)
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
			codes.PermissionDenied: FaultPermissionDenied, codes.Unauthenticated: FaultPermissionDenied,
		} {
			b.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) { return nil, status.Error(code, "no") }
			var refused *CommandError
			if err := m.Send("x"); !errors.As(err, &refused) || refused.Code != want {
				t.Errorf("%v: err = %v", code, err)
			}
			<-b.emits
		}
		// The broker sees the deadline too, and may say so first.
		b.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
			return nil, status.Error(codes.DeadlineExceeded, "too late")
		}
		if err := m.Send("x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		<-b.emits
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

// A broker that cannot be reached is reported as such.
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
func (b *fakeBroker) Execute(ctx context.Context, r *spanwirev1.ExecuteRequest) (*spanwirev1.ExecuteResponse, error) {
	b.note(ctx, r.GetIdempotencyKey())
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

func ok(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
	return &spanwirev1.EmitResponse{Sockets: 3, Dropped: 1, SilentReplicas: []string{"c"}}, nil
}

// A call goes to the next address where no broker took it. One that was lost on the way is made
// again only with a key.
func TestEmitter_failover(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		b.answer = ok
		release := make(chan struct{})
		defer close(release)
		dies := func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
			go a.server.Stop()
			<-release
			return nil, errors.New("stopped")
		}
		refuses := func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
			return nil, status.Error(codes.Unavailable, "the other replicas cannot be reached")
		}
		emitter := func(addresses string) *Emitter {
			o := fakeOptions(a, b)
			o.Address = addresses
			m, err := NewEmitter(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			return m
		}
		const both = "passthrough:///a, passthrough:///b"
		m := emitter("passthrough:///nobody, passthrough:///b")
		if err := m.Emit("unreachable"); err != nil || len(b.emits) != 1 {
			t.Errorf("err = %v, %d calls", err, len(b.emits))
		}
		<-b.emits
		if err := m.Emit("again"); err != nil || m.first.Load() != 1 {
			t.Errorf("err = %v; the first is %d", err, m.first.Load())
		}
		<-b.emits
		a.answer = refuses
		var refused *CommandError
		if err := emitter(both).Emit("refused"); !errors.As(err, &refused) || len(b.emits) != 0 {
			t.Errorf("what a broker answered: %v, %d calls of the other", err, len(b.emits))
		}
		<-a.emits
		quick := emitter(both)
		if err := quick.Emit("warm"); !errors.As(err, &refused) {
			t.Error(err)
		}
		<-a.emits
		a.answer = dies
		if err := quick.Emit("lost"); !errors.Is(err, ErrBrokerUnavailable) || len(b.emits) != 0 {
			t.Errorf("what may have been taken: %v, %d calls of the other", err, len(b.emits))
		}
		<-a.emits
		if err := quick.Emit("next"); err != nil || (<-b.emits).GetEvent().GetName() != "next" {
			t.Errorf("after the loss: %v", err)
		}
	})
}

// A key goes with the call, and makes one that was lost go to the next address.
func TestEmitter_IdempotencyKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		release := make(chan struct{})
		defer close(release)
		a.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
			go a.server.Stop()
			<-release
			return nil, errors.New("stopped")
		}
		b.answer = ok
		o := fakeOptions(a, b)
		o.Address = "passthrough:///a, passthrough:///b"
		m, err := NewEmitter(o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.To("r").IdempotencyKey("order-17").Emit("paid"); err != nil {
			t.Error(err)
		}
		if fmt.Sprint(a.keys, b.keys) != "[order-17] [order-17]" {
			t.Errorf("keys %v and %v", a.keys, b.keys)
		}
		if err := m.To("r").IdempotencyKey("order-18").Join("x"); err != nil || b.keys[1] != "order-18" {
			t.Errorf("keys %v, %v", b.keys, err)
		}
		if err := m.To("r").IdempotencyKey(strings.Repeat("x", 129)).Emit("paid"); err == nil {
			t.Error("a key of 129 bytes was sent")
		}
		_, s, run := attached(t, func(svc *Service) {
			svc.On("x", echo)
			if err := svc.To("r").IdempotencyKey("k").Emit("x"); !errors.Is(err, errKey) {
				t.Errorf("a service's target: %v", err)
			}
			if _, err := svc.To("r").IdempotencyKey("k").EmitWithCount(t.Context(), "x"); !errors.Is(err, errKey) {
				t.Errorf("a service's target: %v", err)
			}
		})
		run.leave(t, s)
	})
}

// Counts are of the whole cluster, from emitters and handlers alike.
func TestTarget_EmitWithCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.answer = ok
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		count, err := m.To("r").EmitWithCount(ctx, "x")
		if err != nil || count.Sockets != 3 || count.Dropped != 1 || fmt.Sprint(count.SilentReplicas) != "[c]" {
			t.Errorf("count = %+v, %v", count, err)
		}
		if e := <-b.emits; !e.GetWantCount() || e.GetWantAcks() || e.GetAckTimeoutMs() != 1900 {
			t.Errorf("emit = %v", e)
		}
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", echo) })
		counted := make(chan *Count)
		go func() {
			count, _ := svc.To("r").EmitWithCount(t.Context(), "x")
			counted <- count
		}()
		c := s.actions(t, 1)[0].GetCommand()
		s.batch(&spanwirev1.DispatchBatch{Answers: []*spanwirev1.Answer{{Id: c.GetId(), Sockets: 7, Dropped: 2}}})
		if count := <-counted; !c.GetEmit().GetWantCount() || count.Sockets != 7 || count.Dropped != 2 {
			t.Errorf("emit = %v, count = %+v", c, count)
		}
		run.leave(t, s)
	})
}

// What changes rooms may be counted, and waited for, too.
func TestTarget_JoinWithCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", echo) })
		counting := func(to Target) map[string]func() (*Count, error) {
			return map[string]func() (*Count, error){
				"join":       func() (*Count, error) { return to.JoinWithCount(t.Context(), "x") },
				"leave":      func() (*Count, error) { return to.LeaveWithCount(t.Context(), "x") },
				"disconnect": func() (*Count, error) { return to.DisconnectWithCount(t.Context(), true) },
			}
		}
		wants := func(c *spanwirev1.Command) bool {
			return c.GetJoin().GetWantCount() || c.GetLeave().GetWantCount() || c.GetDisconnect().GetWantCount() && c.GetDisconnect().GetCloseSession()
		}
		for name, ask := range counting(m.To("r")) {
			if _, err := ask(); (err != nil) != (name == "leave") { // which this broker refuses
				t.Errorf("%s: %v", name, err)
			}
			if c := <-b.commands; !wants(c) {
				t.Errorf("%s: command %v", name, c)
			}
		}
		for name, ask := range counting(svc.To("r")) {
			counted := make(chan *Count)
			go func() {
				count, _ := ask()
				counted <- count
			}()
			c := s.actions(t, 1)[0].GetCommand()
			s.batch(&spanwirev1.DispatchBatch{Answers: []*spanwirev1.Answer{{Id: c.GetId(), Sockets: 7, SilentReplicas: []string{"c"}}}})
			if count := <-counted; !wants(c) || count.Sockets != 7 || fmt.Sprint(count.SilentReplicas) != "[c]" {
				t.Errorf("%s: command %v, count %+v", name, c, count)
			}
		}
		if _, err := svc.To("r").JoinWithCount(t.Context()); !errors.Is(err, errNoRoom) {
			t.Errorf("no room: %v", err)
		}
		run.leave(t, s)
	})
}

// Programs that handle nothing send messages to instances too.
func TestEmitter_ServerSideEmit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.ServerSideEmit("refresh", 1); err != nil {
			t.Fatal(err)
		}
		if c := (<-b.commands).GetServerSideEmit(); c.GetEvent().GetName() != "refresh" || c.GetNamespace() != "/" || c.GetWantAcks() {
			t.Errorf("message = %v", c)
		}
		acks, err := m.Namespace("/n").IdempotencyKey("k").Instances("chat").EmitWithAck(t.Context(), "refresh")
		if err != nil || len(acks.Acks) != 0 {
			t.Errorf("acks = %+v, %v", acks, err)
		}
		if c := (<-b.commands).GetServerSideEmit(); c.GetNamespace() != "/n" || fmt.Sprint(c.GetServices()) != "[chat]" || !c.GetWantAcks() {
			t.Errorf("message = %v", c)
		}
		if _, err := m.ServerSideEmitWithAck(t.Context(), "refresh"); err != nil || fmt.Sprint(b.keys) != "[ k ]" {
			t.Errorf("keys = %q, %v", b.keys, err)
		}
		<-b.commands
	})
}

// A token source is asked each time, by emitters and services, and says why there is no token.
func TestOptions_TokenSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.answer = ok
		asked := 0
		o := fakeOptions(b)
		o.Token = "unused"
		o.TokenSource = func(context.Context) (string, error) {
			if asked++; asked == 3 {
				return "", errors.New("the vault is closed")
			}
			return fmt.Sprint("token-", asked), nil
		}
		m, err := NewEmitter(o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := errors.Join(m.Emit("x"), m.Emit("x")); err != nil || fmt.Sprint(b.shown) != "[Bearer token-1 Bearer token-2]" {
			t.Errorf("shown %v, %v", b.shown, err)
		}
		var refused *CommandError
		if err := m.Emit("x"); !errors.As(err, &refused) || !strings.Contains(err.Error(), "the vault is closed") {
			t.Errorf("err = %v", err)
		}
		svc := NewService("test", o)
		svc.On("x", echo)
		run := runService(svc)
		s := <-b.streams
		s.finish <- status.Error(codes.Unavailable, "gone")
		s2 := <-b.streams
		if got := append(s.metadata.Get("authorization"), s2.metadata.Get("authorization")...); fmt.Sprint(got) != "[Bearer token-4 Bearer token-5]" {
			t.Errorf("shown %v", got)
		}
		run.leave(t, s2)
	})
}

// Retiring a service is one call; it names the replicas that did not answer, and says why nothing
// was done.
func TestEmitter_RetireService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.retire = func(service string) (*spanwirev1.RetireServiceResponse, error) {
			switch service {
			case "here":
				return nil, status.Error(codes.FailedPrecondition, "it has instances")
			case "nobody":
				return nil, status.Error(codes.NotFound, "no replica knows it")
			case "denied":
				return nil, status.Error(codes.PermissionDenied, "it may not")
			}
			return &spanwirev1.RetireServiceResponse{SilentReplicas: []string{"r"}}, nil
		}
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		if silent, err := m.RetireService(t.Context(), "gone"); err != nil || len(silent) != 1 || silent[0] != "r" {
			t.Errorf("%v, %v", silent, err)
		}
		for service, code := range map[string]FaultCode{"here": FaultConflict, "nobody": FaultNotFound, "denied": FaultPermissionDenied} {
			var refused *CommandError
			if _, err := m.RetireService(t.Context(), service); !errors.As(err, &refused) || refused.Code != code {
				t.Errorf("%s: %v", service, err)
			}
		}
	})
}
