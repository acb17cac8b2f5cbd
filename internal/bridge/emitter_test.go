// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/dispatch"
)

// Callers need a token when tokens are set.
func TestServer_tokens(t *testing.T) {
	h := newHouse(t, Options{Callers: callers(t, "one", "two")}, dispatch.Options{})
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	request := &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}}}
	for shown, want := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer three": codes.Unauthenticated,
		"two": codes.Unauthenticated, "Bearer two": codes.OK} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", shown)
		if _, err := client.Emit(ctx, request); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", shown, err, want)
		}
	}
	h.open().ends(codes.Unauthenticated, "service-tokens")
}

// Emit reaches sockets, and says what is wrong with a request.
func TestServer_Emit(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.attach(nil)
	b := h.connect("socket1")
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	got, err := client.Emit(t.Context(), &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x", Args: []byte(`[1]`)}, WantAcks: true}})
	if err != nil || got.GetSockets() != 1 || len(got.GetAcks()) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	b.sees(t, "event x [1]")
	if _, err := client.Emit(t.Context(), &spanwirev1.EmitRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("empty request: %v", err)
	}
}

// Execute carries out what handlers may ask for, and tells no secrets.
func TestServer_Execute(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.attach(nil)
	b := h.connect("socket1")
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	execute := func(m *spanwirev1.Command) *spanwirev1.Answer {
		t.Helper()
		r, err := client.Execute(t.Context(), &spanwirev1.ExecuteRequest{Command: m})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetAnswer()
	}
	everyone := &spanwirev1.Target{}
	a := execute(&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: everyone, Rooms: []string{"r"}}}})
	if a.GetSockets() != 1 || a.GetFault() != nil {
		t.Errorf("join: %v", a)
	}
	room := &spanwirev1.Target{Rooms: []string{"r"}}
	a = execute(&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{Target: room}}})
	if len(a.GetFound()) != 1 || a.GetFound()[0].GetHandshake().GetAuth() != nil {
		t.Errorf("fetch: %v", a)
	}
	a = execute(&spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{ListRooms: &spanwirev1.ListRooms{}}})
	if len(a.GetRooms()) != 1 || a.GetRooms()[0].GetName() != "r" {
		t.Errorf("rooms: %v", a)
	}
	a = execute(&spanwirev1.Command{Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{SocketId: "gone", Data: []byte("1")}}})
	if a.GetFault().GetCode() != spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND {
		t.Errorf("data of nobody: %v", a)
	}
	a = execute(&spanwirev1.Command{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: &spanwirev1.ServerSideEmit{
		Event: &spanwirev1.Event{Name: "m"}, WantAcks: true}}})
	if a.GetMissing() != 0 || a.GetFault() != nil {
		t.Errorf("message that nobody takes: %v", a)
	}
	a = execute(&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
		Target: room, Event: &spanwirev1.Event{Name: "x", Args: []byte(`[1]`)}, WantAcks: true}}})
	if len(a.GetAcks()) != 1 {
		t.Errorf("emit: %v", a)
	}
	b.sees(t, "event x [1]")
	for _, m := range []*spanwirev1.Command{
		nil, {}, {Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: room}}},
		{Command: &spanwirev1.Command_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{}}},
		{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: &spanwirev1.ServerSideEmit{}}},
	} {
		if _, err := client.Execute(t.Context(), &spanwirev1.ExecuteRequest{Command: m}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", m, err)
		}
	}
}

// Instances and callers may ask how many sockets an emit reached; without an id the count would
// reach nobody.
func TestEmit_wantCount(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	h.connect("socket1")
	h.connect("socket2")
	counted := func(id uint64, acks bool) *spanwirev1.Action {
		return command(&spanwirev1.Command{Id: id, Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
			Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantCount: true, WantAcks: acks,
		}}})
	}
	p.act(counted(0, false))
	if f := p.receive().GetFault(); f.GetCode() != spanwirev1.FaultCode_FAULT_CODE_INVALID {
		t.Errorf("without an id: %v", f)
	}
	for id, acks := range []bool{false, true} {
		p.act(counted(uint64(id+1), acks))
		a := p.batch().GetAnswers()[0]
		p.answerFrames(p.taken)
		if want := map[bool]int{true: 2}[acks]; a.GetSockets() != 2 || len(a.GetAcks()) != want || a.GetFault() != nil {
			t.Errorf("with acks %v: %v", acks, a)
		}
	}
}

// callers are the programs that present one of the tokens.
func callers(t testing.TB, tokens ...string) *auth.Callers {
	t.Helper()
	c, err := auth.Open(tokens, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
