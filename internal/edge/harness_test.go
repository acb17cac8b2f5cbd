// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a whole edge with its hub and dispatcher, one service, and a server that browsers reach.
type world struct {
	t          testing.TB
	hub        *hub.Hub
	dispatcher *dispatch.Dispatcher
	edge       *Server
	metrics    *metrics.Edge
	service    *service
	log        *syncBuffer
	*edgetest.Server
}

// setup is what a test may change.
type setup struct {
	edge     Options
	dispatch dispatch.Options
	register sio.Register
	handle   func(call) *sio.Result // nil keeps the dispatch open
	absent   bool                   // the service does not attach
	engine3  bool                   // every session says that it is of revision 3 of Engine.IO
	journal  hub.JournalOptions
}

const replica sio.ReplicaID = "abcdef"

// bothTransports runs a test in a bubble of its own for each transport.
func bothTransports(t *testing.T, change func(*setup), test func(t *testing.T, w *world, o edgetest.Options)) {
	t.Helper()
	t.Run("websocket", func(t *testing.T) {
		inBubble(t, change, func(t *testing.T, w *world) { test(t, w, edgetest.Options{}) })
	})
	t.Run("polling", func(t *testing.T) {
		inBubble(t, change, func(t *testing.T, w *world) { test(t, w, edgetest.Options{Polling: true}) })
	})
}

// inBubble runs a test on a world in memory, under faked time.
func inBubble(t *testing.T, change func(*setup), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, change)) })
}

func newWorld(t testing.TB, change func(*setup)) *world {
	s := setup{
		edge: DefaultOptions(),
		register: sio.Register{Service: "test", Instance: "one", Window: 100, Namespaces: []sio.Registration{
			{Namespace: "/", CatchAll: true, Connect: true, Disconnect: true},
			{Namespace: "/admin", CatchAll: true, Connect: true, Disconnect: true},
			{Namespace: "/open", CatchAll: true, Disconnect: true},
		}},
		handle: echo,
	}
	s.edge.Engine.Replica = replica
	s.dispatch.Replica = replica
	if change != nil {
		change(&s)
	}
	if err := s.edge.Validate(); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	t.Cleanup(func() {
		if all, err := metrics.Undeclared(registry); err != nil || len(all) > 0 {
			t.Errorf("metrics that are not declared: %q, %v", all, err)
		}
	})
	w := &world{t: t, log: &syncBuffer{}, metrics: metrics.NewEdge(registry)}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.hub = hub.NewWithJournal(replica, hub.Alone{}, s.journal, metrics.NewHub(nil))
	w.dispatcher = dispatch.New(s.dispatch, metrics.NewDispatch(nil), log)
	w.edge = New(s.edge, w.hub, w.dispatcher, w.metrics, engineio.NopObserver{}, log)
	if s.engine3 {
		w.edge.engine = engineio.NewServer(s.edge.Engine, func(session *engineio.Session) engineio.Receiver {
			session.Handshake().EngineProtocol = engineProtocol4
			return w.edge.open(session)
		}, engineio.NopObserver{}, log)
	}
	w.service = newService(t, s.handle)
	if !s.absent {
		w.service.attach(w.dispatcher, &s.register)
	}
	t.Cleanup(func() {
		w.service.stop()
	})
	w.Server = edgetest.Serve(t, w.edge)
	t.Cleanup(w.drain)
	return w
}

// drain ends all sessions, if need be at once, and waits for them.
func (w *world) drain() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.edge.Drain(ctx)
	if err := w.edge.Drain(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// emit sends an event to all sockets of a namespace, or to those of some rooms.
func (w *world) emit(ns sio.Namespace, name, args string, rooms ...sio.Room) {
	w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: ns, Rooms: rooms}, Event: sio.Event{Name: name, Args: []byte(args)}})
}

func (w *world) disconnect(ns sio.Namespace, closeSession bool) {
	w.hub.Execute(&sio.Disconnect{Target: sio.Target{Namespace: ns}, CloseSession: closeSession})
}

// sockets counts those that the hub knows in a namespace.
func (w *world) sockets(ns sio.Namespace) int {
	return w.hub.Apply(&sio.Leave{Target: sio.Target{Namespace: ns}, Rooms: []sio.Room{"nobody"}})
}

// client finds the only session's client.
func (w *world) socketOf(ns sio.Namespace) *Socket {
	w.t.Helper()
	calls := w.service.of(ns)
	if len(calls) == 0 {
		w.t.Fatal("the service has met no socket")
	}
	return calls[0].socket.(*Socket)
}

func (w *world) breaches(cause string) float64 {
	return value(w.metrics.Violations.With(cause))
}

func value(c prometheus.Collector) float64 { return testutil.ToFloat64(c) }

// call is one dispatch as the service got it.
type call struct {
	id        sio.DispatchID
	kind      dispatch.Kind
	socket    dispatch.Socket
	event     sio.Event
	reason    sio.Reason
	room      sio.RoomEvent
	rooms     []sio.Room
	wantsAck  bool
	introduce bool
}

// service is an instance in the same process. Its handlers run one after another, in order.
type service struct {
	t          testing.TB
	handle     func(call) *sio.Result
	attachment *dispatch.Attachment
	wake       chan struct{}
	ended      chan struct{}
	// held while results are handed in: an attachment takes them from one goroutine at a time
	results sync.Mutex

	mu    sync.Mutex // guards the fields below
	queue []call
	seen  []call
}

func newService(t testing.TB, handle func(call) *sio.Result) *service {
	return &service{t: t, handle: handle, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (s *service) attach(d *dispatch.Dispatcher, reg *sio.Register) {
	a, err := d.Attach(reg, s, dispatch.Local)
	if err != nil {
		s.t.Fatal(err)
	}
	s.attachment = a
	go s.run() // ends in stop
}

func (s *service) stop() {
	if s.attachment == nil {
		return
	}
	close(s.wake)
	<-s.ended
	s.attachment.Detach()
}

// Release implements dispatch.Instance.
func (s *service) Release(sio.SocketID) {}

// Queue implements dispatch.Instance.
func (s *service) Queue(d *dispatch.Dispatch) {
	c := call{id: d.ID, kind: d.Kind, socket: d.Socket, reason: d.Reason, wantsAck: d.WantsAck, introduce: d.Introduce, room: d.RoomEvent, rooms: d.Rooms}
	if d.Event != nil {
		c.event = *d.Event
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, c)
	s.seen = append(s.seen, c)
}

// Flush implements dispatch.Instance.
func (s *service) Flush() {
	defer func() { recover() }() // the service was stopped
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *service) run() {
	defer close(s.ended)
	for range s.wake {
		for {
			s.mu.Lock()
			queue := s.queue
			s.queue = nil
			s.mu.Unlock()
			if len(queue) == 0 {
				break
			}
			for _, c := range queue {
				if result := s.handle(c); result != nil {
					s.resolve(c, *result)
				}
			}
		}
	}
}

func (s *service) resolve(c call, r sio.Result) {
	s.results.Lock()
	defer s.results.Unlock()
	if err := s.attachment.Resolve(c.id, r); err != nil {
		s.t.Errorf("resolve: %v", err)
	}
	s.attachment.Flush()
}

// late resolves a dispatch that may not be open any more.
func (s *service) late(c call, r sio.Result) {
	s.results.Lock()
	defer s.results.Unlock()
	s.attachment.Resolve(c.id, r)
	s.attachment.Flush()
}

// calls gives all dispatches so far of a kind.
func (s *service) calls(kind dispatch.Kind) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []call
	for _, c := range s.seen {
		if c.kind == kind {
			found = append(found, c)
		}
	}
	return found
}

// of gives all dispatches so far of a namespace.
func (s *service) of(ns sio.Namespace) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.seen), func(c call) bool { return c.socket.Namespace() != ns })
}

// names gives the names of all events so far.
func (s *service) names() []string {
	var names []string
	for _, c := range s.calls(dispatch.Event) {
		names = append(names, c.event.Name)
	}
	return names
}

// reasons gives the reasons of all disconnects so far.
func (s *service) reasons() []sio.Reason {
	var reasons []sio.Reason
	for _, c := range s.calls(dispatch.Disconnected) {
		reasons = append(reasons, c.reason)
	}
	return reasons
}

// echo accepts every connect and answers every event with its arguments.
func echo(c call) *sio.Result {
	if c.kind == dispatch.Event && c.wantsAck {
		return &sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: c.event.Args, Attachments: c.event.Attachments}}
	}
	return &sio.Result{Outcome: sio.Handled}
}

// holdConnects keeps connects open and treats the rest as echo.
func holdConnects(s *setup) {
	s.handle = func(c call) *sio.Result {
		if c.kind == dispatch.Connect {
			return nil
		}
		return echo(c)
	}
}

// heldConnect waits for the connect that the service has not answered.
func (w *world) heldConnect() call {
	w.t.Helper()
	synctest.Wait()
	calls := w.service.calls(dispatch.Connect)
	if len(calls) == 0 {
		w.t.Fatal("no connect came")
	}
	return calls[len(calls)-1]
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// moment is long enough, in faked time, for all that is not waited for.
const moment = 100 * time.Millisecond
