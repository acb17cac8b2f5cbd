// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// An event goes to all services that registered it by name, else to those that take all; the first
// ack counts.
func TestBinding_Dispatch_routes(t *testing.T) {
	named := func(events ...string) func(*sio.Register) {
		return func(r *sio.Register) { r.Namespaces[0] = sio.Registration{Namespace: "/", Events: events} }
	}
	f := newFixture(t, Options{})
	one, two, rest := f.attach("one", "1", named("a", "b")), f.attach("two", "2", named("b")), f.attach("rest", "3", nil)
	s := f.connect("s")
	for _, name := range []string{"a", "b", "c"} {
		s.emit(t, name, 7)
	}
	same(t, "one", one.names(), "s:event a", "s:event b")
	same(t, "two", two.names(), "s:event b")
	same(t, "rest", rest.names(), "s:event c")
	two.resolve(t, 0, answered(`["two"]`))
	one.resolve(t, 1, answered(`["one"]`))
	same(t, "acks", s.got(), `7 ["two"]`)
	if one.list[1].ID == two.list[0].ID {
		t.Error("two dispatches share an id")
	}
	one.a.Detach()
	two.a.Detach()
	s.emit(t, "a", 8)
	same(t, "rest after the others left", rest.names(), "s:event c")
	if f.attach("none", "4", named("x")); f.connectTo("/", "t") == nil {
		t.Fatal()
	}
}

// An event that nobody registered for is counted and never acked.
func TestBinding_Dispatch_unhandled(t *testing.T) {
	f := newFixture(t, Options{})
	i := f.attach("one", "1", func(r *sio.Register) { r.Namespaces[0].CatchAll = false })
	s := f.connect("s")
	for n := range 3000 {
		s.emit(t, fmt.Sprint("event", n), 1)
	}
	same(t, "given", i.names())
	if got := value(f.m.Unhandled); got != 3000 {
		t.Errorf("counted %d", got)
	}
	if n := len(f.unhandled.names); n > maxUnhandledNames {
		t.Errorf("%d names are remembered", n)
	}
}

// The window bounds what is open; those that wait have their turns, and each socket's order holds.
func TestAttachment_window(t *testing.T) {
	f := newFixture(t, Options{})
	i := f.attach("a", "1", func(r *sio.Register) { r.Window = 2 })
	a, b := f.connect("a"), f.connect("b")
	for n := range 2 * turnEvents {
		a.emit(t, fmt.Sprint("a", n), 1)
	}
	b.emit(t, "b0", 1)
	for n := 0; n < 2*turnEvents+1; n++ {
		if open := len(i.list) - n; open > 2 {
			t.Fatalf("%d are open", open)
		}
		i.resolve(t, n, sio.Result{})
	}
	var order []string
	seen := -1
	for n, d := range i.list {
		if d.Socket.ID() == "b" {
			seen = n
			continue
		}
		order = append(order, d.Event.Name)
	}
	for n, name := range order {
		if name != fmt.Sprint("a", n) {
			t.Fatalf("order %q", order)
		}
	}
	if seen > turnEvents+2 {
		t.Errorf("b waited for %d of a", seen)
	}
}

// A window in bytes holds large dispatches back, but never all.
func TestAttachment_windowBytes(t *testing.T) {
	f := newFixture(t, Options{WindowBytes: 1000, QueueBytes: 1 << 20})
	i := f.attach("a", "1", nil)
	s := f.connect("s")
	for range 3 {
		if err := s.binding.Dispatch(t.Context(), &sio.Event{Name: "x", Args: make([]byte, 2000)}, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		if len(i.list) != n+1 {
			t.Fatalf("%d are given after %d results", len(i.list), n)
		}
		i.resolve(t, n, sio.Result{})
	}
}

// Dispatch blocks while the socket's queue is full, and ends with room, with its context, or with
// the socket.
func TestBinding_Dispatch_blocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{QueueEvents: 2})
		i := f.attach("a", "1", func(r *sio.Register) { r.Window = 1 })
		s, other := f.connect("s"), f.connect("other")
		for range 3 {
			s.emit(t, "x", 1)
		}
		done := make(chan error, 1)
		dispatch := func(ctx context.Context) {
			go func() { done <- s.binding.Dispatch(ctx, &sio.Event{Name: "late"}, 1, false) }()
			synctest.Wait()
			if len(done) > 0 {
				t.Fatal("it does not block")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		dispatch(ctx)
		other.emit(t, "x", 1) // is not held up
		cancel()
		if err := <-done; sio.CodeOf(err) != sio.CodeDeadline || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		dispatch(t.Context())
		i.resolve(t, 0, sio.Result{})
		if err := <-done; err != nil {
			t.Errorf("with room: %v", err)
		}
		dispatch(t.Context())
		s.binding.Disconnect(sio.ReasonTransportClose)
		if err := <-done; sio.CodeOf(err) != sio.CodeClosed {
			t.Errorf("disconnected: %v", err)
		}
		i.a.Detach()
		time.Sleep(time.Hour)
	})
}

// A dispatch without a result is given up after the handler timeout, which frees the window; a late
// result is dropped.
func TestAttachment_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HandlerTimeout: 10 * time.Second})
		i := f.attach("a", "1", func(r *sio.Register) { r.Window = 1 })
		s := f.connect("s")
		s.emit(t, "slow", 1)
		time.Sleep(5 * time.Second)
		s.emit(t, "next", 2)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		same(t, "given", i.names(), "s:event slow", "s:event next")
		if err := i.a.Resolve(i.list[0].ID, answered(`[]`)); sio.CodeOf(err) != sio.CodeDeadline {
			t.Errorf("late result: %v", err)
		}
		time.Sleep(9 * time.Second)
		i.resolve(t, 1, answered(`[]`))
		same(t, "acks", s.got(), "2 []")
		if n := value(f.m.DroppedDeadline); n != 1 {
			t.Errorf("%d deadlines", n)
		}
		time.Sleep(time.Minute)
	})
}

// An instance that drains gets nothing new; a socket moves when its last dispatch there is
// resolved, so that its order holds.
func TestAttachment_Drain(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "1", nil)
	s, idle := f.connect("s"), f.connect("idle")
	s.emit(t, "1", 1)
	idle.emit(t, "1", 1)
	a.resolve(t, 1, sio.Result{})
	empty := a.a.Drain()
	b := f.attach("a", "2", nil)
	s.emit(t, "2", 2)
	idle.emit(t, "2", 2)
	same(t, "b", b.names(), "idle:event 2")
	select {
	case <-empty:
		t.Error("empty too early")
	default:
	}
	a.resolve(t, 0, sio.Result{})
	<-empty
	same(t, "b", b.names(), "idle:event 2", "s:event 2")
	same(t, "a", a.names(), "s:event 1", "idle:event 1")
	a.a.Detach()
	a.a.Detach()
}

// Under at most once what was open is dropped and counted, what waited is not.
func TestAttachment_Detach_atMostOnce(t *testing.T) {
	f := newFixture(t, Options{})
	once := func(r *sio.Register) { r.AtMostOnce, r.Window = true, 1; asking(r) }
	a := f.attach("a", "1", once)
	s := f.connect("s")
	a.resolve(t, 0, sio.Result{})
	s.emit(t, "1", 1)
	s.emit(t, "2", 2)
	a.a.Detach()
	b := f.attach("a", "2", once)
	same(t, "b", b.names(), "s:event 2")
	if n := value(f.m.DroppedAtMostOnce); n != 1 || b.last().Redeliveries != 0 {
		t.Errorf("%d dropped, last %+v", n, b.last())
	}
	b.resolve(t, 0, sio.Result{})
	lost := f.connect("lost")
	b.a.Detach()
	if lost.decision() != Refused {
		t.Errorf("decisions %+v", lost.decisions)
	}
}

// Events wait for a service that is away, but not without a limit.
func TestDispatcher_holdTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HoldTimeout: time.Minute, HoldSockets: 1})
		a := f.attach("a", "1", nil)
		s, gone, more := f.connect("s"), f.connect("gone"), f.connect("more")
		for _, x := range []*socket{s, gone, more} {
			x.emit(t, "1", 1)
		}
		a.a.Detach()
		gone.binding.Disconnect(sio.ReasonTransportClose) // beyond HoldSockets
		time.Sleep(50 * time.Second)
		s.emit(t, "2", 2)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		b := f.attach("a", "2", nil)
		same(t, "given", b.names(), "s:event 2")
		if n := value(f.m.DroppedHold); n != 4 {
			t.Errorf("%d dropped", n)
		}
		b.resolve(t, 0, answered("[]"))
		same(t, "acks", s.got(), "2 []")
		b.a.Detach()
		time.Sleep(time.Hour)
	})
}

// When the dispatcher has ended nothing happens by itself any more.
func TestDispatcher_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HoldTimeout: time.Minute})
		a := f.attach("a", "1", nil)
		s := f.connect("s")
		a.a.Detach()
		s.emit(t, "1", 1)
		f.Close()
		s.emit(t, "2", 2)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := value(f.m.DroppedHold); n != 0 {
			t.Errorf("%d dropped", n)
		}
	})
}

// The same instance attached again takes its own place; an id of another service is refused.
func TestDispatcher_Attach_conflicts(t *testing.T) {
	f := newFixture(t, Options{MaxServices: 2})
	older := f.attach("a", "1", nil)
	s := f.connect("s")
	s.emit(t, "1", 1)
	newer := f.attach("a", "1", nil)
	<-older.a.Done()
	same(t, "newer", newer.names(), "s:event 1")
	if older.a.Generation() >= newer.a.Generation() || len(f.Attached()) != 1 {
		t.Errorf("attached %+v", f.Attached())
	}
	if err := older.a.Resolve(older.list[0].ID, sio.Result{}); sio.CodeOf(err) != sio.CodeNotFound {
		t.Errorf("result of the older: %v", err)
	}
	if _, err := f.Attach(reg("b", "1", nil), &instance{}, Local); sio.CodeOf(err) != sio.CodeConflict {
		t.Errorf("another service: %v", err)
	}
	if _, err := f.Attach(reg("a", "1", nil), &instance{}, Remote); sio.CodeOf(err) != sio.CodeConflict {
		t.Errorf("remote: %v", err)
	}
	b := f.attach("b", "2", nil)
	if _, err := f.Attach(reg("c", "3", nil), &instance{}, Local); sio.CodeOf(err) != sio.CodeTooLarge {
		t.Errorf("too many services: %v", err)
	}
	b.a.Detach()
	f.attach("c", "3", nil)
	if got := f.attach("c", "4", func(r *sio.Register) { r.Window = 1 << 30 }).a.Window(); got != f.options.MaxWindow {
		t.Errorf("window %d", got)
	}
}

// Local instances come first; remote ones serve while there is none, and a local attach of the same
// id is never refused.
func TestDispatcher_Attach_remote(t *testing.T) {
	f := newFixture(t, Options{})
	far := &instance{}
	a, err := f.Attach(reg("a", "1", nil), far, Remote)
	if err != nil {
		t.Fatal(err)
	}
	far.a = a
	f.connect("s").emit(t, "1", 1)
	near := f.attach("a", "1", nil)
	f.connect("t").emit(t, "1", 1)
	same(t, "far", far.names(), "s:event 1")
	same(t, "near", near.names(), "t:event 1")
	a.Detach()
	same(t, "near", near.names(), "t:event 1", "s:event 1")
	if !near.last().Introduce || near.last().Redeliveries != 1 {
		t.Errorf("last %+v", near.last())
	}
}

// What another replica opened keeps its id, respects the window and order, and learns how it
// ended.
func TestDispatcher_DispatchRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{RemoteEvents: 2, HandlerTimeout: time.Minute})
		i := f.attach("a", "1", func(r *sio.Register) { r.Window = 1 })
		<-f.Changes()
		g := f.Attached()[0].Generation
		proxy := &socket{id: "far", ns: "/"}
		outcomes := map[sio.DispatchID][]sio.Outcome{}
		forward := func(id sio.DispatchID) error {
			return f.DispatchRemote("1", g, &Dispatch{ID: id, Socket: proxy, Kind: Event, Event: &sio.Event{Name: fmt.Sprint(id)}, Introduce: true, Redeliveries: 3},
				func(id sio.DispatchID, r sio.Result) { outcomes[id] = append(outcomes[id], r.Outcome) })
		}
		for id := sio.DispatchID(1); id <= 3; id++ {
			if err := forward(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := forward(1); err != nil { // open already
			t.Fatal(err)
		}
		if err := forward(4); sio.CodeOf(err) != sio.CodeTooLarge {
			t.Errorf("too many: %v", err)
		}
		f.FlushRemote("1")
		if i.flushes == 0 || !i.last().Introduce || i.last().Redeliveries != 3 {
			t.Errorf("last %+v", i.last())
		}
		f.connect("near").emit(t, "x", 1)
		i.resolve(t, 0, sio.Result{Outcome: sio.Refused})
		i.resolve(t, 1, sio.Result{})
		time.Sleep(time.Minute)
		synctest.Wait()
		// what a socket sent together stays together
		if fmt.Sprint(outcomes) != "map[1:[2] 2:[0] 3:[4]]" {
			t.Errorf("outcomes %v", outcomes)
		}
		i.a.Detach()
		if err := forward(5); sio.CodeOf(err) != sio.CodeNotFound {
			t.Errorf("after the detach: %v", err)
		}
		if n := len(outcomes[3]); n != 0 && outcomes[3][0] != sio.Abandoned {
			t.Errorf("outcomes %v", outcomes)
		}
		time.Sleep(time.Hour)
	})
}

// What cannot be sent is given up.
func TestAttachment_Abandon(t *testing.T) {
	f := newFixture(t, Options{})
	i := f.attach("a", "1", nil)
	f.connect("s").emit(t, "x", 1)
	i.a.Abandon(i.list[0].ID, "too large")
	i.a.Abandon(i.list[0].ID, "too large")
	if n := value(f.m.DroppedTooLarge); n != 1 || value(f.m.Open) != 0 {
		t.Errorf("%d dropped", n)
	}
}

// Sockets spread over the instances of a service.
func TestService_placement(t *testing.T) {
	f := newFixture(t, Options{})
	list := []*instance{f.attach("a", "1", nil), f.attach("a", "2", nil), f.attach("a", "3", nil)}
	for n := range 300 {
		f.connect(fmt.Sprint(n)).emit(t, "x", 1)
	}
	for _, i := range list {
		if n := len(i.list); n < 80 || n > 120 {
			t.Errorf("an instance has %d of 300", n)
		}
	}
}

type quietInstance struct{ ids []sio.DispatchID }

func (i *quietInstance) Queue(d *Dispatch)    { i.ids = append(i.ids, d.ID) }
func (i *quietInstance) Release(sio.SocketID) {}
func (i *quietInstance) Flush()               {}

type quietSocket struct{ socket }

func (s *quietSocket) Acknowledge(sio.AckID, sio.Ack) {}
func (s *quietSocket) Flush()                         {}

func newQuiet(t testing.TB, change func(*sio.Register)) (*Binding, *quietInstance, *Attachment) {
	f := newFixture(t, Options{HandlerTimeout: -1})
	i := &quietInstance{}
	a, err := f.Attach(reg("a", "1", change), i, Local)
	if err != nil {
		t.Fatal(err)
	}
	return f.ConnectAfter(nil, &quietSocket{socket{id: "s", ns: "/"}}, func(Decision) {}), i, a
}

// An event and its ack cost no allocation here, whether the namespace is registered by name, by
// pattern, or both.
func TestBinding_Dispatch_allocations(t *testing.T) {
	any := sio.Registration{Namespace: "/.*", Pattern: true, CatchAll: true}
	for name, change := range map[string]func(*sio.Register){
		"by name": nil, "by pattern": registering(any), "by both": registering(any, sio.Registration{Namespace: "/"}),
	} {
		b, i, a := newQuiet(t, change)
		got := testing.AllocsPerRun(1000, func() {
			b.Dispatch(context.Background(), &sio.Event{Name: "chat"}, 1, true)
			a.Resolve(i.ids[0], sio.Result{Outcome: sio.Answered})
			a.Flush()
			i.ids = i.ids[:0]
		})
		if got >= 1 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func BenchmarkBinding_Dispatch(bench *testing.B) {
	b, i, a := newQuiet(bench, nil)
	bench.ReportAllocs()
	for bench.Loop() {
		b.Dispatch(context.Background(), &sio.Event{Name: "chat"}, 1, true)
		a.Resolve(i.ids[0], sio.Result{Outcome: sio.Answered})
		a.Flush()
		i.ids = i.ids[:0]
	}
}
