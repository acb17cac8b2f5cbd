// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Deduplicator makes events take effect once that are handed out more than once: because a stream
// broke before their result arrived, whether they come again over the same stream, over that of
// another replica, or to another instance. It is given to handlers with Once, and may serve many of
// them.
//
// An event whose first run is under way waits for it, and one that was handled is answered as it
// was then, without the handler. A run that returned an error or panicked does not count: the event
// is run again.
//
// In this process that holds for the last events, as many as Remember says. Without a Store it says
// nothing about other processes, nor about this one after it was started anew.
//
// What it cannot do: a process that dies after the handler's effect, and before the Store was told,
// leaves the effect without its mark, and the event is run again when the Lease is over. Where that
// must not be, the effect and the mark have to be written together: in one transaction of the
// database that the effect is in, under Event.ID. What the first run emitted over a stream that
// broke may not have arrived, and is not emitted again.
//
// The zero value is usable.
type Deduplicator struct {
	// Remember bounds the events that are remembered in this process. Zero means 16384.
	Remember int
	// RememberBytes bounds their answers, the oldest of which go first. Zero means 16 MiB.
	RememberBytes int
	// Store remembers for all processes that share it. Nil means that this process remembers alone.
	Store DuplicateStore
	// Lease is for how long a run keeps others from running the event, so it has to be longer than
	// a run takes, and is how long a process that died holds the event up. Zero means a minute.
	Lease time.Duration
	// Keep is for how long the Store is asked to remember. It has to be longer than a stream can
	// stay broken. Zero means an hour.
	Keep time.Duration

	mu    sync.Mutex // guards what follows
	runs  map[dispatchKey]*firstRun
	ended []dispatchKey // remembered, oldest first
	bytes int
}

// DuplicateStore is a key-value store that several processes share, for example Redis. Its methods
// may be called at the same time.
type DuplicateStore interface {
	// SetIfAbsent keeps the value for the time unless the key has one. It returns the value that
	// the key had, and "" when it had none. In Redis: SET key value NX GET PX milliseconds.
	SetIfAbsent(ctx context.Context, key, value string, keep time.Duration) (present string, err error)
	// Set keeps the value for the time, whatever the key had.
	Set(ctx context.Context, key, value string, keep time.Duration) error
	// Delete takes the key away.
	Delete(ctx context.Context, key string) error
}

// Once runs the handler once for each event, as the Deduplicator says. It is for handlers of
// events.
func Once(d *Deduplicator) HandlerOption { return func(h *handler) { h.once = d } }

// dispatchKey tells events apart. The socket's id, which is drawn at random, is part of it for the
// case that a broker gives out ids again that it gave out before it was started anew.
type dispatchKey struct {
	id     uint64
	socket string
}

// firstRun is a run of a handler, under way or remembered.
type firstRun struct {
	over chan struct{} // closed when the run is over; what follows is written before
	good bool
	ack  keptAck
}

// keptAck is the answer of a run. Its fields are those that a Store keeps.
type keptAck struct {
	Given       bool            `json:"given,omitempty"`
	Args        json.RawMessage `json:"args,omitempty"`
	Attachments [][]byte        `json:"attachments,omitempty"`
}

const (
	duplicateRunning = "running" // in the Store, under the key of an event whose run is under way
	// So often within a lease the Store is asked whether a run is over.
	duplicatePolls = 20
)

// wrap gives the handler that runs once.
func (d *Deduplicator) wrap(h EventHandler) EventHandler {
	return func(ctx context.Context, e *Event) error {
		key := dispatchKey{e.ID, e.Socket.id}
		for {
			run, first := d.begin(key)
			if first {
				return d.run(ctx, e, key, run, h)
			}
			select {
			case <-run.over:
			case <-ctx.Done():
				return ctx.Err()
			}
			if run.good {
				return e.repeat(&run.ack)
			}
		}
	}
}

// begin gives the run of the event, and true when it is the caller's to carry out.
func (d *Deduplicator) begin(key dispatchKey) (*firstRun, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if run := d.runs[key]; run != nil {
		return run, false
	}
	if d.runs == nil {
		d.runs = map[dispatchKey]*firstRun{}
	}
	run := &firstRun{over: make(chan struct{})}
	d.runs[key] = run
	return run, true
}

func (d *Deduplicator) run(ctx context.Context, e *Event, key dispatchKey, run *firstRun, h EventHandler) (err error) {
	defer func() { d.end(key, run) }() // also when the handler panics
	if d.Store == nil {
		if err = h(ctx, e); err != nil {
			return err
		}
		run.good, run.ack = true, e.kept()
		return nil
	}
	name := "spanwire:" + e.Socket.namespace.service.name + ":" + strconv.FormatUint(e.ID, 16) + ":" + e.Socket.id
	present, err := d.claim(ctx, name)
	if err != nil {
		return fmt.Errorf("spanwire: deduplication: the store cannot be read, so the event is not handled: %w", err)
	}
	if present != "" {
		if err := json.Unmarshal([]byte(present), &run.ack); err != nil {
			return fmt.Errorf("spanwire: deduplication: the stored ack of the event cannot be decoded: %w", err)
		}
		run.good = true
		return e.repeat(&run.ack)
	}
	// The event's own end must not keep the mark from being written.
	after := context.WithoutCancel(ctx)
	defer func() {
		if !run.good {
			d.tell(e, d.Store.Delete(after, name))
		}
	}()
	if err = h(ctx, e); err != nil {
		return err
	}
	run.good, run.ack = true, e.kept()
	mark, err := json.Marshal(&run.ack)
	if err == nil {
		err = d.Store.Set(after, name, string(mark), d.keep())
	}
	d.tell(e, err)
	return nil
}

// claim waits until the event is this process's to run, and returns "", or until another has run
// it, and returns what came of it.
func (d *Deduplicator) claim(ctx context.Context, name string) (present string, err error) {
	lease := d.Lease
	setDefault(&lease, time.Minute)
	for {
		present, err = d.Store.SetIfAbsent(ctx, name, duplicateRunning, lease)
		if err != nil || present != duplicateRunning {
			return present, err
		}
		timer := time.NewTimer(max(lease/duplicatePolls, time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", ctx.Err()
		}
	}
}

func (d *Deduplicator) keep() time.Duration {
	keep := d.Keep
	setDefault(&keep, time.Hour)
	return keep
}

// tell logs that the store was not told: the handler's work is done, so its event does not fail.
func (d *Deduplicator) tell(e *Event, err error) {
	if err != nil {
		e.Socket.namespace.service.options.Logger.Error("storing the mark of a handled event failed; the event may run again", "event", e.Name,
			"socket", e.Socket.id, "err", err)
	}
}

// end remembers a good run and forgets one that failed.
func (d *Deduplicator) end(key dispatchKey, run *firstRun) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(run.over)
	if !run.good {
		delete(d.runs, key)
		return
	}
	most, mostBytes := d.Remember, d.RememberBytes
	setDefault(&most, 16384)
	setDefault(&mostBytes, 16<<20)
	d.ended = append(d.ended, key)
	d.bytes += run.ack.size()
	for len(d.ended) > most || d.bytes > mostBytes && len(d.ended) > 0 {
		oldest := d.ended[0]
		d.ended = d.ended[1:]
		d.bytes -= d.runs[oldest].ack.size()
		delete(d.runs, oldest)
	}
}

func (a *keptAck) size() int {
	n := len(a.Args)
	for _, data := range a.Attachments {
		n += len(data)
	}
	return n
}

// kept copies the answer that the handler gave.
func (e *Event) kept() keptAck {
	if e.ack == nil {
		return keptAck{}
	}
	a := keptAck{Given: true, Args: append(json.RawMessage(nil), e.ack.args.Bytes()...)}
	a.Attachments = append(a.Attachments, e.ack.attachments...) // they are copies already
	return a
}

// repeat answers the event as it was answered before.
func (e *Event) repeat(a *keptAck) error {
	if !a.Given || !e.WantsAck || e.acked {
		return nil
	}
	p := newPayload()
	p.args.Write(a.Args)
	p.attachments = append(p.attachments, a.Attachments...)
	e.ack, e.acked = p, true
	return nil
}
