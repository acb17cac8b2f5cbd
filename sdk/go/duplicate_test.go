// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// memoryStore is a DuplicateStore for tests.
type memoryStore struct {
	mu     sync.Mutex
	values map[string]string
	until  map[string]time.Time
	fail   error
}

func (m *memoryStore) lock() (unlock func()) {
	m.mu.Lock()
	if m.values == nil {
		m.values, m.until = map[string]string{}, map[string]time.Time{}
	}
	for key, until := range m.until {
		if time.Now().After(until) {
			delete(m.values, key)
		}
	}
	return m.mu.Unlock
}

func (m *memoryStore) SetIfAbsent(ctx context.Context, key, value string, keep time.Duration) (string, error) {
	present, err := func() (string, error) { defer m.lock()(); return m.values[key], m.fail }()
	if err != nil || present != "" {
		return present, err
	}
	return "", m.Set(ctx, key, value, keep)
}

func (m *memoryStore) Set(_ context.Context, key, value string, keep time.Duration) error {
	defer m.lock()()
	m.values[key], m.until[key] = value, time.Now().Add(keep)
	return m.fail
}

func (m *memoryStore) Delete(_ context.Context, key string) error {
	defer m.lock()()
	delete(m.values, key)
	return m.fail
}

func again(d *spanwirev1.Dispatch) *spanwirev1.Dispatch {
	d.Redeliveries++
	return d
}

func resultOf(t *testing.T, s *fakeStream) string {
	t.Helper()
	r := s.actions(t, 1)[0].GetResult()
	return fmt.Sprintf("%s%s%s", r.GetAck().GetArgs(), r.GetAck().GetAttachments(), r.GetFailure().GetMessage())
}

// An event that comes again is answered as before, without its handler: over a new stream, over
// another replica's, while the first run is under way, and when it is over.
func TestOnce_links(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		o := fakeOptions(a, b)
		o.Address = "passthrough:///a,passthrough:///b"
		svc := NewService("test", o)
		runs, release := 0, make(chan struct{})
		var d Deduplicator
		On(svc, "x", func(context.Context, *Event, None) (map[string]any, error) {
			runs++
			<-release
			return map[string]any{"run": runs, "data": []byte("b")}, nil
		}, Once(&d), Concurrent())
		run := runService(svc)
		sa, sb := <-a.streams, <-b.streams
		sa.dispatch(event(1, "s1", "x", ""))
		synctest.Wait()
		sa.finish <- status.Error(codes.Unavailable, "gone")
		sb.dispatch(again(event(1, "s1", "x", "")))
		synctest.Wait()
		close(release)
		const want = `[{"data":{"_placeholder":true,"num":0},"run":1}][b]`
		if got := resultOf(t, sb); got != want {
			t.Errorf("while it ran: %s", got)
		}
		sa = <-a.streams
		sa.dispatch(again(event(1, "s1", "x", "")))
		if got := resultOf(t, sa); got != want || runs != 1 {
			t.Errorf("after it ran: %s, %d runs", got, runs)
		}
		// another event of a broker that counts from the start again
		sa.dispatch(event(1, "s2", "x", ""))
		if resultOf(t, sa); runs != 2 {
			t.Errorf("%d runs, want 2", runs)
		}
		run.leave(t, sa, sb)
	})
}

// A run that failed does not count, and what is remembered is bounded.
func TestOnce_bounds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		runs := map[uint64]int{}
		d := Deduplicator{Remember: 2, RememberBytes: 100}
		_, s, run := attached(t, func(svc *Service) {
			svc.On("x", func(_ context.Context, e *Event) error {
				runs[e.ID]++
				switch {
				case e.ID == 1 && runs[1] == 1:
					return errors.New("broken")
				case e.ID == 1 && runs[1] == 2:
					panic("ouch")
				case e.ID == 9:
					return e.Ack(make([]byte, 200))
				}
				return e.Ack(e.ID)
			}, Once(&d))
		})
		say := func(ids ...uint64) {
			for _, id := range ids {
				s.dispatch(event(id, "s1", "x", ""))
				s.actions(t, 1)
			}
		}
		say(1, 1, 1, 1)
		if runs[1] != 3 {
			t.Errorf("%d runs, want 3: an error, a panic and the good one", runs[1])
		}
		say(2, 3, 1)
		if runs[1] != 4 {
			t.Errorf("%d runs, want 4: two others came meanwhile", runs[1])
		}
		say(9, 9)
		if runs[9] != 2 || len(d.runs) != 0 || len(d.ended) != 0 || d.bytes != 0 {
			t.Errorf("%d runs; %d, %d, %d bytes are kept", runs[9], len(d.runs), len(d.ended), d.bytes)
		}
		run.leave(t, s)
	})
}

// A store makes it hold between processes.
func TestOnce_store(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var store memoryStore
		runs, release := 0, make(chan struct{})
		start := func() (*fakeStream, *fakeRun) {
			d := &Deduplicator{Store: &store}
			_, s, run := attached(t, func(svc *Service) {
				svc.On("x", func(_ context.Context, e *Event) error {
					if runs++; e.ID == 1 {
						<-release
					}
					if e.ID == 2 {
						return errors.New("broken")
					}
					return e.Ack(runs, []byte("b"))
				}, Once(d))
			})
			return s, run
		}
		s1, run1 := start()
		s2, run2 := start()
		s1.dispatch(event(1, "s1", "x", ""))
		synctest.Wait()
		s2.dispatch(again(event(1, "s1", "x", "")))
		time.Sleep(10 * time.Second)
		close(release)
		for _, s := range []*fakeStream{s1, s2} {
			if got := resultOf(t, s); got != `[1,{"_placeholder":true,"num":0}][b]` || runs != 1 {
				t.Errorf("%s, %d runs", got, runs)
			}
		}
		for i, s := range []*fakeStream{s1, s2} {
			s.dispatch(event(2, "s1", "x", ""))
			if resultOf(t, s); runs != 2+i {
				t.Errorf("%d runs, want %d: one that failed does not count", runs, 2+i)
			}
		}
		// A process that died while it ran holds the event up for its lease.
		_, _ = store.SetIfAbsent(t.Context(), "spanwire:test:3:s1", duplicateRunning, time.Minute)
		died := time.Now()
		s1.dispatch(event(3, "s1", "x", ""))
		if resultOf(t, s1); runs != 4 || time.Since(died) < time.Minute {
			t.Errorf("%d runs after %v", runs, time.Since(died))
		}
		store.fail = errors.New("no route to the store")
		s1.dispatch(event(4, "s1", "x", ""))
		if got := resultOf(t, s1); runs != 4 || got != "[]spanwire: deduplication: the store cannot be read, so the event is not handled: no route to the store" {
			t.Errorf("%s, %d runs", got, runs)
		}
		run1.leave(t, s1)
		run2.leave(t, s2)
	})
}
