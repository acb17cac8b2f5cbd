// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type socket struct {
	id      sio.SocketID
	ns      sio.Namespace
	binding *Binding

	mu        sync.Mutex // guards what follows
	acks      []string
	flushed   int // acks that were flushed
	decisions []Decision
}

func (s *socket) ID() sio.SocketID           { return s.id }
func (s *socket) Namespace() sio.Namespace   { return s.ns }
func (s *socket) Introduction() Introduction { return Introduction{} }

func (s *socket) Acknowledge(id sio.AckID, ack sio.Ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks = append(s.acks, fmt.Sprintf("%d %s", id, ack.Args))
}

func (s *socket) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = len(s.acks)
}

// got gives the acks that were flushed.
func (s *socket) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks[:s.flushed]
}

func (s *socket) decided() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.decisions)
}

func (s *socket) decision() DecisionKind {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.decisions) != 1 {
		return 0
	}
	return s.decisions[0].Kind
}

func (s *socket) emit(t testing.TB, name string, ack sio.AckID) {
	t.Helper()
	if err := s.binding.Dispatch(context.Background(), &sio.Event{Name: name}, ack, true); err != nil {
		t.Error(err)
	}
}

// instance writes down what it is given. It implements Instance.
type instance struct {
	a *Attachment

	mu       sync.Mutex // guards what follows
	list     []Dispatch
	released []sio.SocketID
	flushes  int
}

func (i *instance) Release(id sio.SocketID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.released = append(i.released, id)
}

func (i *instance) Queue(d *Dispatch) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := *d
	if d.Event != nil {
		ev := *d.Event
		c.Event = &ev
	}
	i.list = append(i.list, c)
}

func (i *instance) Flush() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.flushes++
}

// names tells what was given: "a:connect", "a:event chat".
func (i *instance) names() (list []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.list {
		list = append(list, string(i.list[n].Socket.ID())+":"+i.list[n].what())
	}
	return list
}

func (i *instance) last() Dispatch {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.list[len(i.list)-1]
}

// resolve answers the nth dispatch that it was given.
func (i *instance) resolve(t testing.TB, n int, r sio.Result) {
	t.Helper()
	i.mu.Lock()
	id := i.list[n].ID
	i.mu.Unlock()
	if err := i.a.Resolve(id, r); err != nil {
		t.Errorf("resolve: %v", err)
	}
	i.a.Flush()
}

type fixture struct {
	t testing.TB
	*Dispatcher
	m *metrics.Dispatch
}

func newFixture(t testing.TB, o Options) *fixture {
	m := metrics.NewDispatch(nil)
	return &fixture{t, New(o, m, slog.New(slog.DiscardHandler)), m}
}

func reg(service, id string, change func(*sio.Register)) *sio.Register {
	r := &sio.Register{
		Service: sio.ServiceName(service), Instance: sio.InstanceID(id),
		Namespaces: []sio.Registration{{Namespace: "/", CatchAll: true, Disconnect: true}},
	}
	if change != nil {
		change(r)
	}
	return r
}

func (f *fixture) attach(service, id string, change func(*sio.Register)) *instance {
	f.t.Helper()
	i := &instance{}
	a, err := f.Attach(reg(service, id, change), i, Local)
	if err != nil {
		f.t.Fatal(err)
	}
	i.a = a
	return i
}

func (f *fixture) connect(id string) *socket { return f.connectTo("/", id) }

func (f *fixture) connectTo(ns sio.Namespace, id string) *socket {
	s := &socket{id: sio.SocketID(id), ns: ns}
	s.binding = f.ConnectAfter(nil, s, func(d Decision) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.decisions = append(s.decisions, d)
	})
	return s
}

// value reads a counter or a gauge.
func value(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func answered(args string) sio.Result {
	return sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: []byte(args)}}
}

func asking(r *sio.Register) { r.Namespaces[0].Connect = true }
