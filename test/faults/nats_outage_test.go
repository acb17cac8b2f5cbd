// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	spanwire "github.com/spanwire/spanwire/sdk/go"
	"github.com/spanwire/spanwire/test/process"
)

// tied are replicas that share a NATS which is none of theirs, and can be killed.
type tied struct {
	t       *testing.T
	address string // of NATS
	nats    *process.Broker
	all     []*process.Broker
	clients []spanwirev1.EmitterServiceClient
}

// newTied starts NATS and n replicas with the flags, with a service that takes every socket.
func newTied(t *testing.T, n int, flags ...string) *tied {
	t.Helper()
	c := &tied{t: t}
	var err error
	if c.address, err = process.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	c.startNATS()
	t.Cleanup(func() {
		if t.Failed() {
			for _, b := range c.all {
				text := b.Log()
				t.Logf("--- %s (the end of %d bytes)\n%s", b.Name, len(text), text[max(0, len(text)-6000):])
			}
		}
	})
	for i := range n {
		b := c.start(string(rune('A'+i)), append([]string{"--nats-url", "nats://" + c.address}, flags...)...)
		c.all = append(c.all, b)
		conn, err := grpc.NewClient(b.Services, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		c.clients = append(c.clients, spanwirev1.NewEmitterServiceClient(conn))
	}
	for _, b := range c.all {
		await(t, b.Name+" knows the others", func() bool { return metric(t, b, "spanwire_mesh_peers") == n-1 })
	}
	return c
}

func (c *tied) start(name string, flags ...string) *process.Broker {
	c.t.Helper()
	b, err := process.StartBroker(built.broker, name, flags...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(b.Kill)
	return b
}

// startNATS starts a server at the address: that of a broker which belongs to no cluster of the
// test.
func (c *tied) startNATS() {
	c.t.Helper()
	c.nats = c.start("nats", "--nats-listen", c.address, "--cluster", "nobody")
}

// serve attaches a service to all replicas.
func (c *tied) serve() {
	c.t.Helper()
	svc := spanwire.NewService("tied", spanwire.Options{Address: c.all[0].Services})
	svc.On("nothing", func(context.Context, *spanwire.Event) error { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		_ = svc.Run(ctx)
	}()
	c.t.Cleanup(func() { cancel(); <-ended })
	for _, b := range c.all {
		await(c.t, "the service is at "+b.Name, func() bool {
			return metric(c.t, b, "spanwire_bridge_streams_total", `outcome="attached"`) == 1
		})
	}
}

func metric(t *testing.T, b *process.Broker, name string, labels ...string) int {
	t.Helper()
	v, err := b.Metric(name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	return int(v)
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for: %s", limit, what)
		}
	}
}

// emitted is the outcome of one emit.
type emitted struct {
	number   int
	from     int // the replica that took it
	at       time.Time
	ok       bool // answered as delivered, with nothing that may be missing
	answered bool
}

// emitters emit numbers, each replica's in turn, until stop.
type emitters struct {
	c    *tied
	quit chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex // guards all
	all  []emitted
	next int
}

// emit has replicas emit to everyone, so many per second all together.
func (c *tied) emit(perSecond int) *emitters {
	e := &emitters{c: c, quit: make(chan struct{})}
	e.done.Go(func() { // ended by stop
		ticks := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticks.Stop()
		for i := 0; ; i++ {
			select {
			case <-e.quit:
				return
			case <-ticks.C:
				e.one(i % len(c.clients))
			}
		}
	})
	c.t.Cleanup(func() { e.stop() })
	return e
}

func (e *emitters) one(from int) {
	e.mu.Lock()
	x := emitted{number: e.next, from: from, at: time.Now()}
	e.next++
	e.mu.Unlock()
	x.ok, x.answered = e.c.say(from, x.number)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

// say emits one number, and tells whether the answer leaves nothing open.
func (c *tied) say(from, number int) (ok, answered bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := []byte("[" + itoa(number) + "]")
	r, err := c.clients[from].Emit(ctx, &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "n", Args: args},
	}})
	return err == nil && r.GetFault() == nil && len(r.GetSilentReplicas()) == 0, err == nil
}

// stop ends the emits, and gives them.
func (e *emitters) stop() []emitted {
	select {
	case <-e.quit:
	default:
		close(e.quit)
	}
	e.done.Wait()
	return e.all
}

// count tells how many emits answered so, since the beginning.
func (e *emitters) count(ok bool) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if x.answered && x.ok == ok {
			n++
		}
	}
	return n
}

// certain waits until each replica answers in a row that all is well.
func (e *emitters) certain() {
	e.c.t.Helper()
	await(e.c.t, "every replica answers that all others are reached", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		row := 4 * len(e.c.clients)
		if len(e.all) < row {
			return false
		}
		return !slices.ContainsFunc(e.all[len(e.all)-row:], func(x emitted) bool { return !x.ok })
	})
}

// numbersOf gives the numbers of the emits that fit.
func numbersOf(all []emitted, fits func(emitted) bool) (numbers []int) {
	for _, x := range all {
		if fits(x) {
			numbers = append(numbers, x.number)
		}
	}
	return numbers
}

// NATS is away for 10 s under broadcasts of all three replicas. An emit that is answered as
// delivered reaches every page; one that may not is answered as a partial delivery. A client that
// comes back is answered that it recovered only when it has everything, whether it was there all
// the time or was away.
func TestO06_NATSAway(t *testing.T) {
	t.Parallel()
	c := newTied(t, 3, "--recovery", "5m")
	c.serve()
	const each = 4
	var there, away, early []*visitor
	for _, b := range c.all {
		for range each {
			there, away, early = append(there, visit(t, b.HTTP)), append(away, visit(t, b.HTTP)), append(early, visit(t, b.HTTP))
		}
	}
	e := c.emit(20)
	e.certain()
	for i, p := range early {
		if !p.back(t) {
			t.Errorf("page %d did not recover although nothing happened", i)
		}
	}
	before := e.count(true)
	await(t, "more emits", func() bool { return e.count(true) > before+20 })

	killed := time.Now()
	c.nats.Kill()
	for _, p := range away {
		p.cut()
	}
	await(t, "emits are answered as partial", func() bool { return e.count(false) > 0 })
	time.Sleep(outage())
	for i, p := range early { // within the outage nobody can tell
		if p.back(t) {
			t.Errorf("page %d recovered while nobody could tell what it had missed", i)
		}
	}
	c.startNATS()
	e.certain()
	all := e.stop()
	everything := numbersOf(all, func(emitted) bool { return true })
	// What was on its way in the very moment of the kill may have been answered before anyone could
	// notice.
	certain := numbersOf(all, func(x emitted) bool {
		return x.ok && (x.at.Before(killed.Add(-250*time.Millisecond)) || x.at.After(killed.Add(250*time.Millisecond)))
	})
	await(t, "the last emits have come", func() bool {
		return !slices.ContainsFunc(there, func(p *visitor) bool { return p.misses(certain) > 0 })
	})
	vouched, holes := 0, 0
	for _, p := range append(slices.Clone(there), away...) {
		missing := p.misses(everything)
		if p.back(t) {
			vouched++
			if p.misses(everything) > 0 {
				holes++
			}
		} else if missing == 0 {
			t.Log("a page that missed nothing was answered that it did not recover")
		}
	}
	partial := e.count(false)
	t.Logf("%d emits, %d answered as partial; %d of %d pages recovered", len(all), partial, vouched, len(there)+len(away))
	if holes > 0 {
		t.Errorf("%d pages were answered that they recovered, over holes", holes)
	}
	if partial == 0 || partial > len(all)*9/10 {
		t.Errorf("%d of %d emits were answered as partial", partial, len(all))
	}
	for _, b := range c.all {
		if metric(t, b, "spanwire_edge_recoveries_total", `outcome="backplane_gap"`) == 0 {
			t.Errorf("%s counts no recovery that failed over a gap", b.Name)
		}
	}
	// From now on all is as before.
	for i, p := range append(slices.Clone(there), away...) {
		if !p.back(t) {
			t.Errorf("page %d did not recover long after the gap", i)
		}
	}
}

// outage is how long NATS is away.
func outage() time.Duration {
	if testing.Short() {
		return 3 * time.Second
	}
	return 10 * time.Second
}
