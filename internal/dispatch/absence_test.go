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

func (f *fixture) holds(service string) int { return value(f.t, f.m.AbsentHeld(service)) }

// An absent service that holds connects is named in the log within a second, then once a minute, and never when it is back in time.
func TestAbsence_log(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := logged(t, Options{})
		a, _ := f.attach("a", "a1", asking), f.attach("b", "b1", nil)
		lines := func() (list []string) {
			synctest.Wait()
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "connects are held") {
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
		if x.decision() != UnknownNamespace || y.decision() != Accepted || value(t, f.m.Held) != 0 {
			t.Errorf("decisions %+v and %+v", x.decisions, y.decisions)
		}
		time.Sleep(time.Minute)
	})
}
