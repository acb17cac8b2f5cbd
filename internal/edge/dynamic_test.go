// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// Namespaces by pattern must come with their first socket and go with their last, refused ones too,
// so that a browser that thinks of many names takes no room from others. One too many is refused
// with a reason, and the session stays.
func TestClient_DynamicNamespaces(t *testing.T) {
	byPattern := func(s *setup) {
		s.dispatch.MaxDynamic = 2
		s.edge.ConnectTimeout = time.Hour
		s.register.Namespaces = []sio.Registration{
			{Namespace: "/", CatchAll: true}, {Namespace: `/room-\d+`, Pattern: true, CatchAll: true, Connect: true, Disconnect: true},
		}
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Connect && c.socket.Namespace() == "/room-13" {
				return &sio.Result{Outcome: sio.Refused, Message: "unlucky"}
			}
			return echo(c)
		}
	}
	bothTransports(t, byPattern, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		for n := range 60 {
			s := b.Connect(sio.Namespace(fmt.Sprint("/room-", 100+n)), nil)
			s.EmitWithAck("hello")
			s.Disconnect()
			b.SendConnect("/room-13", nil)
			if message, _ := b.Refused("/room-13"); message != "unlucky" {
				t.Fatalf("refused with %q", message)
			}
			time.Sleep(100 * time.Millisecond)
		}
		kept := b.Connect("/room-1", nil)
		b.Connect("/room-2", nil)
		b.SendConnect("/room-3", nil)
		if message, data := b.Refused("/room-3"); message != "Too many namespaces" || data != nil {
			t.Errorf("refused with %q, %s", message, data)
		}
		b.SendConnect("/room-x", nil)
		if message, _ := b.Refused("/room-x"); message != "Invalid namespace" {
			t.Errorf("refused with %q", message)
		}
		other := w.Open(o)
		other.Connect("/", nil)
		other.Connect("/room-2", nil).EmitWithAck("hello")
		kept.Disconnect()
		b.Connect("/room-3", nil).EmitWithAck("hello")
		if n := value(w.metrics.NamespacesFull); n != 1 {
			t.Errorf("counted %v", n)
		}
	})
}
