// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"errors"
	"reflect"
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// A partial delivery returns an error with the known facts, and the results that arrived.
func TestEmitter_Partial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newFakeBroker(t, "a")
		b.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
			return &spanwirev1.EmitResponse{
				Sockets: 3, SilentReplicas: []string{"r2"}, Acks: []*spanwirev1.SocketAck{{SocketId: "s"}},
				Fault: &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE, Message: "the backplane is down"},
			}, nil
		}
		m, err := NewEmitter(fakeOptions(b))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		partial := func(err error) {
			t.Helper()
			var partial *PartialDeliveryError
			want := &PartialDeliveryError{Sockets: 3, SilentReplicas: []string{"r2"}, Message: "the backplane is down"}
			if !errors.As(err, &partial) || !reflect.DeepEqual(partial, want) {
				t.Errorf("got %v", err)
			}
			var failed *CommandError
			if !errors.As(err, &failed) || failed.Code != FaultBackplaneUnavailable {
				t.Errorf("got %v", err)
			}
		}
		partial(m.Emit("x"))
		acks, err := m.EmitWithAck(t.Context(), "x")
		if partial(err); acks == nil || len(acks.Acks) != 1 {
			t.Errorf("what came: %+v", acks)
		}
		count, err := m.Namespace("/").EmitWithCount(t.Context(), "x")
		if partial(err); count == nil || count.Sockets != 3 || len(count.SilentReplicas) != 1 {
			t.Errorf("what is known: %+v", count)
		}
	})
}
