// SPDX-License-Identifier: Apache-2.0

package idempotency

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

// cluster is replicas that ask each other; a question and its answer take the delay each.
type cluster struct {
	all    []*Calls
	delay  func() time.Duration
	silent map[sio.ReplicaID]bool
}

func newCluster(n int, delay func() time.Duration) *cluster {
	c := &cluster{delay: delay, silent: map[sio.ReplicaID]bool{}}
	for i := range n {
		id := sio.ReplicaID('A' + rune(i))
		c.all = append(c.all, newCalls(Options{Replica: id, Others: link{c, id}}))
	}
	return c
}

// link is how one replica asks.
type link struct {
	c    *cluster
	self sio.ReplicaID
}

func (l link) Query(ctx context.Context, q sio.Query) func() (sio.Found, error) {
	var found sio.Found
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, other := range l.c.all {
		if other.o.Replica == l.self {
			continue
		}
		asked.Go(func() {
			time.Sleep(l.c.delay())
			f := sio.Found{Silent: []sio.ReplicaID{other.o.Replica}}
			if l.c.silent[other.o.Replica] {
				<-ctx.Done()
			} else {
				f = other.Find(l.self, q.(*sio.FindCall))
				time.Sleep(l.c.delay())
			}
			mu.Lock()
			defer mu.Unlock()
			found.Calls = append(found.Calls, f.Calls...)
			found.Silent = append(found.Silent, f.Silent...)
		})
	}
	return func() (sio.Found, error) {
		asked.Wait()
		return found, nil
	}
}

// A retry at another replica is answered by the one that carried the call out.
func TestCalls_elsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(3, func() time.Duration { return time.Millisecond })
		a, b := &caller{t: t, calls: c.all[0]}, &caller{t: t, calls: c.all[1]}
		a.want(a.call("k", 1, "one"), "one false 0", 1)
		b.want(b.call("k", 1, "two"), "one true 0", 0)
		b.want(b.call("k", 2, "two"), fmt.Sprintf(" false %d", sio.CodeInvalid), 0)
		c.silent["A"] = true
		b.want(b.call("k", 1, "two"), "one true 0", 0) // it knows by itself now
		third := &caller{t: t, calls: c.all[2]}
		a.want(a.call("other", 1, "one"), "one false 0", 2)
		third.want(third.call("other", 1, "two"), "two false 0", 1)
		if testutil.ToFloat64(third.calls.metrics.Unconfirmed) != 1 {
			t.Error("that a replica was silent is not counted")
		}
	})
}

// An answer that cannot travel is no reason to carry the call out again.
func TestCalls_elsewhere_large(t *testing.T) {
	c := newCluster(2, func() time.Duration { return 0 })
	c.all[0].o.Others = nil
	a, b := &caller{t: t, calls: c.all[0]}, &caller{t: t, calls: newCalls(Options{Replica: "B", Others: tooLarge{c.all[0]}})}
	a.call("k", 1, "one")
	b.want(b.call("k", 1, "two"), fmt.Sprintf(" false %d", sio.CodeTooLarge), 0)
}

type tooLarge struct{ other *Calls }

func (l tooLarge) Query(_ context.Context, q sio.Query) func() (sio.Found, error) {
	found := l.other.Find("B", q.(*sio.FindCall))
	found.Calls[0].Answer = nil
	return func() (sio.Found, error) { return found, nil }
}

// However questions, answers and calls fall together, a call at several replicas is carried out
// once, and everybody has its answer; when the first carries out nothing, the next does.
func TestCalls_race(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(seed, 1))
			delay := func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(random.IntN(10)) * time.Millisecond
			}
			c := newCluster(4, delay)
			fails := seed%3 == 0
			carried, running := 0, 0
			var story []string
			var all sync.WaitGroup
			for _, calls := range c.all {
				all.Go(func() {
					time.Sleep(delay())
					answer, replayed, err := calls.Do(t.Context(), sio.CallKey{Key: "k"}, sio.CallDigest{1}, func() []byte {
						mu.Lock()
						carried++
						running++
						nothing := fails && carried == 1
						if running > 1 {
							t.Errorf("seed %d: carried out twice at the same time", seed)
						}
						mu.Unlock()
						time.Sleep(10 * delay())
						mu.Lock()
						defer mu.Unlock()
						running--
						if nothing {
							return nil
						}
						return []byte(calls.o.Replica)
					})
					mu.Lock()
					defer mu.Unlock()
					story = append(story, fmt.Sprintf("%s=%s", answer, map[bool]string{true: "replayed", false: "carried"}[replayed]))
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			all.Wait()
			want := 1
			if fails {
				want = 2
			}
			if events := strings.Join(story, " "); carried != want || strings.Count(events, "=carried") != want {
				t.Errorf("seed %d: carried out %d times: %s", seed, carried, events)
			}
		})
	}
}
