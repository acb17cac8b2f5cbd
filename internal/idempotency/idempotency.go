// SPDX-License-Identifier: Apache-2.0

// Package idempotency carries out a call that its caller may repeat, once: it remembers the
// idempotency keys of the last minutes, each with the answer, and asks the other replicas whether
// they know a key that is new here. It does not know what the calls are about.
package idempotency

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Options says how long what is remembered. Zero fields take their defaults.
type Options struct {
	// Replica decides who goes first when two replicas are asked at once.
	Replica sio.ReplicaID
	// Window is how long a key is remembered once its call was carried out. Default 5 min (setting
	// idempotency-window).
	Window time.Duration
	// MaxKeys and MaxBytes bound what is remembered; the oldest goes. Defaults 10,000 and 64 MiB
	// (settings max-idempotency-keys and max-idempotency-bytes).
	MaxKeys  int
	MaxBytes int
	// Patience is how long other replicas may take to say whether they know a key. Default 5 s
	// (setting query-timeout).
	Patience time.Duration
	// Others asks the other replicas. Nil means that there are none.
	Others Others
}

// Others asks the other replicas, as hub.Publisher does.
type Others interface {
	Query(ctx context.Context, q sio.Query) (collect func() (sio.Found, error))
}

// Calls remembers.
type Calls struct {
	o       Options
	metrics *metrics.Idempotency

	mu    sync.Mutex // guards what follows
	known map[sio.CallKey]*call
	ended list.List // the remembered calls, oldest first
	bytes int       // of their answers
}

// call is one that runs or is remembered.
type call struct {
	key     sio.CallKey
	request sio.CallDigest
	done    chan struct{} // closed when it has ended

	// guarded by Calls.mu
	state   sio.CallState
	yielded bool   // while asking: a replica that goes first asks for the same
	answer  []byte // nil until done, and of a call that carried out nothing
	at      time.Time
	place   *list.Element // in ended
}

// overhead is about what is kept beside an answer.
const overhead = 512

// New makes an empty memory.
func New(o Options, m *metrics.Idempotency) *Calls {
	config.Complete(o.Settings())
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	return &Calls{o: o, metrics: m, known: make(map[sio.CallKey]*call)}
}

// Do carries the call out unless one with the key was; else it gives the answer of that one, for
// which it waits while it runs. carryOut is called at most once, in this goroutine; its answer is
// remembered unless it is nil, which says that nothing was carried out. An error has CodeInvalid
// when the key belongs to another request, CodeDeadline when ctx ended first.
func (c *Calls) Do(ctx context.Context, key sio.CallKey, request sio.CallDigest, carryOut func() []byte) (answer []byte, replayed bool, err error) {
	for {
		x, mine := c.claim(key, request)
		if mine {
			return c.run(ctx, x, carryOut)
		}
		if x.request != request {
			c.metrics.Conflicts.Inc()
			return nil, false, errMisused()
		}
		select {
		case <-x.done:
		case <-ctx.Done():
			return nil, false, errWaiting(ctx)
		}
		if x.answer != nil {
			c.metrics.Replayed.Inc()
			return x.answer, true, nil
		}
	}
}

func errMisused() error {
	return sio.E(sio.CodeInvalid, "idempotency key", "it was used for a different request; give each intent a key of its own")
}

func errWaiting(ctx context.Context) error {
	return &sio.Error{
		Code: sio.CodeDeadline, Op: "idempotency key", Message: "the call that came first with it is still being carried out; ask again with the same key",
		Cause: ctx.Err(),
	}
}

// claim gives the call with the key, a new one if there is none, which is the claimant's to end.
func (c *Calls) claim(key sio.CallKey, request sio.CallDigest) (x *call, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	if x := c.known[key]; x != nil {
		return x, false
	}
	x = &call{key: key, request: request, done: make(chan struct{}), state: sio.CallAsking}
	c.known[key] = x
	c.metrics.Keys.Inc()
	return x, true
}

// run ends the claimed call in any case.
func (c *Calls) run(ctx context.Context, x *call, carryOut func() []byte) (answer []byte, replayed bool, err error) {
	defer func() { c.end(x, answer) }()
	if answer, err = c.elsewhere(ctx, x); err != nil || answer != nil {
		return answer, answer != nil, err
	}
	answer = carryOut()
	return answer, false, nil
}

// end lets those know that wait for the call, and remembers the answer unless it is nil.
func (c *Calls) end(x *call, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x.answer, x.state, x.at = answer, sio.CallDone, time.Now()
	close(x.done)
	if answer == nil {
		delete(c.known, x.key)
		c.metrics.Keys.Dec()
		return
	}
	x.place = c.ended.PushBack(x)
	c.bytes += len(answer) + overhead
	c.metrics.Bytes.Set(float64(c.bytes))
	for c.ended.Len() > 1 && (len(c.known) > c.o.MaxKeys || c.bytes > c.o.MaxBytes) {
		c.metrics.Evicted.Inc()
		c.forgetLocked(c.ended.Front().Value.(*call))
	}
}

func (c *Calls) expireLocked() {
	before := time.Now().Add(-c.o.Window)
	for first := c.ended.Front(); first != nil; first = c.ended.Front() {
		x := first.Value.(*call)
		if x.at.After(before) {
			return
		}
		c.forgetLocked(x)
	}
}

func (c *Calls) forgetLocked(x *call) {
	c.ended.Remove(x.place)
	delete(c.known, x.key)
	c.bytes -= len(x.answer) + overhead
	c.metrics.Keys.Dec()
	c.metrics.Bytes.Set(float64(c.bytes))
}
