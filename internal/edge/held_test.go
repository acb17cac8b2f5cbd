// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// What handlers do to the socket while they decide must come behind the answer, in order; volatile
// events are dropped. (N6)
func TestSocket_HeldWhilePending(t *testing.T) {
	bothTransports(t, holdConnects, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.SendConnect("/admin", nil)
		c := w.heldConnect()
		own := c.socket.ID().Room()
		w.emit("/admin", "first", `[1]`, own)
		w.hub.Execute(&sio.Join{Target: sio.Target{Namespace: "/admin", Rooms: []sio.Room{own}}, Rooms: []sio.Room{"team"}})
		w.emit("/admin", "second", ``, "team")
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/admin"}, Event: sio.Event{Name: "volatile"}, EmitFlags: sio.EmitFlags{Volatile: true}})
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/admin"}, Event: sio.Event{
			Name: "third", Args: []byte(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1, 2}},
		}})
		b.ExpectQuiet(moment)
		w.service.resolve(c, sio.Result{Outcome: sio.Handled})
		w.emit("/admin", "fourth", ``, "team")
		s := b.Connected("/admin")
		if ev := s.Expect("first"); ev.Raw != "[1]" {
			t.Errorf("got %s", ev.Raw)
		}
		s.Expect("second")
		if ev := s.Expect("third"); len(ev.Attachments) != 1 || string(ev.Attachments[0]) != "\x01\x02" {
			t.Errorf("got %v", ev)
		}
		s.Expect("fourth")
		b.ExpectQuiet(moment)
		if value(w.metrics.VolatileDropped) != 1 {
			t.Error("the volatile event was not counted")
		}
	})
}

// What was held for a socket that is refused must be settled and never be seen. A disconnect while
// pending waits for the decision.
func TestSocket_HeldAndRefused(t *testing.T) {
	inBubble(t, holdConnects, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		b.SendConnect("/", nil)
		c := w.heldConnect()
		acks := w.emitWithAcks("/", "question", time.Minute)
		w.disconnect("/", false)
		w.service.resolve(c, sio.Result{Outcome: sio.Refused, Message: "no"})
		if got := <-acks; got.Missing != 1 || len(got.Came) != 0 {
			t.Errorf("acks %+v", got)
		}
		b.Refused("/")
		b.ExpectQuiet(moment)
	})
}

// A disconnect while pending must come behind the answer and what was emitted before.
func TestSocket_DisconnectWhilePending(t *testing.T) {
	for _, closeSession := range []bool{false, true} {
		bothTransports(t, holdConnects, func(t *testing.T, w *world, o edgetest.Options) {
			b := w.Open(o)
			b.SendConnect("/", nil)
			c := w.heldConnect()
			w.emit("/", "bye", "")
			w.disconnect("/", closeSession)
			w.service.resolve(c, sio.Result{Outcome: sio.Handled})
			s := b.Connected("/")
			s.Expect("bye")
			s.ExpectDisconnect()
			if closeSession {
				b.ExpectClosed()
			} else {
				b.ExpectQuiet(moment)
			}
			synctest.Wait()
			if got := w.service.reasons(); !slices.Equal(got, []sio.Reason{sio.ReasonServerDisconnect}) {
				t.Errorf("reasons %q", got)
			}
		})
	}
}

// Too much held for one socket must close its session, with its reason and a line in the log.
func TestSocket_HeldTooMuch(t *testing.T) {
	inBubble(t, func(s *setup) {
		holdConnects(s)
		s.edge.Engine.MaxOutbound = 10_000
	}, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		b.SendConnect("/", nil)
		w.heldConnect()
		acks := w.emitWithAcks("/", "question", time.Minute)
		for range 20 {
			w.emit("/", "big", `["`+strings.Repeat("x", 1000)+`"]`)
		}
		b.ExpectClosed()
		if got := <-acks; got.Missing != 1 {
			t.Errorf("acks %+v", got)
		}
		if value(w.metrics.HeldOverflows) == 0 || !strings.Contains(w.log.String(), "max-outbound") {
			t.Errorf("not said: %s", w.log)
		}
	})
}
