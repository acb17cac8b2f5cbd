// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// A browser of msgpack must get its private id and the offsets in its own format, and come back
// with what it missed. All browsers share one broadcast, with one offset.
func TestRecovery_Msgpack(t *testing.T) {
	inBubble(t, withRecovery, func(t *testing.T, w *world) {
		text := w.page("/", edgetest.Options{})
		packed := w.Open(edgetest.Options{})
		packed.SendBinary([]byte(msgpackConnect))
		answer := receiveMsgpack(t, packed)
		var ids struct {
			SID sio.SocketID
			PID string
		}
		if err := json.Unmarshal(answer.Payload, &ids); err != nil || ids.PID == "" {
			t.Fatalf("got %s", answer.Payload)
		}
		w.emit("/", "first", `[1]`)
		text.read(1)
		first := receiveMsgpack(t, packed)
		if want := `[1,"` + text.offset + `"]`; string(first.Event.Args) != want {
			t.Errorf("arguments %s, want %s", first.Event.Args, want)
		}
		packed.Cut()
		w.emit("/", "missed", `[2]`)

		packed = w.Open(edgetest.Options{})
		connect := "\x83\xa4type\x00\xa4data\x82\xa3pid" + msgpackText(ids.PID) + "\xa6offset" + msgpackText(text.offset) + "\xa3nsp\xa1/"
		packed.SendBinary([]byte(connect))
		if p := receiveMsgpack(t, packed); p.Type != socketio.Event || p.Event.Name != "missed" || !strings.HasPrefix(string(p.Event.Args), `[2,"`) {
			t.Errorf("got %v %q %s", p.Type, p.Event.Name, p.Event.Args)
		}
		if p := receiveMsgpack(t, packed); p.Type != socketio.Connect || string(p.Payload) != string(answer.Payload) {
			t.Errorf("got %v %s, want %s", p.Type, p.Payload, answer.Payload)
		}
	})
}

func msgpackText(s string) string { return string([]byte{0xa0 | byte(len(s))}) + s }

// A browser of protocol 4 gets neither a private id nor offsets, since it would not know what to
// do with them.
func TestRecovery_Protocol4(t *testing.T) {
	inBubble(t, func(s *setup) { withRecovery(s); s.engine3 = true }, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		if m := b.Receive(); m.Text != "0" {
			t.Fatalf("got %q", m)
		}
		w.emit("/", "first", `[1]`)
		if m := b.Receive(); m.Text != `2["first",1]` {
			t.Errorf("got %q", m)
		}
		b.Cut()
		if len(w.edge.recovery.records) != 0 {
			t.Error("something is kept")
		}
	})
}
