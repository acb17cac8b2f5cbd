// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Giving back. The runtime collects garbage when the heap has grown by its live part, and every two minutes at least: after a burst or an
// attack an idle process keeps for minutes what nobody needs. So when no garbage was collected for a while although much was allocated
// before, it is collected now, and what is free goes back to the system. A busy process collects by itself, and is left alone.

const (
	// interval is how long nothing was collected before it is done here, and the least time between two such collections.
	interval = 10 * time.Second
	// worthIt is how much must have been allocated since the last time, and be held, to be worth a collection.
	worthIt = 32 << 20
)

// GiveBack gives memory back when the process calms down, until ctx ends.
func GiveBack(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	before, given := read(), usage{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := read()
		if now.due(before, given) {
			debug.FreeOSMemory()
			now = read()
			given = now
		}
		before = now
	}
}

// usage is what the runtime tells of its memory.
type usage struct {
	cycles    uint64 // of garbage collection
	allocated uint64 // bytes, ever
	held      uint64 // bytes that the system has given and not got back
}

// due tells whether a collection is worth it: given the usage an interval ago, and after the last one.
func (u usage) due(before, given usage) bool {
	return u.cycles == before.cycles && u.allocated-given.allocated >= worthIt && u.held >= worthIt
}

func read() usage {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	n := func(i int) uint64 { return samples[i].Value.Uint64() }
	return usage{cycles: n(0), allocated: n(1), held: n(2) - n(3)}
}
