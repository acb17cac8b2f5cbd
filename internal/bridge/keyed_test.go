// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// An emit under a key reaches its sockets once; asked for again it gives the same answer, whichever
// call carries it.
func TestServer_idempotencyKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "callers.yaml")
	if err := os.WriteFile(file, []byte("callers: [{name: one, tokens: [token-of-one-0001]}, {name: other, tokens: [token-of-other-01]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	callers, err := auth.Open(nil, file)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, Options{Callers: callers}, dispatch.Options{})
	as := func(token string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	}
	one := as("token-of-one-0001")
	h.token = "token-of-one-0001"
	h.attach(nil)
	b := h.connect("socket1")
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	x := func(name string) *spanwirev1.Emit {
		return &spanwirev1.Emit{Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: name, Args: []byte(`[1]`)}, WantAcks: true}
	}
	for i, replayed := range []bool{false, true, true} {
		got, err := client.Emit(one, &spanwirev1.EmitRequest{Emit: x("x"), IdempotencyKey: "order-17"})
		if err != nil || got.GetReplayed() != replayed || len(got.GetAcks()) != 1 || got.GetSockets() != 1 {
			t.Errorf("call %d: %v, %v", i, got, err)
		}
	}
	same, err := client.Execute(one, &spanwirev1.ExecuteRequest{
		IdempotencyKey: "order-17", Command: &spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Emit{Emit: x("x")}},
	})
	if err != nil || !same.GetReplayed() || len(same.GetAnswer().GetAcks()) != 1 || same.GetAnswer().GetId() != 0 {
		t.Errorf("by Execute: %v, %v", same, err)
	}
	b.sees(t, "event x [1]")
	_, err = client.Emit(one, &spanwirev1.EmitRequest{Emit: x("y"), IdempotencyKey: "order-17"})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "different request") {
		t.Errorf("another request with the key: %v", err)
	}
	if _, err = client.Emit(one, &spanwirev1.EmitRequest{Emit: x("y"), IdempotencyKey: strings.Repeat("k", 129)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long key: %v", err)
	}
	if got, err := client.Emit(as("token-of-other-01"), &spanwirev1.EmitRequest{Emit: x("y"), IdempotencyKey: "order-17"}); err != nil || got.GetReplayed() {
		t.Errorf("another caller with the key: %v, %v", got, err)
	}
	b.sees(t, "event y [1]")
	if len(b.seen) > 0 {
		t.Errorf("the browser saw %s too", <-b.seen)
	}
}

// What failed without reaching anybody is tried again.
func TestServer_idempotencyKey_failure(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.attach(nil)
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	set := func() *spanwirev1.ExecuteResponse {
		t.Helper()
		r, err := client.Execute(t.Context(), &spanwirev1.ExecuteRequest{IdempotencyKey: "k", Command: &spanwirev1.Command{
			Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{SocketId: "socket1", Data: []byte("1")}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := set(); r.GetAnswer().GetFault().GetCode() != spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND {
		t.Errorf("nobody there: %v", r)
	}
	h.connect("socket1")
	if r := set(); r.GetAnswer().GetFault() != nil || r.GetReplayed() || r.GetAnswer().GetDataVersion() != 1 {
		t.Errorf("now: %v", r)
	}
	if r := set(); !r.GetReplayed() || r.GetAnswer().GetDataVersion() != 1 {
		t.Errorf("again: %v", r)
	}
}

// A caller that leaves while its call waits for acks finds all of them when it asks again.
func TestServer_idempotencyKey_left(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.attach(nil)
	s := &silent{browser: &browser{id: "socket1", seen: make(chan string, 10)}, asked: make(chan func(), 1)}
	h.hub.Add("/", s)
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	request := &spanwirev1.EmitRequest{IdempotencyKey: "k", Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantAcks: true,
	}}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := client.Emit(ctx, request)
		left <- err
	}()
	ack := <-s.asked
	cancel()
	if err := <-left; status.Code(err) != codes.Canceled {
		t.Errorf("left with %v", err)
	}
	ack()
	got, err := client.Emit(t.Context(), request)
	if err != nil || !got.GetReplayed() || len(got.GetAcks()) != 1 || got.GetMissing() != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// silent is a browser that acks when the test says so.
type silent struct {
	*browser
	asked chan func()
}

func (s *silent) Deliver(d *hub.Delivery) {
	s.asked <- func() { d.Acked(s.id, sio.Ack{Args: []byte("[1]")}) }
}
