// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"syscall"
	"testing"
)

// A broker is told to stop under load: every event that a handler handled is acked to its browser, on WebSocket and on polling, before
// the session is closed.
func TestO03_BrokerDrain(t *testing.T) {
	for name, flags := range map[string][]string{
		"spread": {"--drain-timeout", "20s", "--drain-spread", "2s"},
		"laptop": {"--drain-timeout", "3s", "--drain-spread", "0"}, // as `broker dev` has it
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place) {
				w := newWorld(t, p, flags...)
				w.start("WORK=30ms")
				w.serving(1)
				page := w.openPage(w.front.HTTP, 40, 40)
				page.run()
				page.acked(400)
				w.terminate()
				page.wait()
				w.auditDrain(page)
			}, "go", "python")
		})
	}
}

// terminate stops the browsers' replica in good order and waits for its end.
func (w *world) terminate() {
	w.t.Helper()
	if err := w.front.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if !w.front.Wait(limit) || w.front.Err() != nil {
		w.t.Fatalf("the broker ended with %v", w.front.Err())
	}
}

// auditDrain compares what handlers wrote down with the acks.
func (w *world) auditDrain(p *page) {
	w.t.Helper()
	handled, lost := 0, map[string]int{}
	for _, i := range w.instances {
		for _, e := range w.entries(i) {
			handled++
			if b := p.browsers[e.client]; !b.hasAck(e.number) {
				lost[b.transport]++
			}
		}
	}
	sent, acked := p.count()
	w.t.Logf("sent %d, handled %d, acked %d, lost %v", sent, handled, acked, lost)
	if len(lost) > 0 {
		w.t.Errorf("of %d events that were handled, these were not acked: %v", handled, lost)
	}
}
