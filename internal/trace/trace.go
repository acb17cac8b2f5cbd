// SPDX-License-Identifier: Apache-2.0

// Package trace is where rooms tell what happens, and where those who follow it read. While nobody
// does, telling costs a look at one number. A follower that reads too slowly misses something, and
// gets the number of those; nothing ever waits for it.
package trace

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Options bound what followers cost. Zero fields take their defaults.
type Options struct {
	// MaxTails bounds the followers. Default 16 (setting max-tails).
	MaxTails int
	// Backlog bounds what waits for one of them. Default 1,024 trace events (setting tail-backlog).
	Backlog int
}

// Board gets what happens. Its methods may be called by any goroutine, under any lock.
type Board struct {
	o       Options
	metrics *metrics.Trace

	changing sync.Mutex // held while a caller begins or ends to follow
	// nil when there are none; never changed, but replaced, so that telling takes no lock of the
	// board
	followers atomic.Pointer[[]*Follower]
}

// New makes a board that nobody looks at.
func New(o Options, m *metrics.Trace) *Board {
	config.Complete(o.Settings())
	return &Board{o: o, metrics: m}
}

// Following tells whether anybody follows. It is asked before anything is made for Happened.
func (b *Board) Following() bool { return b.followers.Load() != nil }

// Happened tells the followers. It keeps nothing of o.
func (b *Board) Happened(o *sio.TraceEvent) {
	now := time.Now()
	for _, f := range b.all() {
		if wanted, certain := f.filter.wants(o); wanted {
			f.push(o, now, certain)
		}
	}
}

func (b *Board) all() []*Follower {
	if all := b.followers.Load(); all != nil {
		return *all
	}
	return nil
}

// Filter chooses what to follow: what fits all fields that are set.
type Filter struct {
	Namespace sio.Namespace
	Socket    sio.SocketID
	Room      sio.Room
	Service   sio.ServiceName
}

// wants tells whether the traceEvent fits. It is not certain when the socket must be looked for in
// the room yet.
func (f *Filter) wants(o *sio.TraceEvent) (wanted, certain bool) {
	switch {
	case f.Namespace != "" && f.Namespace != o.Namespace,
		f.Service != "" && f.Service != o.Service,
		f.Socket != "" && f.Socket != o.Socket && (o.Reaches == nil || !o.Reaches(f.Socket)):
		return false, false
	case f.Room == "", slices.Contains(o.Rooms, f.Room), o.Socket != "" && f.Room == o.Socket.Room():
		return true, true
	case o.In != nil:
		return o.In(f.Room), true
	}
	return o.Socket != "", false
}

// Follower reads what happens.
type Follower struct {
	board  *Board
	filter Filter
	wake   chan struct{} // holds a value when something waits

	mu     sync.Mutex
	queue  []Entry // guarded by mu
	missed uint64  // guarded by mu; since the last in the queue
}

// Entry is what happened, with bytes of its own.
type Entry struct {
	sio.TraceEvent
	Time   time.Time
	Missed uint64 // before this one
	// Uncertain says that the socket is to be looked for in the filter's room.
	Uncertain bool
}

// Follow begins to follow. An error has CodeTooLarge when too many do. Close ends it.
func (b *Board) Follow(filter Filter) (*Follower, error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	all := b.all()
	if len(all) >= b.o.MaxTails {
		b.metrics.Rejected.Inc()
		return nil, sio.E(sio.CodeTooLarge, "tail", fmt.Sprintf("%d callers follow already, which is the most allowed (setting max-tails)", len(all)))
	}
	f := &Follower{board: b, filter: filter, wake: make(chan struct{}, 1)}
	all = append(slices.Clone(all), f)
	b.followers.Store(&all)
	b.metrics.Watchers.Inc()
	return f, nil
}

// Close ends following. It is called once.
func (f *Follower) Close() {
	b := f.board
	b.changing.Lock()
	defer b.changing.Unlock()
	rest := slices.DeleteFunc(slices.Clone(b.all()), func(other *Follower) bool { return other == f })
	if b.followers.Store(&rest); len(rest) == 0 {
		b.followers.Store(nil)
	}
	b.metrics.Watchers.Dec()
}

// Next waits until something happened, and gives it, oldest first. One goroutine calls it.
func (f *Follower) Next(ctx context.Context) ([]Entry, error) {
	select {
	case <-f.wake:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.queue
	f.queue = nil
	return all, nil
}

func (f *Follower) push(o *sio.TraceEvent, now time.Time, certain bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) >= f.board.o.Backlog {
		f.missed++
		f.board.metrics.Missed.Inc()
		return
	}
	f.board.metrics.Queued.Inc()
	f.queue = append(f.queue, Entry{TraceEvent: owned(o), Time: now, Missed: f.missed, Uncertain: !certain})
	f.missed = 0
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// maxPayload bounds what is kept of the payload of one traceEvent, maxRooms the rooms that are
// sent.
const (
	maxPayload = 4 << 10
	maxRooms   = 64
)

// owned is a copy, cut to what is sent.
func owned(o *sio.TraceEvent) sio.TraceEvent {
	x := *o
	x.Reaches, x.In = nil, nil
	x.Rooms = slices.Clone(o.Rooms[:min(len(o.Rooms), maxRooms)])
	room := maxPayload
	take := func(b []byte) []byte {
		b = b[:min(len(b), room)]
		room -= len(b)
		return slices.Clone(b)
	}
	// the cut may be within a character
	x.Event.Name = strings.ToValidUTF8(string(take([]byte(o.Event.Name))), "")
	x.Event.Args = take(o.Event.Args)
	x.Event.Attachments = nil
	for _, a := range o.Event.Attachments {
		if room == 0 {
			break
		}
		x.Event.Attachments = append(x.Event.Attachments, take(a))
	}
	return x
}
