// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// chaos is a handler that does all that handlers do, and notes when two of one socket run at once
// or out of order.
type chaos struct {
	t       *testing.T
	mu      sync.Mutex
	running map[string]bool
	last    map[string]uint64
}

func (c *chaos) enter(e *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sid := e.Socket.ID()
	if c.running[sid] {
		c.t.Errorf("two handlers of %s run at once", sid)
	}
	if last := c.last[sid]; last > 0 && (e.ID > last+chaosSockets || e.ID < last && e.Redeliveries == 0) {
		c.t.Errorf("%d of %s came after %d", e.ID, sid, last)
	}
	c.running[sid], c.last[sid] = true, e.ID
}

func (c *chaos) leave(e *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[e.Socket.ID()] = false
}

func (c *chaos) handle(ctx context.Context, e *Event) error {
	c.enter(e)
	defer c.leave(e)
	switch e.ID % 17 {
	case 1:
		time.Sleep(time.Duration(rand.N(5000)) * time.Microsecond)
	case 2:
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, _ = e.Socket.EmitWithAck(ctx, "ask") // nobody answers
	case 3:
		// fails when the stream has broken and the queue's patience is over
		_ = e.Socket.Emit("notified", e.ID)
	case 4:
		panic("chaos")
	}
	return nil
}

const (
	chaosSockets = 20
	chaosEvents  = 3000
)

// Whatever handlers do and however often the stream breaks, one socket's events are handled one at
// a time and in order, and every event is resolved in the end.
func TestScheduler_chaos(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chaos{t: t, running: map[string]bool{}, last: map[string]uint64{}}
		b := newFakeBroker(t, "a")
		o := fakeOptions(b)
		o.EmitTimeout = 50 * time.Millisecond
		svc := NewService("test", o)
		svc.On("x", c.handle)
		run := runService(svc)
		s := <-b.streams
		open := map[uint64]int{} // redeliveries by dispatch
		next := uint64(chaosSockets)
		for next < chaosEvents || len(open) > 0 {
			var list []*spanwirev1.Dispatch
			for range rand.N(50) {
				if next < chaosEvents && len(open) < 200 {
					open[next] = 0
					list = append(list, event(next, fmt.Sprint("s", next%chaosSockets), "x", ""))
					next++
				}
			}
			if len(list) > 0 {
				s.dispatch(list...)
			}
			for quiet := false; !quiet; {
				select {
				case m := <-s.frames:
					for _, a := range m.GetBatch().GetActions() {
						if r := a.GetResult(); r != nil {
							if _, ok := open[r.GetDispatchId()]; !ok {
								t.Fatalf("%d is resolved twice", r.GetDispatchId())
							}
							delete(open, r.GetDispatchId())
						}
					}
				case <-time.After(time.Duration(rand.N(3000)) * time.Microsecond):
					quiet = true
				}
			}
			if rand.N(20) == 0 {
				s = breakStream(b, s, open, next)
			}
		}
		run.leave(t, s)
	})
}

// breakStream ends the stream and hands out what is open again, in order.
func breakStream(b *fakeBroker, s *fakeStream, open map[uint64]int, next uint64) *fakeStream {
	s.finish <- status.Error(codes.Unavailable, "chaos")
	<-s.gone
	s = <-b.streams
	var list []*spanwirev1.Dispatch
	for id := range next {
		if n, ok := open[id]; ok {
			d := event(id, fmt.Sprint("s", id%chaosSockets), "x", "")
			open[id] = n + 1
			d.Redeliveries = uint32(n + 1)
			list = append(list, d)
		}
	}
	s.dispatch(list...)
	return s
}
