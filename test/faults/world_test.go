// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/loadgen"
	"github.com/spanwire/spanwire/test/process"
)

// place says what a test runs on.
type place struct {
	backplane bool   // browsers at one replica, instances at another
	language  string // of the handlers: go or python
}

// everywhere runs a test on both paths with handlers of each language. Tests wait most of their
// time, so that a few run at once.
func everywhere(t *testing.T, test func(t *testing.T, p place), languages ...string) {
	for _, language := range languages {
		for _, p := range []place{{backplane: false, language: language}, {backplane: true, language: language}} {
			path := "direct"
			if p.backplane {
				path = "backplane"
			}
			t.Run(path+"/"+language, func(t *testing.T) {
				t.Parallel()
				test(t, p)
			})
		}
	}
}

// world is one or two replicas with their handlers.
type world struct {
	t     *testing.T
	place place
	// front is where browsers connect, back where instances attach; on the direct path both are one
	// replica.
	front, back *process.Broker
	folder      string
	instances   []*instance
	loads       []*load
	browsers    int // of all loads
	poison      int // events that the broker is to set aside
}

// instance is a handler process.
type instance struct {
	*process.Process
	book string // the file with what it handled
}

// newWorld starts the replicas, each with the flags.
func newWorld(t *testing.T, p place, flags ...string) *world {
	t.Helper()
	return newWorldOn(t, p, "127.0.0.1", flags...)
}

// newWorldOn is newWorld with a service listener at another address.
func newWorldOn(t *testing.T, p place, host string, flags ...string) *world {
	t.Helper()
	w := &world{t: t, place: p, folder: t.TempDir()}
	t.Cleanup(w.tell)
	if host != "127.0.0.1" {
		flags = append([]string{"--insecure-services"}, flags...)
	}
	if !p.backplane {
		w.front = w.broker("broker", host, flags...)
		w.back = w.front
		return w
	}
	nats, nowhere := w.freeAddress(), w.freeAddress()
	// Instances learn of the front, but cannot reach it.
	w.front = w.broker("front", host, append([]string{"--nats-listen", nats, "--advertise-address", nowhere}, flags...)...)
	w.back = w.broker("back", host, append([]string{"--nats-url", "nats://" + nats}, flags...)...)
	for _, b := range []*process.Broker{w.front, w.back} {
		w.await(b, 1, "spanwire_mesh_peers")
	}
	return w
}

func (w *world) freeAddress() string {
	w.t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		w.t.Fatal(err)
	}
	return address
}

func (w *world) broker(name, host string, flags ...string) *process.Broker {
	w.t.Helper()
	b, err := process.StartBrokerOn(built.broker, name, host, flags...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Kill)
	return b
}

// start starts an instance, with more environment if wanted, and waits until it is attached.
func (w *world) start(env ...string) *instance {
	w.t.Helper()
	return w.startIn(nil, env...)
}

// startIn is start by way of another command.
func (w *world) startIn(prefix []string, env ...string) *instance {
	w.t.Helper()
	name := fmt.Sprintf("instance-%d", len(w.instances))
	i := &instance{book: filepath.Join(w.folder, name+".book")}
	command := []string{built.handler}
	if w.place.language == "python" {
		command = []string{built.python, filepath.Join(built.repository, "test/faults/handler/handler.py")}
	}
	env = append([]string{
		"SPANWIRE_ADDRESS=" + w.back.Services, "LOG=" + i.book, "PYTHONPATH=" + filepath.Join(built.repository, "sdk/python/src"),
	}, env...)
	var err error
	if i.Process, err = process.Start(name, "", env, append(slices.Clone(prefix), command...)...); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(i.Kill)
	w.instances = append(w.instances, i)
	if err := i.WaitFor("attached\n", limit); err != nil {
		w.t.Fatal(err)
	}
	return i
}

// signal sends a signal to an instance.
func (w *world) signal(i *instance, s syscall.Signal) {
	w.t.Helper()
	if err := i.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

// metric reads a metric of a replica.
func (w *world) metric(b *process.Broker, name string, labels ...string) int {
	w.t.Helper()
	v, err := b.Metric(name, labels...)
	if err != nil {
		w.t.Fatal(err)
	}
	return int(v)
}

// await waits until a metric of a replica has a value.
func (w *world) await(b *process.Broker, value int, name string, labels ...string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s%v of %s to be %d", name, labels, b.Name, value), func() bool { return w.metric(b, name, labels...) == value })
}

// until waits for a condition.
func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

// serving waits until the browsers' replica knows a number of instances.
func (w *world) serving(instances int) {
	w.t.Helper()
	w.await(w.front, instances, "spanwire_dispatch_instances")
}

// load is a number of browsers that emit numbered events.
type load struct {
	*loadgen.Numbering
	fleet *loadgen.Fleet
	w     *world
}

// connect connects browsers. They end with the test.
func (w *world) connect(browsers int) *loadgen.Fleet {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	f, err := loadgen.Connect(ctx, loadgen.Options{Address: w.front.HTTP, Clients: browsers})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(f.Close)
	return f
}

// emit has browsers emit numbered events, so many per second all together, until settle.
func (w *world) emit(browsers, perSecond int) *load {
	w.t.Helper()
	return w.emitNumbers(browsers, loadgen.Numbers{Event: "number", PerSecond: perSecond})
}

func (w *world) emitNumbers(browsers int, n loadgen.Numbers) *load {
	w.t.Helper()
	return w.emitFrom(w.connect(browsers), browsers, n)
}

// emitFrom is for browsers that are connected.
func (w *world) emitFrom(f *loadgen.Fleet, browsers int, n loadgen.Numbers) *load {
	w.t.Helper()
	n.First = w.browsers
	w.browsers += browsers
	l := &load{Numbering: f.Number(n), fleet: f, w: w}
	w.loads = append(w.loads, l)
	w.t.Cleanup(func() {
		f.Close() // writers to a browser's connection are not held up by it any more
		l.Stop()
	})
	return l
}

// acked waits until so many more events were acked.
func (l *load) acked(more int) {
	l.w.t.Helper()
	l.reach(l.Acked, l.Acked()+more)
}

// emitted waits until so many more events were sent.
func (l *load) emitted(more int) {
	l.w.t.Helper()
	l.reach(l.Sent, l.Sent()+more)
}

func (l *load) reach(count func() int, value int) {
	l.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := l.Reach(ctx, count, value); err != nil {
		l.w.t.Fatal(err)
	}
}

// settle sends nothing more and waits for the acks that are missing.
func (l *load) settle() {
	l.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := l.Settle(ctx); err != nil {
		l.w.t.Error(err) // the books say more
	}
}

// tell shows what the processes said of a test that failed.
func (w *world) tell() {
	if !w.t.Failed() {
		return
	}
	all := []*process.Process{}
	if w.front != nil {
		all = append(all, w.front.Process)
	}
	if w.back != w.front && w.back != nil {
		all = append(all, w.back.Process)
	}
	for _, i := range w.instances {
		all = append(all, i.Process)
	}
	for _, p := range all {
		text := p.Log()
		w.t.Logf("--- %s (the end of %d bytes)\n%s", p.Name, len(text), text[max(0, len(text)-8000):])
	}
}
