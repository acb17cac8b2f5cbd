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

// Deduplicator makes an event that is dispatched more than once take effect once. An event is
// dispatched again when a stream broke before its result arrived: over the same stream, over that
// of another replica, or to another instance. Pass a Deduplicator to handlers with Once; several
// handlers may share one.
//
// While the first run of an event is under way, a second dispatch waits for it. A dispatch after
// the run gets the ack of that run, without a call of the handler. A run that returned an error or
// panicked does not count, and the event runs again.
//
// Without a Store this holds in one process, for the last events that Remember allows. With a Store
// it also holds between processes and across restarts.
//
// One case remains: a process that dies after the effect of the handler and before it updated the
// Store leaves no mark, and the event runs again when the Lease is over. To exclude it, write the
// effect and the mark under Event.ID in one transaction of your database. Emits of the first run
// over a stream that broke may be lost, and are not repeated.
//
// The zero value is usable.
type Deduplicator struct {
	// Remember bounds the number of events that this process remembers. Zero means 16384.
	Remember int
	// RememberBytes bounds the bytes of their acks; the oldest go first. Zero means 16 MiB.
	RememberBytes int
	// Store is shared by all processes that must not run an event twice. Nil means this process
	// alone.
	Store DuplicateStore
	// Lease is the time for which a run keeps other processes from running the event. It must
	// exceed the duration of a run; after the death of a process the event waits for it. Zero means
	// a minute.
	Lease time.Duration
	// Keep is the time for which the Store remembers an event. It must exceed the time for which a
	// stream can stay broken. Zero means an hour.
	Keep time.Duration

	mu    sync.Mutex // guards what follows
	runs  map[dispatchKey]*firstRun
	ended []dispatchKey // remembered, oldest first
	bytes int
}

// DuplicateStore is a key-value store that several processes share, such as Redis. Its methods may
// be called concurrently.
type DuplicateStore interface {
	// SetIfAbsent stores the value for the duration unless the key has one. It returns the value
	// that the key had, or "" for none. In Redis: SET key value NX GET PX milliseconds.
	SetIfAbsent(ctx context.Context, key, value string, keep time.Duration) (present string, err error)
	// Set stores the value for the duration, in place of any other.
	Set(ctx context.Context, key, value string, keep time.Duration) error
	// Delete removes the key.
	Delete(ctx context.Context, key string) error
}

// Once makes the handler of an event run once for each event, as d defines it. Use it for handlers
// whose effect must not be repeated, such as a payment.
func Once(d *Deduplicator) HandlerOption { return func(h *handler) { h.once = d } }

// dispatchKey identifies an event. It includes the random id of the socket, since a broker may
// assign the ids of events again after a restart.
type dispatchKey struct {
	id     uint64
	socket string
}

// firstRun is a run of a handler, under way or remembered.
type firstRun struct {
	over chan struct{} // closed when the run is over; the fields below are written before
	good bool
	ack  keptAck
}

// keptAck is the ack of a run, with the fields that a Store keeps.
type keptAck struct {
	Given       bool            `json:"given,omitempty"`
	Args        json.RawMessage `json:"args,omitempty"`
	Attachments [][]byte        `json:"attachments,omitempty"`
}

const (
	duplicateRunning = "running" // the value in the Store while a run is under way
	// The number of times within a lease that the Store is asked whether the run is over.
	duplicatePolls = 20
)

// wrap returns a handler that runs h once.
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

// begin returns the run of the event. It returns true when the caller must carry it out.
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
	// The end of the event's context must not prevent the write of the mark.
	after := context.WithoutCancel(ctx)
	defer func() {
		if !run.good {
			d.report(e, d.Store.Delete(after, name))
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
	d.report(e, err)
	return nil
}

// claim waits until this process may run the event, and returns "", or until another process has
// run it, and returns the mark of that run.
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

// report logs an error of the Store. The handler has done its work, so the event does not fail.
func (d *Deduplicator) report(e *Event, err error) {
	if err != nil {
		e.Socket.namespace.service.options.Logger.Error("storing the mark of a handled event failed; the event may run again", "event", e.Name,
			"socket", e.Socket.id, "err", err)
	}
}

// end remembers a successful run and forgets a failed one.
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

// kept copies the ack of the handler.
func (e *Event) kept() keptAck {
	if e.ack == nil {
		return keptAck{}
	}
	a := keptAck{Given: true, Args: append(json.RawMessage(nil), e.ack.args.Bytes()...)}
	a.Attachments = append(a.Attachments, e.ack.attachments...) // they are copies already
	return a
}

// repeat acknowledges the event with the ack of the first run.
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
