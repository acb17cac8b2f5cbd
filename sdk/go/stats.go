// SPDX-License-Identifier: Apache-2.0

package spanwire

import "sync/atomic"

// Stats counts what a service did since its birth.
type Stats struct {
	// connects, events and disconnects that the broker handed out to this instance
	Dispatches uint64
	Failed     uint64 // handlers that returned an error or panicked
	Faults     uint64 // faults that the broker reported without an answer
	Unknown    uint64 // frames and dispatches that this package does not know
	Attached   uint64 // times that a stream was opened
}

type stats struct{ dispatches, failed, faults, unknown, attached atomic.Uint64 }

// Stats gives the counters.
func (svc *Service) Stats() Stats {
	c := &svc.stats
	return Stats{
		Dispatches: c.dispatches.Load(), Failed: c.failed.Load(), Faults: c.faults.Load(),
		Unknown: c.unknown.Load(), Attached: c.attached.Load(),
	}
}
