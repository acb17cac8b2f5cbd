// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// slowly echoes events after a while, in which the handler may do something.
func slowly(after time.Duration, meanwhile func(call)) func(*setup) {
	return func(s *setup) {
		s.edge.Engine.DrainSettle = time.Minute
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Event {
				meanwhile(c)
				time.Sleep(after)
			}
			return echo(c)
		}
	}
}

// A drain answers what was taken before it closes a session, takes nothing new meanwhile, and lets
// the browser answer handlers.
func TestServer_Drain_answers(t *testing.T) {
	for name, how := range map[string]edgetest.Options{"websocket": {}, "polling": {Polling: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w *world
				answer := make(chan struct{})
				w = newWorld(t, slowly(time.Second, func(c call) {
					if c.event.Name == "ask" {
						w.emit("/", "question", "[]")
						<-answer
					}
				}))
				b := w.Open(how)
				s := b.Connect("/", nil)
				first, second := s.SendWithAck("one", 1), s.SendWithAck("ask", 2)
				synctest.Wait()
				drained := make(chan error)
				go func() { drained <- w.edge.Drain(context.Background()) }()
				synctest.Wait()
				s.Emit("late")
				s.ExpectAck(first)
				s.Expect("question")
				close(answer)
				s.ExpectAck(second)
				b.ExpectClosed()
				if err := <-drained; err != nil {
					t.Error(err)
				}
				for _, c := range w.service.of("/") {
					if c.kind == dispatch.Event && c.event.Name == "late" {
						t.Error("an event was taken while the server drained")
					}
				}
				if n := value(w.metrics.DrainedPackets); n != 1 {
					t.Errorf("%v packets were counted as not taken", n)
				}
			})
		})
	}
}

// A handler that does not answer holds a drain up for DrainSettle at most, and the log says so.
func TestServer_Drain_bound(t *testing.T) {
	unanswered := func(s *setup) {
		s.edge.Engine.DrainSettle = 5 * time.Second
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Event {
				return nil
			}
			return echo(c)
		}
	}
	bothTransports(t, unanswered, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		s := b.Connect("/", nil)
		s.SendWithAck("one", 1)
		synctest.Wait()
		begin := time.Now()
		if err := w.edge.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("the drain took %v", took)
		}
		b.ExpectClosed()
		if !strings.Contains(w.log.String(), "sessions closed before handlers had answered") {
			t.Errorf("the log says %s", w.log.String())
		}
	})
}
