// SPDX-License-Identifier: Apache-2.0

package idempotency

import (
	"context"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A key that is new here may be known elsewhere: the caller's first try went to another replica. So
// the others are asked before the call is carried out, and of replicas that ask each other at the
// same time, the one whose id comes first goes first:
//
//	a replica that answers            the replica that asks
//	knows nothing                     may go on
//	has the answer                    takes it over
//	carries it out                    waits, and asks again
//	asks itself, and goes first       waits, and asks again
//	asks itself, and goes after       may go on; the other notes that, and waits unasked
//
// What remains: a replica that is silent for the whole patience, or dies with what it knows, cannot
// keep another from carrying the call out. Then it may be carried out twice.

// again is how long a replica waits before it asks again for a call that another carries out.
const again = 50 * time.Millisecond

// elsewhere gives the answer of another replica that carried the call out. Without answer and error
// the call is to be carried out here, and those that ask get that answer.
func (c *Calls) elsewhere(ctx context.Context, x *call) (answer []byte, err error) {
	for {
		found, silent := c.ask(ctx, x.key)
		if ctx.Err() != nil {
			return nil, errWaiting(ctx)
		}
		goOn := true
		for i := range found {
			f := &found[i]
			switch {
			case f.Request != x.request:
				c.metrics.Conflicts.Inc()
				return nil, errMisused()
			case f.State == sio.CallDone && f.Answer == nil:
				return nil, sio.E(sio.CodeTooLarge, "idempotency key",
					"the call was carried out at another replica, whose answer is larger than replicas exchange")
			case f.State == sio.CallDone:
				c.metrics.Replayed.Inc()
				return f.Answer, nil
			case f.State == sio.CallRunning, f.Replica < c.o.Replica:
				goOn = false
			}
		}
		if c.mayGoOn(x, goOn) {
			if silent {
				c.metrics.Unconfirmed.Inc()
			}
			return nil, nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, errWaiting(ctx)
		}
	}
}

// ask gives what the other replicas know of the key, and tells whether some are silent.
func (c *Calls) ask(ctx context.Context, key sio.CallKey) (found []sio.Call, silent bool) {
	if c.o.Others == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Patience)
	defer cancel()
	collect := c.o.Others.Query(ctx, &sio.FindCall{Key: key})
	if collect == nil {
		return nil, false
	}
	f, err := collect()
	return f.Calls, err != nil || len(f.Silent) > 0
}

// mayGoOn settles whether the call is carried out here. One that yielded meanwhile is not, unless
// the others are asked once more.
func (c *Calls) mayGoOn(x *call, free bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if free = free && !x.yielded; free {
		x.state = sio.CallRunning
	}
	x.yielded = false
	return free
}

// Find tells another replica what is known here of a key.
func (c *Calls) Find(peer sio.ReplicaID, q *sio.FindCall) (found sio.Found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	x := c.known[q.Key]
	if x == nil {
		return found
	}
	if x.state == sio.CallAsking && peer < c.o.Replica {
		x.yielded = true
	}
	found.Calls = []sio.Call{{Replica: c.o.Replica, State: x.state, Request: x.request, Answer: x.answer}}
	return found
}
