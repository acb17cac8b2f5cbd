// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// The budget is about memory, so that a dispatch must be charged what it takes.
func TestDispatchBytes(t *testing.T) {
	if took := int(unsafe.Sizeof(Dispatch{})); overhead+dispatchBytes < took {
		t.Errorf("a dispatch takes %d bytes and is charged %d", took, overhead+dispatchBytes)
	}
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with gives the lines that hold all of the parts.
func (l *lines) with(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

func newLoggedFixture(t testing.TB, o Options) (*fixture, *lines) {
	m, log := metrics.NewDispatch(nil), &lines{}
	return &fixture{t, New(o, m, slog.New(slog.NewTextHandler(log, nil))), m}, log
}

// flood has the socket emit until it is blocked, and tells how many events it took.
func (s *socket) flood(most int) (taken int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	for taken < most && s.binding.Dispatch(ctx, &sio.Event{Name: "x", Args: []byte(fmt.Sprintf("[%d]", taken))}, 0, false) == nil {
		taken++
	}
	return taken
}

// absentFixture has a service "a" that is absent, and sockets that were connected before.
func absentFixture(t *testing.T, o Options, sockets int) (*fixture, *lines, []*socket) {
	f, log := newLoggedFixture(t, o)
	f.attach("a", "1", nil).a.Detach()
	f.attach("b", "1", func(r *sio.Register) { r.Namespaces[0] = sio.Registration{Namespace: "/", Events: []string{"other"}} })
	var all []*socket
	for i := range sockets {
		all = append(all, f.connect(fmt.Sprint("s", i)))
	}
	t.Cleanup(f.Close)
	return f, log, all
}

// Events for an absent service fill its budget before they stop the reading of a socket; one socket
// takes half of what the others leave.
func TestBudget_budget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000 * (overhead + dispatchBytes + 10)
		f, log, s := absentFixture(t, Options{QueueEvents: 5, AbsentBytes: most, HoldTimeout: time.Minute}, 4)
		defer f.Close()
		if n := s[0].flood(500); n != 500 {
			t.Errorf("the first socket was blocked after %d events", n)
		}
		if n := s[1].flood(2000); n < 240 || n > 270 {
			t.Errorf("the second socket had %d events taken, not about a quarter of the budget", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, s := range s[1:] {
			go func() { // ends with ctx, or when all was dropped
				for range 2000 {
					if s.binding.Dispatch(ctx, &sio.Event{Name: "x"}, 0, false) != nil {
						return
					}
				}
			}()
		}
		synctest.Wait()
		if n := f.services["a"].budget.charged; n < most*9/10 || n > most+4*5*(overhead+dispatchBytes+10) {
			t.Errorf("%d bytes of %d are charged", n, most)
		}
		time.Sleep(2 * time.Second)
		if found := log.with("level=WARN", "back-pressure started", "service=a", "sockets=3", "absent-service-bytes"); len(found) != 1 {
			t.Errorf("the log says %q", log.with("back-pressure"))
		}
		cancel()
		time.Sleep(2 * time.Minute) // hold-timeout
		synctest.Wait()
		if n := f.services["a"].budget.charged; n != 0 || f.services["a"].backlog != (backlog{}) {
			t.Errorf("%d bytes are charged after all was dropped, and %+v waits", n, f.services["a"].backlog)
		}
		if found := log.with("level=WARN", "back-pressure ended", "service=a", "sockets=3"); len(found) != 1 {
			t.Errorf("the log says %q", log.with("back-pressure"))
		}
	})
}

// A socket that is blocked goes on when the budget has room again that another socket took.
func TestBudget_starved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, s := absentFixture(t, Options{QueueEvents: 5, AbsentBytes: 100 * (overhead + dispatchBytes + 10), HoldSockets: 1}, 3)
		defer f.Close()
		for _, s := range s[:2] {
			s.flood(1000)
		}
		blocked := make(chan error, 1)
		s[2].flood(1000)
		go func() { // ends when there is room
			blocked <- s[2].binding.Dispatch(context.Background(), &sio.Event{Name: "x"}, 0, false)
		}()
		synctest.Wait()
		if f.services["a"].backlog.blocked == 0 {
			t.Fatal("no socket is blocked")
		}
		// with more sockets than hold-sockets, its events are dropped
		s[0].binding.Disconnect(sio.ReasonTransportClose)
		synctest.Wait()
		select {
		case err := <-blocked:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the socket is blocked still")
		}
	})
}

// When the service is back with a small window, what waits is handed out in order, further events
// are taken beyond the bounds of a present service while a queue is from before, and the bounds
// hold again afterwards.
func TestBudget_return(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, s := absentFixture(t, Options{QueueEvents: 5}, 1)
		defer f.Close()
		if n := s[0].flood(300); n != 300 {
			t.Fatalf("blocked after %d events", n)
		}
		i := f.attach("a", "2", func(r *sio.Register) { r.Window = 2 })
		if n := s[0].flood(100); n != 100 {
			t.Errorf("blocked after %d more events, although the queue is from when the service was absent", n)
		}
		for n := 0; n < len(i.list); n++ {
			i.resolve(t, n, sio.Result{})
			if len(i.list) == 398 { // of which one or two are open
				break
			}
		}
		x := f.services["a"]
		if x.budget.charged != 0 {
			t.Errorf("%d bytes are charged, with %d events queued", x.budget.charged, x.backlog.events)
		}
		if n := s[0].flood(100); n > 5 {
			t.Errorf("%d events were taken beyond the bounds", n)
		}
		for n := range i.list {
			want := fmt.Sprintf("[%d]", n)
			if n >= 300 {
				want = fmt.Sprintf("[%d]", n-300)
			}
			if got := string(i.list[n].Event.Args); got != want {
				t.Fatalf("event %d is %s", n, got)
			}
		}
	})
}

// A service whose only instance drains is absent for what comes meanwhile.
func TestBudget_draining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, s := absentFixture(t, Options{QueueEvents: 5}, 1)
		defer f.Close()
		i := f.attach("a", "2", nil)
		s[0].emit(t, "x", 0)
		i.a.Drain()
		if n := s[0].flood(100); n != 100 {
			t.Errorf("blocked after %d events", n)
		}
		i.resolve(t, 0, sio.Result{})
		next := f.attach("a", "3", nil)
		if len(next.list) != 100 {
			t.Errorf("the next instance got %d events", len(next.list))
		}
	})
}

// A service that is present and hangs is no absent one.
func TestBudget_hanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log, s := absentFixture(t, Options{QueueEvents: 5}, 1)
		defer f.Close()
		f.attach("a", "2", func(r *sio.Register) { r.Window = 2 })
		if n := s[0].flood(100); n != 6 {
			t.Errorf("%d events were taken, not 1 open and 5 queued", n)
		}
		time.Sleep(2 * time.Second)
		if found := log.with("back-pressure started", "service=a", "sockets=1", "socket-queue-events"); len(found) != 1 {
			t.Errorf("the log says %q", log.with("back-pressure"))
		}
	})
}
