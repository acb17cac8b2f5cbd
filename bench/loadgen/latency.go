// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// late is how many events of one client may be unanswered. More means that the server cannot keep
// the rate.
const late = 1024

// paced is the open loop: events leave at times that were fixed before, whether the server keeps up
// or not.
type paced struct {
	packet  event
	start   time.Time
	clients []pacedClient
	done    atomic.Uint64
	latency Histogram
	lag     Histogram
	stalled atomic.Bool
}

type pacedClient struct {
	mu   sync.Mutex // guards all below: the pacer writes, the reader reads
	next uint64
	open int
	due  [late]time.Duration // by id modulo late
}

// Latency sends events at a rate, spread over all clients in turn, and measures each from the
// moment at which it was due until its ack was read. An event that leaves late because this program
// or the server was busy counts the delay too, so a stall is not hidden by the events that it kept
// from being sent.
//
// Traffic.Late holds by how much the events left late.
func (f *Fleet) Latency(ctx context.Context, perSecond int, w Window) (*Traffic, error) {
	p := &paced{packet: newEvent("echo", Payload), clients: make([]pacedClient, len(f.clients)), start: time.Now()}
	for _, c := range f.clients {
		c.on = p
	}
	ctx, stop := context.WithCancel(ctx)
	pacer := make(chan struct{})
	go func() { // ends with stop below
		defer close(pacer)
		p.pace(ctx, f, perSecond)
	}()
	w.Begin = func(begin func()) func() {
		return func() { p.lag.Reset(); begin() }
	}(w.Begin)
	t, err := f.measure(ctx, w, &p.latency, p.done.Load)
	stop()
	<-pacer
	if err != nil {
		return nil, err
	}
	if p.stalled.Load() {
		return nil, errStalled
	}
	t.Late = &p.lag
	return t, nil
}

// pace sends until ctx ends. It sleeps on a thread of its own, with the least slack that the kernel
// gives: the runtime's timers would send events up to a millisecond late.
func (p *paced) pace(ctx context.Context, f *Fleet, perSecond int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const prSetTimerSlack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
	defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 0, 0) }()
	interval := time.Second / time.Duration(perSecond)
	for n := 0; ctx.Err() == nil; n++ {
		due := time.Duration(n) * interval
		if early := due - time.Since(p.start); early > 0 {
			pause := syscall.NsecToTimespec(int64(early))
			_ = syscall.Nanosleep(&pause, nil) // a signal that ends it early makes one event early
		}
		c := f.clients[n%len(f.clients)]
		if !p.send(c, due) {
			p.stalled.Store(true)
			return
		}
		if err := c.flush(); err != nil {
			f.fail(err)
			return
		}
	}
}

func (p *paced) send(c *client, due time.Duration) bool {
	state := &p.clients[c.index]
	state.mu.Lock()
	id := state.next
	state.next++
	state.open++
	state.due[id%late] = due
	ok := state.open < late
	state.mu.Unlock()
	p.packet.queue(c, id)
	p.lag.Record(time.Since(p.start) - due)
	return ok
}

func (p *paced) ack(c *client, id uint64, _ []byte) {
	now := time.Since(p.start)
	state := &p.clients[c.index]
	state.mu.Lock()
	due := state.due[id%late]
	state.open--
	state.mu.Unlock()
	p.latency.Record(now - due)
	p.done.Add(1)
}

func (p *paced) event(*client) {}
