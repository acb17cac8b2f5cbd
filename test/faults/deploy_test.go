// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"syscall"
	"testing"
)

// Every instance is replaced by a new one under load, one after the other: each is asked to end,
// finishes what it has open, and ends after a drain. Nothing is handed out twice. What another
// replica sent to an instance that had left by then is given to another, which was not handed out
// before.
func TestDeploy(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p)
		old := []*instance{w.start(work), w.start(work), w.start(work)}
		w.serving(len(old))
		l := w.emit(200, 2000)
		l.acked(1000)
		for _, i := range old {
			w.start(work)
			w.serving(len(old) + 1)
			w.signal(i, syscall.SIGTERM)
			if !i.Wait(limit) || i.Err() != nil {
				t.Errorf("%s ended with %v", i.Name, i.Err())
			}
			w.serving(len(old))
			l.acked(1000)
		}
		l.settle()
		untaken := w.metric(w.back, "spanwire_mesh_dispatches_undeliverable_total")
		if b := w.audit(); b.redelivered > untaken || b.duplicates != 0 {
			t.Errorf("instances that drained left something open; %d dispatches came when they had left", untaken)
		}
		for _, i := range w.instances {
			if len(w.entries(i)) == 0 {
				t.Errorf("%s was given nothing", i.Name)
			}
		}
	}, "go", "python")
}
