// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// The runtime collects garbage when the heap has grown by its live part, and every two minutes at
// least. For a process that carries large messages that is too late, twice:
//
//   - While much is held, as much again may be garbage. So garbage is collected here when the heap
//     has grown by maxGrowth.
//   - After a burst or an attack, an idle process keeps for minutes what is not needed. So when no
//     garbage was collected for a while although much was allocated or freed before, it is
//     collected, and what is free goes back to the system.
const (
	// lookInterval is the time between two looks at the heap.
	lookInterval = 100 * time.Millisecond
	// maxGrowth is how much the heap may grow between two collections, unless they would take more
	// than a part of the time: smaller heaps are left to the runtime.
	maxGrowth    = 128 << 20
	collectShare = 10
	// quiet is how long nothing was collected before memory is given back, and the least time
	// between two times.
	quiet = 10 * time.Second
	// worthIt is how much must have been allocated or freed since the last time, and be held, to be
	// worth it.
	worthIt = 32 << 20
)

// Keeper collects garbage, and gives memory back to the system, when the runtime would wait too
// long.
type Keeper struct {
	freed atomic.Uint64

	// Owned by Run.
	before, given usage // at the last quiet look, and when memory was given back last
	calm          time.Time
	rest          time.Time // until when nothing is collected for growth
}

// Freed says that bytes are not used any more, which the runtime learns when it collects.
func (k *Keeper) Freed(bytes int) { k.freed.Add(uint64(bytes)) }

// Run keeps the process's memory until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	k.before, k.calm = k.usage(), time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		k.look()
	}
}

func (k *Keeper) look() {
	now, u := time.Now(), k.usage()
	switch {
	case u.grown() && !now.Before(k.rest):
		runtime.GC()
		k.rest = now.Add(collectShare * time.Since(now))
	case u.cycles != k.before.cycles:
		k.before, k.calm = u, now
	case now.Sub(k.calm) >= quiet:
		if u.worth(k.given) {
			debug.FreeOSMemory()
			u = k.usage()
			k.given = u
		}
		k.before, k.calm = u, now
	}
}

// usage is what is known of the process's memory.
type usage struct {
	cycles uint64 // of garbage collection
	moved  uint64 // bytes that were allocated, and those reported to Freed, ever
	heap   uint64 // bytes of objects, garbage too
	live   uint64 // bytes of objects at the end of the last collection
	held   uint64 // bytes that the system has given and not got back
}

// grown tells that the heap has grown enough to be collected.
func (u usage) grown() bool { return u.heap > u.live+maxGrowth }

// worth tells that it pays to give memory back, given the usage after the last time.
func (u usage) worth(given usage) bool { return u.moved-given.moved >= worthIt && u.held >= worthIt }

func (k *Keeper) usage() usage {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	n := func(i int) uint64 { return samples[i].Value.Uint64() }
	return usage{cycles: n(0), moved: n(1) + k.freed.Load(), heap: n(2), live: n(3), held: n(4) - n(5)}
}
