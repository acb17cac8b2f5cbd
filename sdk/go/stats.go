// SPDX-License-Identifier: Apache-2.0

package spanwire

import "sync/atomic"

// Stats holds the counters of a service.
type Stats struct {
	// connects, events and disconnects that the broker dispatched to this instance
	Dispatches uint64
	Failed     uint64 // handlers that returned an error or panicked
	Faults     uint64 // faults that the broker reported outside of answers
	Unknown    uint64 // frames and dispatches of unknown kinds
	Attached   uint64 // streams that were opened
}

type stats struct{ dispatches, failed, faults, unknown, attached atomic.Uint64 }

// Stats returns the counters.
func (svc *Service) Stats() Stats {
	c := &svc.stats
	return Stats{
		Dispatches: c.dispatches.Load(), Failed: c.failed.Load(), Faults: c.faults.Load(),
		Unknown: c.unknown.Load(), Attached: c.attached.Load(),
	}
}
