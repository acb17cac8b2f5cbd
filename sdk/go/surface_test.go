// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// answered plays the broker for one command: it checks what was asked and answers in parts.
func answered(t *testing.T, s *fakeStream, parts ...*spanwirev1.Answer) *spanwirev1.Command {
	t.Helper()
	c := s.actions(t, 1)[0].GetCommand()
	for i, a := range parts {
		a.Id, a.More = c.GetId(), i < len(parts)-1
		s.batch(&spanwirev1.DispatchBatch{Answers: []*spanwirev1.Answer{a}})
	}
	return c
}

// The sockets of a target are asked for with its rooms and bounds, and an answer in parts is put
// together.
func TestTarget_FetchSockets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", nil) })
		got := make(chan *Sockets, 1)
		go func() {
			found, err := svc.To("r").Except("q").Local().FetchSockets(context.Background())
			if err != nil {
				t.Error(err)
			}
			got <- found
		}()
		c := answered(t, s,
			&spanwirev1.Answer{Found: []*spanwirev1.SocketInfo{{
				SocketId: "a", Rooms: []string{"a", "r"}, Data: []byte(`{"n":1}`), DataVersion: 3, Replica: "R",
				Handshake: &spanwirev1.Handshake{Url: "/?x=1"},
			}}},
			&spanwirev1.Answer{Found: []*spanwirev1.SocketInfo{{SocketId: "b"}}, SilentReplicas: []string{"S"}, Truncated: true})
		want := &spanwirev1.Target{Namespace: "/", Rooms: []string{"r"}, Except: []string{"q"}, Local: true}
		if got := c.GetFetchSockets().GetTarget(); got.String() != want.String() {
			t.Errorf("asked for %v", got)
		}
		found := <-got
		if len(found.Sockets) != 2 || !slices.Equal(found.SilentReplicas, []string{"S"}) || !found.Truncated {
			t.Fatalf("found %+v", found)
		}
		a := found.Sockets[0]
		if a.ID != "a" || !slices.Equal(a.Rooms, []string{"a", "r"}) || string(a.Data) != `{"n":1}` || a.DataVersion != 3 ||
			a.Replica != "R" || a.Handshake.Query.Get("x") != "1" {
			t.Errorf("a = %+v", a)
		}
		if err := a.Emit("hi"); err != nil {
			t.Error(err)
		}
		if rooms := s.actions(t, 1)[0].GetCommand().GetEmit().GetTarget().GetRooms(); !slices.Equal(rooms, []string{"a"}) {
			t.Errorf("emitted to %q", rooms)
		}
		run.leave(t, s)
	})
}

// Rooms are counted over the parts of the answer, and a refusal of the broker is an error.
func TestNamespace_Rooms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", nil) })
		ask := func() chan error {
			done := make(chan error, 1)
			go func() {
				rooms, err := svc.Namespace("/n").Rooms(context.Background(), RoomsOptions{Own: true})
				if err == nil && (rooms.Sockets["r"] != 3 || rooms.Sockets["q"] != 1) {
					err = fmt.Errorf("rooms = %v", rooms.Sockets)
				}
				done <- err
			}()
			return done
		}
		done := ask()
		c := answered(t, s, &spanwirev1.Answer{Rooms: []*spanwirev1.RoomInfo{{Name: "r", Sockets: 2}, {Name: "q", Sockets: 1}}},
			&spanwirev1.Answer{Rooms: []*spanwirev1.RoomInfo{{Name: "r", Sockets: 1}}})
		if m := c.GetListRooms(); m.GetNamespace() != "/n" || !m.GetIncludeOwn() || m.GetLocal() {
			t.Errorf("asked %v", m)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		done = ask()
		answered(t, s, &spanwirev1.Answer{Fault: &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_INVALID, Message: "no"}})
		var refused *CommandError
		if err := <-done; !errors.As(err, &refused) || refused.Code != FaultInvalid {
			t.Errorf("refusal = %v", err)
		}
		run.leave(t, s)
	})
}

// Data is known from the introduction; an update that lost a race runs again
// from what is there.
func TestSocket_UpdateData(t *testing.T) {
	bubble(t, func(t *testing.T) {
		result := make(chan error, 1)
		_, s, run := attached(t, func(svc *Service) {
			svc.On("count", func(ctx context.Context, e *Event) error {
				err := e.Socket.UpdateData(ctx, func(present json.RawMessage) (any, error) {
					var n int
					err := json.Unmarshal(present, &n)
					return n + 1, err
				})
				if string(e.Socket.Data()) != "11" {
					err = errors.Join(err, fmt.Errorf("data = %s", e.Socket.Data()))
				}
				result <- err
				return nil
			})
		})
		d := event(1, "s1", "count", "")
		d.Introduction = &spanwirev1.Introduction{Handshake: &spanwirev1.Handshake{}, Data: []byte("1"), DataVersion: 5}
		s.dispatch(d)
		c := answered(t, s, &spanwirev1.Answer{
			Fault: &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_CONFLICT}, DataVersion: 8, Data: []byte("10"),
		})
		if m := c.GetSetData(); m.GetIfVersion() != 5 || string(m.GetData()) != "2" || m.GetSocketId() != "s1" {
			t.Errorf("first = %v", m)
		}
		c = answered(t, s, &spanwirev1.Answer{DataVersion: 9})
		if m := c.GetSetData(); m.GetIfVersion() != 8 || string(m.GetData()) != "11" {
			t.Errorf("second = %v", m)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		s.actions(t, 1)
		run.leave(t, s)
	})
}

// A message of another instance is handled once, however many replicas bring it, and its answer
// goes back.
func TestNamespace_OnMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls []string
		_, s, run := attached(t, func(svc *Service) {
			svc.OnMessage("hello", func(_ context.Context, m *Message) error {
				var text string
				err := m.Bind(&text)
				calls = append(calls, m.Service+"/"+m.InstanceID+":"+text)
				return errors.Join(err, m.Ack("yes"))
			})
			svc.OnMessage("*", func(_ context.Context, m *Message) error {
				calls = append(calls, "any "+m.Name)
				return nil
			})
		})
		message := func(id uint64, name string) *spanwirev1.Dispatch {
			return &spanwirev1.Dispatch{Id: id, WantsAck: true, Kind: &spanwirev1.Dispatch_Message{Message: &spanwirev1.Message{
				Service: "other", InstanceId: "o1", Event: &spanwirev1.Event{Name: name, Args: []byte(`["x"]`)},
			}}}
		}
		for i, test := range []struct {
			id   uint64
			name string
			ack  string // none when empty
		}{{7, "hello", `["yes"]`}, {7, "hello", ""}, {8, "else", "[]"}} {
			s.dispatch(message(test.id, test.name))
			r := s.actions(t, 1)[0].GetResult()
			if r.GetDispatchId() != test.id || (r.GetAck() != nil) != (test.ack != "") {
				t.Errorf("%d: result = %v", i, r)
			}
			if args := string(r.GetAck().GetArgs()); test.ack != "" && args != test.ack && args != "" {
				t.Errorf("%d: ack = %s", i, args)
			}
		}
		if want := []string{"other/o1:x", "any else"}; !slices.Equal(calls, want) {
			t.Errorf("calls = %q, want %q", calls, want)
		}
		run.leave(t, s)
	})
}

// A message with acks names the services it is for, and tells who answered.
func TestInstances_EmitWithAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.On("x", nil) })
		got := make(chan *InstanceAcks, 1)
		go func() {
			acks, err := svc.Namespace("/n").Instances("a", "b").EmitWithAck(context.Background(), "hello", 1, []byte{2})
			if err != nil {
				t.Error(err)
			}
			got <- acks
		}()
		c := answered(t, s, &spanwirev1.Answer{Missing: 1, InstanceAcks: []*spanwirev1.InstanceAck{
			{Service: "a", InstanceId: "a1", Ack: &spanwirev1.Ack{Args: []byte("[5]")}},
		}})
		m := c.GetServerSideEmit()
		if m.GetNamespace() != "/n" || !slices.Equal(m.GetServices(), []string{"a", "b"}) || !m.GetWantAcks() ||
			m.GetEvent().GetName() != "hello" || len(m.GetEvent().GetAttachments()) != 1 {
			t.Errorf("sent %v", m)
		}
		acks := <-got
		var n int
		if len(acks.Acks) != 1 || acks.Missing != 1 || acks.Acks[0].InstanceID != "a1" || acks.Acks[0].Bind(&n) != nil || n != 5 {
			t.Errorf("acks = %+v", acks)
		}
		if err := svc.ServerSideEmit("connect"); !errors.Is(err, ErrReserved) {
			t.Errorf("reserved name: %v", err)
		}
		run.leave(t, s)
	})
}

// Room events come with their socket; what a socket was in is known when it leaves; a recovered
// connect says so.
func TestNamespace_OnRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []string
		_, s, run := attached(t, func(svc *Service) {
			svc.OnRoom(func(_ context.Context, sock *Socket, change RoomChange, room string) {
				seen = append(seen, fmt.Sprint(sock.ID(), " ", change, " ", room))
			})
			svc.OnConnect(func(_ context.Context, sock *Socket) error {
				seen = append(seen, fmt.Sprint("recovered ", sock.Recovered()))
				return nil
			})
			svc.OnDisconnect(func(_ context.Context, sock *Socket, _ string) {
				seen = append(seen, fmt.Sprint("was in ", sock.LeftRooms()))
			})
		})
		room := func(id uint64, change spanwirev1.RoomChange) *spanwirev1.Dispatch {
			return &spanwirev1.Dispatch{Id: id, SocketId: "s1", Kind: &spanwirev1.Dispatch_RoomEvent{
				RoomEvent: &spanwirev1.RoomEvent{Change: change, Room: "r"},
			}}
		}
		c := connect(1, "s1")
		c.GetConnect().Recovered = true
		gone := disconnected(4, "s1", "transport close")
		gone.GetDisconnected().Rooms = []string{"s1", "r"}
		s.dispatch(c, room(2, spanwirev1.RoomChange_ROOM_CHANGE_CREATED), room(3, spanwirev1.RoomChange_ROOM_CHANGE_JOINED), gone)
		s.actions(t, 4)
		if want := []string{"recovered true", "s1 created r", "s1 joined r", "was in [s1 r]"}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
		run.leave(t, s)
	})
}

// Namespaces that a pattern matches have its handlers and those of their own name, and are
// forgotten with their last socket.
func TestService_NamespacePattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls []string
		note := func(who string) EventHandler {
			return func(_ context.Context, e *Event) error {
				calls = append(calls, who+" "+e.Name+" "+e.Socket.Namespace().Name())
				return nil
			}
		}
		svc, s, run := attached(t, func(svc *Service) {
			p := svc.NamespacePattern(`/room-\d+`)
			p.On("a", note("pattern"))
			p.On("b", note("pattern"), Concurrent())
			p.OnConnect(func(context.Context, *Socket) error { return nil }, ConnectOrder(3), Advisory())
			svc.Namespace("/room-7").On("b", note("exact"))
		})
		if svc.NamespacePattern(`/room-\d+`).registration().String() !=
			(&spanwirev1.Registration{
				Namespace: `/room-\d+`, Pattern: true, Events: []string{"a", "b"}, Connect: true, ConnectOrder: 3, ConnectAdvisory: true, Disconnect: true,
				ConcurrentEvents: []string{"b"},
			}).String() {
			t.Errorf("registration = %v", svc.NamespacePattern(`/room-\d+`).registration())
		}
		in := func(d *spanwirev1.Dispatch, ns string) *spanwirev1.Dispatch {
			d.Namespace = ns
			return d
		}
		s.dispatch(in(event(1, "s1", "a", ""), "/room-1"), in(event(2, "s7", "b", ""), "/room-7"), in(event(3, "s7", "a", ""), "/room-7"),
			in(event(4, "s0", "a", ""), "/room-x"))
		list := s.actions(t, 4)
		slices.Sort(calls)
		if want := []string{"exact b /room-7", "pattern a /room-1", "pattern a /room-7"}; !slices.Equal(calls, want) {
			t.Errorf("calls = %q, want %q", calls, want)
		}
		failures := 0
		for _, a := range list {
			if a.GetResult().GetFailure() != nil {
				failures++
			}
		}
		if failures != 1 {
			t.Errorf("%d failures, want 1 for the name that nothing matches", failures)
		}
		s.dispatch(in(disconnected(5, "s1", "x"), "/room-1"), in(disconnected(6, "s7", "x"), "/room-7"))
		s.actions(t, 2)
		svc.scheduler.mu.Lock()
		if n := len(svc.scheduler.children); n != 0 {
			t.Errorf("%d namespaces are kept", n)
		}
		svc.scheduler.mu.Unlock()
		if err := svc.NamespacePattern(`/room-\d+`).Emit("x"); err != nil {
			t.Error(err)
		}
		if target := s.actions(t, 1)[0].GetCommand().GetEmit().GetTarget(); !target.GetPattern() || target.GetNamespace() != `/room-\d+` {
			t.Errorf("target = %v", target)
		}
		run.leave(t, s)
	})
}

// Listeners see what comes and what goes.
func TestService_OnAny(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []string
		_, s, run := attached(t, func(svc *Service) {
			svc.OnAny(func(e *Event) { seen = append(seen, "in "+e.Name) })
			svc.OnAnyOutgoing(func(target Target, event string, args []any) {
				seen = append(seen, fmt.Sprint("out ", event, args, target.Namespace()))
			})
			svc.On("x", func(_ context.Context, e *Event) error { return e.Socket.Emit("y", 1) })
		})
		s.dispatch(event(1, "s1", "x", ""))
		s.actions(t, 2)
		if want := []string{"in x", "out y[1]/"}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
		run.leave(t, s)
	})
}

// What makes no sense is said before the service runs.
func TestService_Run_SurfaceMisuse(t *testing.T) {
	svc := NewService("test", Options{})
	svc.NamespacePattern("(").On("x", nil)
	svc.OnMessage("", nil)
	svc.OnMessage("disconnect", nil)
	svc.OnConnect(nil, ConnectOrder(-1))
	err := svc.Run(t.Context())
	if err == nil || len(svc.misuses) != 4 {
		t.Errorf("misuses: %v", svc.misuses)
	}
}
