// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// logged is a fixture whose log can be read when nothing runs.
func logged(t testing.TB, o Options) (*fixture, *bytes.Buffer) {
	var log bytes.Buffer
	m := metrics.NewDispatch(nil)
	return &fixture{t, New(o, m, slog.New(slog.NewTextHandler(&log, nil))), m}, &log
}

func (f *fixture) holds(service string) int { return value(f.m.AbsentHeld(service)) }

// An absent service that holds connects is named in the log within a second, then once a minute,
// and never when it is back in time.
func TestAbsence_log(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := logged(t, Options{})
		a, _ := f.attach("a", "a1", asking), f.attach("b", "b1", nil)
		lines := func() (list []string) {
			synctest.Wait()
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "connects held") {
					list = append(list, line)
				}
			}
			return list
		}
		a.a.Detach()
		s := f.connect("s")
		time.Sleep(holdNotice / 2)
		f.attach("a", "a1", asking).a.Detach() // takes the connect, and leaves it
		s.binding.Disconnect(sio.ReasonTransportClose)
		synctest.Wait()
		if got := f.holds("a"); got != 0 {
			t.Errorf("%d are held", got)
		}
		time.Sleep(time.Minute)
		if got := lines(); len(got) != 0 {
			t.Errorf("lines %q", got)
		}
		for n := range 30 { // a browser that comes again and again
			f.connect(fmt.Sprint(n))
			if got := f.holds("a"); got != 1 {
				t.Errorf("%d are held", got)
			}
			time.Sleep(f.options.ConnectHold + time.Second)
			if n == 0 {
				if got := lines(); len(got) != 1 || !strings.Contains(got[0], `level=WARN`) || !strings.Contains(got[0], `service=a namespace=/ since=`) ||
					!strings.Contains(got[0], "count=1") || !strings.Contains(got[0], `setting="connect-hold, service-retention"`) ||
					!strings.Contains(got[0], `command="broker services retire a"`) {
					t.Errorf("lines %q", got)
				}
			}
		}
		if n := len(lines()); n < 8 || n > 11 { // ten and a half minutes
			t.Errorf("%d lines", n)
		}
		f.Close()
	})
}

// A service that comes back without a namespace holds none of its connects.
func TestDispatcher_hold_undeclared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		f.attach("a", "a1", registering(sio.Registration{Namespace: "/x", Connect: true}, sio.Registration{Namespace: "/y", Connect: true})).a.Detach()
		f.attach("b", "b1", registering(sio.Registration{Namespace: "/y", CatchAll: true}))
		x, y := f.connectTo("/x", "x"), f.connectTo("/y", "y")
		a := f.attach("a", "a2", registering(sio.Registration{Namespace: "/z"}))
		for n := range a.names() {
			a.resolve(t, n, sio.Result{})
		}
		if x.decision() != UnknownNamespace || y.decision() != Accepted || value(f.m.Held) != 0 {
			t.Errorf("decisions %+v and %+v", x.decisions, y.decisions)
		}
		time.Sleep(time.Minute)
	})
}

// A replica that has just started waits for the services that are absent elsewhere, unless it knows
// them; they attach and are retired as others.
func TestDispatcher_Learn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{Retention: time.Hour, MaxServices: 4})
		f.attach("b", "b1", nil)
		since := time.Now().Add(-30 * time.Minute)
		gate := func(name string, ns sio.Namespace, pattern bool) sio.Absent {
			return sio.Absent{Service: sio.ServiceName(name), Since: since, Declared: []sio.Registration{{Namespace: ns, Pattern: pattern, Connect: true}}}
		}
		f.Learn([]sio.Absent{
			gate("a", "/", false), gate("b", "/", false), gate("p", "/room-.*", true), gate("a", "/twice", false), gate("bad", "(", true),
			{Service: "empty"}, gate("c", "/c", false), gate("many", "/", false),
		})
		s, room := f.connect("s"), f.connectTo("/room-1", "r")
		if s.decided() != 0 || room.decided() != 0 || f.holds("a") != 1 || f.holds("p") != 1 {
			t.Errorf("decisions %+v and %+v", s.decisions, room.decisions)
		}
		if all := f.Absent(); len(all) != 3 || !all[0].Since.Equal(since) || len(all[0].Declared) != 1 {
			t.Errorf("absent %+v", all)
		}
		f.attach("p", "p1", registering(byPattern("/room-.*"))).resolve(t, 0, sio.Result{})
		if room.decision() != Accepted {
			t.Errorf("decisions %+v", room.decisions)
		}
		if r := f.Retire("a"); !r.Known || s.decision() != Accepted {
			t.Errorf("%+v, decisions %+v", r, s.decisions)
		}
		time.Sleep(31 * time.Minute) // less than the retention, but it was absent before
		synctest.Wait()
		if all := f.Absent(); len(all) != 0 {
			t.Errorf("absent %+v", all)
		}
		f.Close()
	})
}
