// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
)

// Callers need a token when tokens are set.
func TestServer_tokens(t *testing.T) {
	h := newHouse(t, Options{Tokens: []string{"one", "two"}}, dispatch.Options{})
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
