// SPDX-License-Identifier: Apache-2.0

package idempotency

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCalls(o Options) *Calls { return New(o, metrics.NewIdempotency(nil)) }

// caller makes calls and counts those that were carried out.
type caller struct {
	t       *testing.T
	calls   *Calls
	carried int
}

// call makes one and says what came of it.
func (c *caller) call(key string, request byte, answer string) string {
	c.t.Helper()
	got, replayed, err := c.calls.Do(c.t.Context(), sio.CallKey{Key: key}, sio.CallDigest{request}, func() []byte {
		c.carried++
		if answer == "" {
			return nil
		}
		return []byte(answer)
	})
	return fmt.Sprintf("%s %v %d", got, replayed, sio.CodeOf(err))
}

func (c *caller) want(got, want string, carried int) {
	c.t.Helper()
	if got != want || c.carried != carried {
		c.t.Errorf("got %q, carried out %d; want %q, %d", got, c.carried, want, carried)
	}
}

// What was carried out is not carried out again for as long as it is remembered, and what was not
// is.
func TestCalls_Do(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{t: t, calls: newCalls(Options{Window: time.Minute})}
		c.want(c.call("k", 1, "one"), "one false 0", 1)
		c.want(c.call("k", 1, "two"), "one true 0", 1)
		c.want(c.call("other", 1, "two"), "two false 0", 2)
		c.want(c.call("k", 2, "two"), fmt.Sprintf(" false %d", sio.CodeInvalid), 2)
		time.Sleep(time.Minute - 1)
		c.want(c.call("k", 1, "three"), "one true 0", 2)
		time.Sleep(1)
		c.want(c.call("k", 1, "three"), "three false 0", 3)

		c.want(c.call("failing", 1, ""), " false 0", 4)
		c.want(c.call("failing", 1, "four"), "four false 0", 5)
		m := c.calls.metrics
		if testutil.ToFloat64(m.Replayed) != 2 || testutil.ToFloat64(m.Conflicts) != 1 || testutil.ToFloat64(m.Keys) != 2 {
			t.Errorf("replayed %v, misused %v, keys %v", testutil.ToFloat64(m.Replayed), testutil.ToFloat64(m.Conflicts), testutil.ToFloat64(m.Keys))
		}
	})
}

// Callers do not meet each other's keys.
func TestCalls_Do_callers(t *testing.T) {
	c := newCalls(Options{})
	for _, who := range []string{"a", "b"} {
		_, replayed, err := c.Do(t.Context(), sio.CallKey{Caller: who, Key: "k"}, sio.CallDigest{who[0]}, func() []byte { return []byte(who) })
		if replayed || err != nil {
			t.Errorf("%s: %v, %v", who, replayed, err)
		}
	}
}

// A second call waits for the first, and takes its place when that carried out nothing.
func TestCalls_Do_waits(t *testing.T) {
	for _, answer := range []string{"first", ""} {
		synctest.Test(t, func(t *testing.T) {
			calls := newCalls(Options{})
			first, second := &caller{t: t, calls: calls}, &caller{t: t, calls: calls}
			finish := make(chan struct{})
			var both sync.WaitGroup
			both.Go(func() {
				_, _, _ = calls.Do(t.Context(), sio.CallKey{Key: "k"}, sio.CallDigest{1}, func() []byte {
					first.carried++
					<-finish
					if answer == "" {
						return nil
					}
					return []byte(answer)
				})
			})
			synctest.Wait()
			impatient, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, _, err := calls.Do(impatient, sio.CallKey{Key: "k"}, sio.CallDigest{1}, nil); sio.CodeOf(err) != sio.CodeDeadline {
				t.Errorf("a wait that ended: %v", err)
			}
			var got string
			both.Go(func() { got = second.call("k", 1, "second") })
			synctest.Wait()
			close(finish)
			both.Wait()
			if answer != "" {
				second.want(got, "first true 0", 0)
			} else {
				second.want(got, "second false 0", 1)
			}
		})
	}
}

// The oldest are forgotten when there are too many, or too large ones, and that is counted.
func TestCalls_Do_bounds(t *testing.T) {
	c := &caller{t: t, calls: newCalls(Options{MaxKeys: 2})}
	for _, key := range []string{"1", "2", "3"} {
		c.call(key, 1, key)
	}
	c.want(c.call("2", 1, "x"), "2 true 0", 3)
	c.want(c.call("1", 1, "new"), "new false 0", 4)
	if n := testutil.ToFloat64(c.calls.metrics.Evicted); n != 2 {
		t.Errorf("%v were evicted", n)
	}
	c = &caller{t: t, calls: newCalls(Options{MaxBytes: 3 * overhead})}
	large := string(make([]byte, 2*overhead))
	c.call("1", 1, large)
	c.call("2", 1, large)
	if n := testutil.ToFloat64(c.calls.metrics.Bytes); n != 3*overhead || c.calls.ended.Len() != 1 {
		t.Errorf("%v bytes of %d are kept", n, c.calls.ended.Len())
	}
}
