// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane/memory"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// world checks the rules of dispatching between replicas, while sockets of both emit, instances
// attach to one replica or to both, stall, drain and die, and the backplane loses envelopes and
// refuses them, all at random.
//
// For each socket: its events are given in order, none is left out; one that is given again carries
// another mark than any time before; each has one ack in the end. When instances leave by draining
// only, nothing is given again. What a replica took back from another may still be worked on there,
// as on an instance whose stream broke.
type world struct {
	t           *testing.T
	nodes       []*node
	dispatchers []*dispatch.Dispatcher
	metrics     []*metrics.Dispatch
	quiet       bool          // nothing is lost, and instances drain before they leave
	ended       chan struct{} // closed when all sockets have all their acks

	mu     sync.Mutex             // guards what follows
	given  map[sio.SocketID]int   // the highest number given
	marks  map[mark]bool          // all that was given
	again  int                    // events given again
	remote int                    // events given to instances that their replica has not
	homes  map[sio.SocketID]*node // where each socket lives
}

// mark tells one handing out from all others.
type mark struct {
	id           sio.DispatchID
	redeliveries int
}

// served is one stream of an instance: to one replica. It implements dispatch.Instance.
type served struct {
	w          *world
	at         *node
	rng        *rand.Rand
	attachment *dispatch.Attachment

	mu   sync.Mutex // guards what follows
	todo []handed
}

// Release implements dispatch.Instance.
func (s *served) Release(sio.SocketID) {}

// Queue implements dispatch.Instance.
func (s *served) Queue(d *dispatch.Dispatch) {
	s.mu.Lock()
	s.todo = append(s.todo, handed{d.ID, "[]"})
	s.mu.Unlock()
	if d.Kind != dispatch.Event {
		return
	}
	n, _ := strconv.Atoi(string(d.Event.Args))
	id, w := d.Socket.ID(), s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.homes[id] != s.at {
		w.remote++
	}
	if m := (mark{d.ID, d.Redeliveries}); w.marks[m] {
		w.t.Errorf("socket %s: %d is given again with the same mark %d", id, n, d.Redeliveries)
	} else {
		w.marks[m] = true
	}
	switch last := w.given[id]; {
	case n > last+1:
		w.t.Errorf("socket %s: %d is given after %d", id, n, last)
	case n <= last:
		w.again++
	default:
		w.given[id] = n
	}
}

// Flush implements dispatch.Instance.
func (s *served) Flush() {}

// work answers some of what is open, the oldest first, and sometimes thinks for long.
func (s *served) work() {
	pause := time.Duration(s.rng.IntN(20)) * time.Millisecond
	if s.rng.IntN(100) == 0 {
		pause = 15 * time.Second
	}
	time.Sleep(pause)
	s.mu.Lock()
	n := s.rng.IntN(len(s.todo) + 1)
	batch := s.todo[:n]
	s.todo = s.todo[n:]
	s.mu.Unlock()
	for _, x := range batch {
		// it may be elsewhere by now
		_ = s.attachment.Resolve(x.id, sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: []byte(x.answer)}})
	}
	s.attachment.Flush()
}

// live is the life of an instance that is restarted again and again, until all is done.
func (w *world) live(k int, rng *rand.Rand) {
	for !w.isOver() {
		var streams []*served
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		for i, at := range w.nodes {
			if where := rng.IntN(3); where != 2 && where != i && k != 0 || k == 0 && i != 1 {
				// the first instance is always at the second replica, the others at one or at both
				continue
			}
			s := &served{w: w, at: at, rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
			a, err := w.dispatchers[i].Attach(&sio.Register{
				Service: "s", Instance: sio.InstanceID(fmt.Sprint("i", k)), Window: 1 + rng.IntN(8),
				Namespaces: []sio.Registration{{Namespace: "/", CatchAll: true, Connect: true, Disconnect: true}},
			}, s, dispatch.Local)
			if err != nil {
				w.t.Error(err)
				continue
			}
			s.attachment = a
			streams = append(streams, s)
			running.Go(func() { // until its life ends
				for ctx.Err() == nil {
					s.work()
				}
			})
		}
		time.Sleep(time.Duration(rng.IntN(8000)) * time.Millisecond)
		if w.quiet || rng.IntN(2) == 0 {
			for _, s := range streams {
				s.attachment.Drain()
			}
			for _, s := range streams {
				select {
				case <-s.attachment.Drain():
				case <-time.After(10 * time.Minute):
				}
			}
			time.Sleep(time.Second) // the other replica has its last results
		}
		cancel()
		running.Wait()
		for _, s := range streams {
			s.attachment.Detach()
		}
		time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
	}
}

func (w *world) isOver() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// spoil makes the backplane lose and refuse envelopes for a while.
func (w *world) spoil(rng *rand.Rand) {
	for range 20 {
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
		link := w.nodes[rng.IntN(2)].link
		if rng.IntN(3) == 0 {
			link.set(func(f *faulty) { f.refuse = true })
			time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
			link.set(func(f *faulty) { f.refuse = false })
			continue
		}
		link.set(func(f *faulty) { f.lose = 1 + rng.IntN(3) })
	}
}

const modelEvents = 60

// browse is the life of a socket; it ends when all its events have their acks.
func (w *world) browse(i int, rng *rand.Rand) {
	socket := &browser{id: sio.NewSocketID(w.nodes[i].id)}
	w.mu.Lock()
	w.homes[socket.id] = w.nodes[i]
	w.mu.Unlock()
	decided := make(chan dispatch.Decision, 1)
	binding := w.dispatchers[i].ConnectAfter(nil, socket, func(d dispatch.Decision) { decided <- d })
	if d := <-decided; d.Kind != dispatch.Accepted {
		w.t.Errorf("socket %s: %+v", socket.id, d)
		return
	}
	for n := 1; n <= modelEvents; n++ {
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		if err := binding.Dispatch(context.Background(), &sio.Event{Name: "e", Args: []byte(strconv.Itoa(n))}, sio.AckID(n), true); err != nil {
			w.t.Error(err)
		}
	}
	for len(socket.seen()) < modelEvents {
		time.Sleep(time.Second)
	}
	acks := map[string]int{}
	for _, ack := range socket.seen() {
		acks[ack]++
	}
	if len(acks) != modelEvents {
		w.t.Errorf("socket %s has acks twice: %v", socket.id, acks)
	}
	binding.Disconnect(sio.ReasonTransportClose)
}

func runModel(t *testing.T, seed uint64) (again, remote int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	w := &world{t: t, quiet: seed%4 == 0, ended: make(chan struct{}), given: map[sio.SocketID]int{}, marks: map[mark]bool{}, homes: map[sio.SocketID]*node{}}
	bus := memory.NewBus(memory.DefaultPending)
	for range 2 {
		m := metrics.NewDispatch(nil)
		d := dispatch.New(dispatch.Options{HandlerTimeout: -1, ConnectHold: time.Hour, HoldTimeout: -1, QueueEvents: 1 + rng.IntN(10),
			MaxRedeliveries: 1000}, m, slog.New(slog.DiscardHandler))
		w.dispatchers, w.metrics = append(w.dispatchers, d), append(w.metrics, m)
		w.nodes = append(w.nodes, newNodeWith(t, bus.New(metrics.NewBackplane(nil)), ForDispatcher(d)))
	}
	know(t, w.nodes[0], 2)
	var instances, sockets sync.WaitGroup
	for k := range 3 {
		instances.Go(func() { w.live(k, rand.New(rand.NewPCG(seed, uint64(10+k)))) })
	}
	for n := range 8 {
		sockets.Go(func() { w.browse(n%2, rand.New(rand.NewPCG(seed, uint64(100+n)))) })
	}
	if !w.quiet {
		w.spoil(rng)
	}
	sockets.Wait()
	close(w.ended)
	instances.Wait()
	w.check()
	return w.again, w.remote
}

func (w *world) check() {
	if w.quiet && w.again > 0 {
		w.t.Errorf("%d were given again", w.again)
	}
	for i, m := range w.metrics {
		left := map[string]float64{"open": testutil.ToFloat64(m.Open), "waiting for a share": testutil.ToFloat64(m.WaitingShare), "waiting for a window": testutil.ToFloat64(m.WaitingWindow)}
		for what, n := range left {
			if n != 0 {
				w.t.Errorf("replica %d: %v are left %s", i, n, what)
			}
		}
		if n := testutil.ToFloat64(m.DroppedPoison); n != 0 {
			w.t.Errorf("replica %d: %v were set aside", i, n)
		}
	}
}

// Whatever happens, every event is handled in order, at least once, and answered once, wherever its
// instance is.
func TestMesh_Model(t *testing.T) {
	again, remote := 0, 0
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, r := runModel(t, seed)
				again, remote = again+a, remote+r
			})
		})
	}
	t.Logf("%d events were given to instances of the other replica, %d were given again", remote, again)
	if remote == 0 || again == 0 {
		t.Error("the backplane was not used, or nothing was given again: the schedules test nothing")
	}
}
