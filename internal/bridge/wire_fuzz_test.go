// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/sio"
)

// Whatever an instance sends as a result is read without harm, and as the generated code reads it.
func FuzzReadResult(f *testing.F) {
	for _, m := range []*spanwirev1.Result{
		{}, {DispatchId: 1}, {DispatchId: 2, Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{Args: []byte(`[1]`), Attachments: [][]byte{{1}, {}}}}},
		{DispatchId: 3, Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: "no", Data: []byte(`1`)}}},
		{DispatchId: 4, Outcome: &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: "broken"}}},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		id, r, err := readResult(data)
		var m spanwirev1.Result
		if err != nil || proto.Unmarshal(data, &m) != nil {
			return
		}
		if uint64(id) != m.GetDispatchId() {
			t.Fatalf("id %d, want %d", id, m.GetDispatchId())
		}
		ack := m.GetAck()
		if ack == nil || r.Outcome != sio.Answered || bytes.Count(data, []byte{wire.ResultAck<<3 | byte(wire.Length)}) > 1 {
			// the generated code merges an arm that stands twice; no SDK writes such a result
			return
		}
		if !bytes.Equal(r.Ack.Args, ack.GetArgs()) || len(r.Ack.Attachments) != len(ack.GetAttachments()) {
			t.Fatalf("read %+v, want %v", r.Ack, ack)
		}
	})
}
