// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// No socket that was there before a gap is recovered after it, whatever its browser has; those that
// connected after it are.
func TestHub_Gap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRemembering(JournalOptions{})
		if h.Gap() {
			t.Error("no socket is here, and one missed something")
		}
		deliver := func() { h.Deliver(&sio.Emit{Target: sio.Target{Namespace: main}, Event: sio.Event{Name: "e"}}) }
		offset := func(s *fakeSocket) string { return s.got[len(s.got)-1].Offset }
		back := func(what string, a *Absence, offset string, want Loss) {
			t.Helper()
			if _, loss := h.Restore(a, &fakeSocket{id: a.id}, offset, unbounded); loss != want {
				t.Errorf("%s: loss %q, want %q", what, loss, want)
			}
		}
		cut, stays, quiet := addSocket(h, main), addSocket(h, main), addSocket(h, main)
		deliver()
		away := h.Cut(main, cut.id)
		if !h.Gap() {
			t.Error("those that are here missed nothing")
		}
		later := addSocket(h, main)
		back("away in the gap", away, offset(cut), LossGap)
		deliver()
		back("there in the gap, with an event from after it", h.Cut(main, stays.id), offset(stays), LossGap)
		back("there in the gap, without an offset", h.Cut(main, quiet.id), "", LossGap)
		back("connected after the gap", h.Cut(main, later.id), offset(later), LossNone)
		again := addSocket(h, main)
		if !h.Gap() {
			t.Error("a second gap")
		}
		back("there in the second gap", h.Cut(main, again.id), "", LossGap)
		if n := testutil.ToFloat64(h.metrics.Gaps); n != 3 {
			t.Errorf("%v gaps are counted", n)
		}
		time.Sleep(2 * time.Minute) // the journal's timer ends by itself
	})
}

// While nobody can tell what was missed no socket is recovered.
func TestHub_Uncertain(t *testing.T) {
	p := &fakePublisher{}
	h := NewWithJournal(replica, p, JournalOptions{Retention: time.Minute, MaxEvents: unbounded, MaxBytes: unbounded}, metrics.NewHub(nil))
	one, two := addSocket(h, main), addSocket(h, main)
	p.uncertain = true
	if _, loss := h.Restore(h.Cut(main, one.id), &fakeSocket{id: one.id}, "", unbounded); loss != LossGap {
		t.Errorf("loss %q", loss)
	}
	p.uncertain = false
	if _, loss := h.Restore(h.Cut(main, two.id), &fakeSocket{id: two.id}, "", unbounded); loss != LossNone {
		t.Errorf("loss %q", loss)
	}
}

// A hub without a journal has nothing to give up.
func TestHub_Gap_NoJournal(t *testing.T) {
	h := newHub(Alone{})
	addSocket(h, main)
	if h.Gap() || testutil.ToFloat64(h.metrics.Gaps) != 0 {
		t.Error("a gap without a journal")
	}
}
