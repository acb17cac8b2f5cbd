// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// advisory registers a connect handler whose answer nobody waits for.
func advisory(r *sio.Register) { r.Namespaces[0].Connect, r.Namespaces[0].Advisory = true, true }

// A service that is only notified of connects neither holds nor refuses them, and hears of a socket
// before its events.
func TestDispatcher_Connect_advisory(t *testing.T) {
	f := newFixture(t, Options{})
	a, b := f.attach("a", "a1", advisory), f.attach("b", "b1", asking)
	s, refused := f.connect("s"), f.connect("refused")
	same(t, "a", a.names())
	b.resolve(t, 1, sio.Result{Outcome: sio.Refused})
	b.resolve(t, 0, sio.Result{})
	same(t, "a", a.names(), "s:connect")
	if s.decision() != Accepted || refused.decision() != Refused {
		t.Errorf("decisions %+v and %+v", s.decisions, refused.decisions)
	}
	a.resolve(t, 0, sio.Result{Outcome: sio.Refused})
	s.emit(t, "x", 1)
	same(t, "a", a.names(), "s:connect", "s:event x")
	if s.decided() != 1 || !a.last().Introduce {
		t.Errorf("decisions %+v", s.decisions)
	}
	a.resolve(t, 1, sio.Result{})
	a.a.Detach()
	absent := f.connect("absent")
	b.resolve(t, len(b.names())-1, sio.Result{})
	if absent.decision() != Accepted || value(f.m.Held) != 0 || f.holds("a") != 0 {
		t.Errorf("decisions %+v", absent.decisions)
	}
	absent.emit(t, "x", 1)
	same(t, "a is back", f.attach("a", "a2", advisory).names(), "absent:connect", "absent:event x")
}

// A namespace whose services are absent does not hold connects if none of them is waited for.
func TestDispatcher_Connect_advisoryAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		f.attach("a", "a1", advisory).a.Detach()
		s := f.connect("s")
		if s.decision() != Accepted || value(f.m.Held) != 0 {
			t.Errorf("decisions %+v", s.decisions)
		}
		s.binding.Disconnect(sio.ReasonTransportClose)
		a := f.attach("a", "a2", advisory)
		same(t, "a", a.names())
		f.attach("gate", "g1", asking).a.Detach()
		held := f.connect("held")
		if held.decided() != 0 || f.holds("gate") != 1 {
			t.Errorf("decisions %+v", held.decisions)
		}
		time.Sleep(time.Minute)
		if synctest.Wait(); held.decision() != Away || f.holds("gate") != 0 {
			t.Errorf("decisions %+v", held.decisions)
		}
		same(t, "a", a.names())
		f.Close()
	})
}
