// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// world checks the rules of dispatching while sockets emit and leave, and instances come, stall,
// drain and go, all at random.
//
// For each socket and service, whenever a dispatch is handed out: it is given to one instance at a
// time; what came before it is resolved, given up, or open on the same instance; within one
// attachment numbers only grow; the first on an attachment introduces. With ordered, a service
// hears of a connect when the one before it has accepted. With mixed, instances declare different
// events, and each gets only its own. Nothing takes more than its share of a window.
type world struct {
	t *testing.T
	f *fixture

	ordered bool // services are asked one after another, in the order of their names
	// the first instance of each service handles everything and stays, the others one event each,
	// and the rest when alone
	mixed      bool
	aside      bool // little is redelivered
	namespaces []sio.Namespace

	mu     sync.Mutex // guards what follows
	logs   map[string]*history
	failed bool
}

// history is what happened to one socket's dispatches for one service.
type history struct {
	sent     int          // events that were dispatched, numbered from 1
	settled  map[int]bool // resolved, or given up
	handled  map[int]int  // times that a number was resolved
	on       *worker      // where dispatches are open
	open     map[int]bool // numbers open there
	last     int          // the highest number handed out on this attachment
	met      map[*worker]bool
	knew     map[string]bool // the instances that met it on an attachment before
	gone     bool            // a disconnect was resolved
	notified int             // disconnects resolved
}

// worker is an instance that answers after a while. It implements Instance.
type worker struct {
	w       *world
	service string
	id      string
	window  int
	a       *Attachment
	rng     *rand.Rand
	once    bool
	events  []string // all that it declared; nil is everything
	dying   bool     // guarded by the world's mu

	mu   sync.Mutex // guards what follows
	todo []job
}

type job struct {
	id     sio.DispatchID
	socket sio.SocketID
	number int    // 0 is a connect, -1 a disconnect
	event  string // its name
}

func (w *world) fail(format string, args ...any) {
	if !w.failed {
		w.failed = true
		w.t.Errorf(format, args...)
	}
}

func (w *world) history(socket sio.SocketID, service string) *history {
	key := string(socket) + "/" + service
	h := w.logs[key]
	if h == nil {
		h = &history{settled: map[int]bool{}, handled: map[int]int{}, open: map[int]bool{}, met: map[*worker]bool{}, knew: map[string]bool{}}
		w.logs[key] = h
	}
	return h
}

// Release implements Instance.
func (x *worker) Release(id sio.SocketID) {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	h := x.w.history(id, x.service)
	if !h.met[x] && !h.knew[x.id] || h.on == x && len(h.open) > 0 {
		x.w.fail("socket %s is released where it is not, or where it has dispatches open", id)
	}
	delete(h.met, x)
	delete(h.knew, x.id)
}

// Queue implements Instance.
func (x *worker) Queue(d *Dispatch) {
	j := job{id: d.ID, socket: d.Socket.ID()}
	switch d.Kind {
	case Event:
		j.number, _ = strconv.Atoi(string(d.Event.Args))
		j.event = d.Event.Name
	case Disconnected:
		j.number = -1
	}
	x.mu.Lock()
	unfair := x.unfair(1, func(other job) bool { return other.socket == j.socket }) ||
		len(x.w.namespaces) == 1 && x.unfair(3, func(other job) bool { return other.event == j.event && min(other.number, 1) == min(j.number, 1) })
	n := len(x.todo) + 1
	x.mu.Unlock()
	x.note(&j, d.Introduce, n, unfair)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.todo = append(x.todo, j) // at last, since it may be answered from then on
}

// note writes a dispatch down that is handed out.
func (x *worker) note(j *job, introduce bool, n int, unfair bool) {
	w := x.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if unfair {
		w.fail("an event or a socket has more than its share of a window of %d: %s of %s", x.window, j.event, j.socket)
	}
	if j.event != "" && x.events != nil && !slices.Contains(x.events, j.event) {
		w.fail("an instance is given %s, and declared %q", j.event, x.events)
	}
	if n > x.window {
		w.fail("%d dispatches are open on a window of %d", n, x.window)
	}
	h := w.history(j.socket, x.service)
	if introduce == h.met[x] {
		w.fail("socket %s: introduced %v, met %v", j.socket, introduce, h.met[x])
	}
	h.met[x], h.knew[x.id] = true, true
	if before := w.history(j.socket, "a"); w.ordered && j.number == 0 && x.service != "a" && before.handled[0] < 1 {
		w.fail("socket %s: %s is asked before a has accepted", j.socket, x.service)
	}
	if h.on != x {
		if len(h.open) > 0 && !h.on.dying {
			w.fail("socket %s has dispatches open on two instances", j.socket)
		}
		for n := range h.open {
			h.settled[n] = h.settled[n] || x.once || w.aside // dropped then
		}
		h.on, h.last, h.open = x, 0, map[int]bool{}
	}
	if h.gone {
		w.fail("socket %s is given something after its disconnect", j.socket)
	}
	if j.number > 0 {
		if j.number <= h.last {
			w.fail("socket %s: %d is given after %d", j.socket, j.number, h.last)
		}
		h.last = j.number
	}
	for n := 1; j.number > 0 && n < j.number; n++ {
		if !h.settled[n] && !h.open[n] {
			w.fail("socket %s: %d is given before %d", j.socket, j.number, n)
		}
	}
	h.open[j.number] = true
}

// unfair tells whether those have as much of the window that they may not have more.
func (x *worker) unfair(part int, is func(job) bool) bool {
	open := 0
	for _, j := range x.todo {
		if is(j) {
			open++
		}
	}
	return open > 0 && open >= part*(x.window-len(x.todo))
}

// Flush implements Instance.
func (x *worker) Flush() {}

// run answers until the worker is dead: usually soon, each socket's in order, the sockets' in any.
func (x *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := time.Duration(x.rng.IntN(20)) * time.Millisecond
		if x.rng.IntN(50) == 0 {
			pause = 40 * time.Second // longer than the handler timeout
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		for range x.rng.IntN(8) {
			x.answer()
		}
		x.a.Flush()
	}
}

func (x *worker) answer() {
	x.mu.Lock()
	if len(x.todo) == 0 {
		x.mu.Unlock()
		return
	}
	i := x.rng.IntN(len(x.todo))
	for n, j := range x.todo { // the oldest of that socket
		if j.socket == x.todo[i].socket {
			i = n
			break
		}
	}
	j := x.todo[i]
	x.mu.Unlock()
	x.w.settle(x, j, true) // before, since Resolve may hand out what comes next
	x.drop(j.id)
	r := sio.Result{Outcome: sio.Outcome(x.rng.IntN(2))}
	if err := x.a.Resolve(j.id, r); err != nil {
		x.w.mu.Lock()
		h := x.w.history(j.socket, x.service)
		h.handled[j.number]-- // it was given up, or went elsewhere
		x.w.mu.Unlock()
	}
}

func (x *worker) drop(id sio.DispatchID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, j := range x.todo {
		if j.id == id {
			x.todo = append(x.todo[:i], x.todo[i+1:]...)
			return
		}
	}
}

func (w *world) settle(x *worker, j job, handled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history(j.socket, x.service)
	if h.on == x {
		delete(h.open, j.number)
	}
	h.settled[j.number] = true
	if handled {
		h.handled[j.number]++
	}
	if j.number < 0 {
		h.gone = true
	}
}

// Whatever happens, every event is handled in order, at least once or counted.
func TestDispatcher_model(t *testing.T) {
	moved := 0
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { moved += runModel(t, seed) })
		})
	}
	if moved < 100 {
		t.Errorf("%d idle sockets moved to other instances in all runs, too few to show anything", moved)
	}
}

const modelEvents = 40

var modelNames = []string{"x", "y", "z"}

func runModel(t *testing.T, seed uint64) (moved int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	o := Options{QueueEvents: 1 + rng.IntN(10), HandlerTimeout: -1, ConnectHold: time.Hour, HoldTimeout: -1, MaxRedeliveries: 100}
	if seed%5 == 0 {
		o.MaxRedeliveries = 1
	}
	if seed%3 != 1 {
		o.RebalanceRate, o.RebalanceRatio = 1000, 100
	}
	w := &world{t: t, f: newFixture(t, o), logs: map[string]*history{}, namespaces: []sio.Namespace{"/"},
		ordered: seed%2 == 0, mixed: seed%7 == 1, aside: seed%5 == 0}
	w.f.balanceDelay = 5 * time.Millisecond
	if seed%4 > 1 {
		w.namespaces = []sio.Namespace{"/", "/d1", "/d2", "/d3"}
	}
	services := []string{"a", "b"}
	var actors sync.WaitGroup
	for n := range 12 {
		actors.Go(func() { w.browse(fmt.Sprint("s", n), services, rand.New(rand.NewPCG(seed, uint64(100+n)))) })
	}
	for n, s := range services {
		once := n == 1 && seed%3 == 0
		for k := range 3 {
			actors.Go(func() { w.live(s, k, once, rand.New(rand.NewPCG(seed, uint64(200+10*n+k)))) })
		}
	}
	actors.Wait()
	w.check(services, seed)
	same(t, "left of namespaces", []string{w.f.left()}, nothingLeft)
	w.f.Close()
	return value(w.f.m.Rebalanced)
}

// declares gives what an instance of the service declares: all namespaces by one pattern, or by one
// and by name.
func (w *world) declares(x *worker) (all []sio.Registration) {
	service := x.service
	r := sio.Registration{Namespace: "/", CatchAll: x.events == nil, Events: x.events, Connect: true, Disconnect: true}
	if w.ordered {
		r.ConnectOrder = int(service[0])
	}
	if len(w.namespaces) == 1 {
		return []sio.Registration{r}
	}
	pattern := r
	pattern.Namespace, pattern.Pattern = `/(d\d+)?`, true
	all = append(all, pattern)
	if service == "b" {
		r.ConnectOrder++ // the earlier counts
		all = append(all, r)
	}
	return all
}

// browse is the life of a socket.
func (w *world) browse(id string, services []string, rng *rand.Rand) {
	// both services have been known since
	time.Sleep(time.Duration(400+rng.IntN(400)) * time.Millisecond)
	decided := make(chan Decision, 1)
	s := &socket{id: sio.SocketID(id), ns: w.namespaces[rng.IntN(len(w.namespaces))]}
	s.binding = w.f.ConnectAfter(nil, s, func(d Decision) { decided <- d })
	if d := <-decided; d.Kind != Accepted {
		return // its connect was open on an instance that wants things at most once
	}
	for n := 1; n <= modelEvents; n++ {
		time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		w.mu.Lock()
		for _, service := range services {
			w.history(s.id, service).sent = n
		}
		w.mu.Unlock()
		if err := s.binding.Dispatch(context.Background(), &sio.Event{Name: modelNames[rng.IntN(len(modelNames))], Args: []byte(strconv.Itoa(n))}, 1, true); err != nil {
			w.t.Error(err)
		}
	}
	s.binding.Disconnect(sio.ReasonTransportClose)
}

// live is the life of an instance that is restarted a few times; the last time it stays until all
// is done.
func (w *world) live(service string, k int, once bool, rng *rand.Rand) {
	lives := 6
	if w.mixed && k == 0 {
		lives = 1
	}
	for life := range lives {
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		x := &worker{w: w, service: service, id: fmt.Sprintf("%s-%d", service, k), window: 1 + rng.IntN(6), once: once,
			rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
		if w.mixed && k == 0 {
			x.events = modelNames
		} else if w.mixed {
			x.events = modelNames[k : k+1]
		}
		a, err := w.f.Attach(reg(service, x.id, func(r *sio.Register) {
			r.Window, r.AtMostOnce, r.Namespaces = x.window, once, w.declares(x)
		}), x, Local)
		if err != nil {
			w.t.Error(err)
			return
		}
		x.a = a
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { x.run(ctx) })
		switch {
		case life == lives-1:
			time.Sleep(time.Second) // the sockets have begun
			for value(w.f.m.Open)+value(w.f.m.Queued)+value(w.f.m.Held) > 0 || !w.done() {
				time.Sleep(time.Second)
			}
		case rng.IntN(2) == 0:
			time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
			<-a.Drain()
		default:
			time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		}
		cancel()
		running.Wait()
		w.mu.Lock()
		x.dying = true // what is open on it may be given elsewhere from now on
		w.mu.Unlock()
		x.a.Detach()
	}
}

// done tells whether every socket has sent all it will.
func (w *world) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.logs {
		if h.sent > 0 && h.sent < modelEvents {
			return false
		}
	}
	return true
}

func (w *world) check(services []string, seed uint64) {
	dropped := value(w.f.m.DroppedAtMostOnce) + value(w.f.m.DroppedPoison)
	missing := 0
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, h := range w.logs {
		for n := 1; n <= h.sent; n++ {
			switch {
			case h.handled[n] > 1:
				w.t.Errorf("%s: %d was resolved %d times", key, n, h.handled[n])
			case h.handled[n] <= 0:
				missing++
			}
		}
		if h.sent > 0 && !h.gone {
			missing++
		}
	}
	if missing > dropped {
		w.t.Errorf("%d dispatches were lost, and %d counted as dropped", missing, dropped)
	}
	if dropped > 0 && seed%3 != 0 && !w.aside {
		w.t.Errorf("%d dispatches were dropped", dropped)
	}
}
