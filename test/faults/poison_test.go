// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/bench/loadgen"
)

// An event ends every process that handles it. It is handed out so often as it may be, then set
// aside, logged and counted; all that was open beside it is handled, also what the same
// browser emits later.
func TestPoison(t *testing.T) {
	const redeliveries = 5
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p, "--max-redeliveries", fmt.Sprint(redeliveries))
		w.poison = 1
		living := []*instance{w.start(work), w.start(work)}
		w.serving(len(living))
		l := w.emit(100, 300)
		l.acked(300)
		bad := w.connect(1)
		poisoned := bad.Number(loadgen.Numbers{Event: "poison", PerSecond: 1000, Most: 1})
		deaths := 0
		replace := func() {
			for n, i := range living {
				if i.Ended() {
					deaths++
					living[n] = w.start(work)
				}
			}
		}
		w.until("the event to be set aside", func() bool {
			replace()
			return w.metric(w.front, "spanwire_dispatch_dropped_dispatches_total", `reason="max_redeliveries"`) == 1
		})
		// The last to die may be the only one that lived then, and it is dead before that is seen
		// here.
		w.until("all deaths to be seen", func() bool {
			replace()
			return deaths >= 1+redeliveries
		})
		later := w.emitFrom(bad, 1, loadgen.Numbers{Event: "number", PerSecond: 100})
		later.acked(20)
		l.acked(300)
		l.settle()
		later.settle()
		poisoned.Stop()
		if b := w.audit(); b.redelivered == 0 {
			t.Error("nothing was open beside the event")
		}
		for _, i := range living {
			if i.Ended() {
				deaths++
			}
		}
		if deaths != 1+redeliveries {
			t.Errorf("%d instances died, not %d", deaths, 1+redeliveries)
		}
		if poisoned.Acked() != 0 {
			t.Error("the event was acked")
		}
		if n := strings.Count(w.front.Log(), "dispatch set aside"); n != 1 {
			t.Errorf("the log tells %d times of an event that was set aside", n)
		}
	}, "go", "python")
}
