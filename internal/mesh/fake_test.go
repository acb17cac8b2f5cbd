// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits for what comes about by itself; in a bubble of synctest the time is not real.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("waited in vain for: " + what)
		case <-again.C:
		}
	}
}

// fakeSocket notes the events that it is given.
type fakeSocket struct {
	id     sio.SocketID
	answer func(d *hub.Delivery) // may be nil

	mu  sync.Mutex
	got []string
}

func (s *fakeSocket) ID() sio.SocketID { return s.id }

func (s *fakeSocket) Deliver(d *hub.Delivery) {
	s.mu.Lock()
	s.got = append(s.got, d.Event.Name)
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(d)
	}
}

func (s *fakeSocket) Disconnect(bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, "disconnect")
}

func (s *fakeSocket) events() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

// faulty is a backplane that can be made to lose or refuse what its replica sends.
type faulty struct {
	backplane.Backplane

	mu     sync.Mutex
	mute   bool
	refuse bool
	sick   bool
	lose   int // that many envelopes to one replica

	losses  uint64 // on top of those that the backplane counts
	changes chan struct{}
}

func (f *faulty) Losses() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Backplane.Losses() + f.losses
}

func (f *faulty) Changes() <-chan struct{} { return f.changes }

func (f *faulty) set(change func(f *faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faulty) Publish(to sio.ReplicaID, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.refuse:
		return sio.E(sio.CodeUnavailable, "publish", "down")
	case f.mute:
		return nil
	case to != "" && f.lose > 0:
		f.lose--
		return nil
	}
	return f.Backplane.Publish(to, data)
}

func (f *faulty) Healthy() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sick {
		return errors.New("sick")
	}
	return f.Backplane.Healthy()
}

// node is one replica with fakes around its mesh.
type node struct {
	id         sio.ReplicaID
	link       *faulty
	publisher  *backplane.Publisher
	hub        *hub.Hub
	dispatcher *fakeDispatcher
	mesh       *Mesh
	socket     *fakeSocket
	metrics    *metrics.Backplane
	hubMetrics *metrics.Hub
	stopOnce   sync.Once
}

const maxEnvelope = 1 << 20

// secret is what all nodes share.
var secret = backplane.NewSecret("a secret of all nodes", "spanwire")

func newNode(t testing.TB, bp backplane.Backplane) *node {
	t.Helper()
	fake := newFakeDispatcher()
	n := newNodeWith(t, bp, fake)
	n.dispatcher = fake
	return n
}

func newNodeWith(t testing.TB, bp backplane.Backplane, d Dispatcher) *node {
	t.Helper()
	n := &node{id: sio.NewReplicaID(), link: &faulty{Backplane: bp, changes: make(chan struct{}, 1)}, metrics: metrics.NewBackplane(nil)}
	n.publisher = backplane.NewPublisher(n.link, n.id, secret, maxEnvelope, n.metrics)
	n.hubMetrics = metrics.NewHub(nil)
	journal := hub.JournalOptions{Retention: time.Minute, MaxEvents: 1000, MaxBytes: 1 << 20}
	n.hub = hub.NewWithJournal(n.id, n.publisher, journal, n.hubMetrics)
	n.socket = &fakeSocket{id: sio.NewSocketID(n.id)}
	n.hub.Add(sio.MainNamespace, n.socket)
	o := Default()
	o.Replica, o.GRPCAddress, o.HTTPAddress = n.id, "grpc-"+string(n.id), "http-"+string(n.id)
	o.ForwardAddress = "forward-" + string(n.id)
	log := slog.New(slog.DiscardHandler)
	n.mesh = New(o, n.link, n.publisher, backplane.NewInbox(n.id, secret, n.metrics, log), n.hub, d, metrics.NewMesh(nil), log)
	if err := n.mesh.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	return n
}

func (n *node) stop() {
	n.stopOnce.Do(func() {
		n.mesh.Stop()
		n.link.Close()
	})
}

func (n *node) emit(name string, rooms ...sio.Room) error {
	_, err := n.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: sio.MainNamespace, Rooms: rooms}, Event: sio.Event{Name: name}})
	return err
}

// fakeDispatcher has instances that give the answers that are set, and notes what happens to the
// dispatches that the test makes.
type fakeDispatcher struct {
	changes chan struct{}

	mu       sync.Mutex
	local    map[sio.InstanceID]*fakeInstance
	remote   map[sio.InstanceID]*fakeAttachment
	next     uint64
	refuse   bool
	resolved map[sio.DispatchID]sio.Result
	again    []sio.DispatchID // open ones of attachments that were detached
	done     chan struct{}    // gets a value for each result, may be nil
}

// fakeInstance is attached here.
type fakeInstance struct {
	offer  backplane.Instance
	handle func(d *backplane.Dispatch) (sio.Result, bool) // false: keeps it open
	queue  []forwarded
}

type forwarded struct {
	d        backplane.Dispatch
	resolved func(sio.DispatchID, sio.Result)
}

// fakeAttachment is a remote instance's place.
type fakeAttachment struct {
	dispatcher *fakeDispatcher
	remote     Remote
	instance   sio.InstanceID
	open       map[sio.DispatchID]bool
	detached   bool
	declared   []sio.Registration
}

func newFakeDispatcher() *fakeDispatcher {
	return &fakeDispatcher{
		changes: make(chan struct{}, 1), local: map[sio.InstanceID]*fakeInstance{}, remote: map[sio.InstanceID]*fakeAttachment{},
		resolved: map[sio.DispatchID]sio.Result{},
	}
}

func (d *fakeDispatcher) attachLocal(id sio.InstanceID, handle func(*backplane.Dispatch) (sio.Result, bool)) {
	d.mu.Lock()
	d.next++
	d.local[id] = &fakeInstance{handle: handle, offer: backplane.Instance{Generation: d.next, Register: &sio.Register{
		Service: "s", Instance: id, Window: 4, Namespaces: []sio.Registration{{Namespace: "/", CatchAll: true, Disconnect: true}},
	}}}
	d.mu.Unlock()
	wake(d.changes)
}

func (d *fakeDispatcher) detachLocal(id sio.InstanceID) {
	d.mu.Lock()
	delete(d.local, id)
	d.mu.Unlock()
	wake(d.changes)
}

func (d *fakeDispatcher) Attached() []backplane.Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []backplane.Instance
	for _, i := range d.local {
		all = append(all, i.offer)
	}
	return all
}

func (d *fakeDispatcher) Changes() <-chan struct{} { return d.changes }

func (d *fakeDispatcher) DispatchRemote(id sio.InstanceID, generation uint64, dp *backplane.Dispatch,
	resolved func(sio.DispatchID, sio.Result),
) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.local[id]
	if i == nil || i.offer.Generation != generation {
		return sio.E(sio.CodeNotFound, "forward", "not here")
	}
	if len(i.queue) >= 100 {
		return sio.E(sio.CodeTooLarge, "forward", "too many")
	}
	i.queue = append(i.queue, forwarded{*dp, resolved})
	return nil
}

func (d *fakeDispatcher) Release(sio.InstanceID, uint64, sio.SocketID) {}

func (d *fakeDispatcher) Flush(id sio.InstanceID) {
	d.mu.Lock()
	i := d.local[id]
	var queue []forwarded
	if i != nil {
		queue, i.queue = i.queue, nil
	}
	d.mu.Unlock()
	for _, f := range queue {
		if r, done := i.handle(&f.d); done {
			f.resolved(f.d.ID, r)
		}
	}
}

// TellHere implements Dispatcher: nobody takes messages.
func (d *fakeDispatcher) TellHere(*sio.Message) Replies { return nobody{} }

// Retire implements Dispatcher: no service is known.
func (d *fakeDispatcher) Retire(*sio.RetireService) sio.Retired { return sio.Retired{} }

// Absent implements Dispatcher.
func (d *fakeDispatcher) Absent() []sio.Absent { return nil }

// Learn implements Dispatcher.
func (d *fakeDispatcher) Learn([]sio.Absent) {}

type nobody struct{}

func (nobody) Asked() []sio.Addressee                 { return nil }
func (nobody) Wait(context.Context) []sio.InstanceAck { return nil }

func (d *fakeDispatcher) Attach(r *sio.Register, remote Remote) (Attachment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse || d.remote[r.Instance] != nil {
		return nil, sio.E(sio.CodeConflict, "attach", "refused")
	}
	a := &fakeAttachment{dispatcher: d, remote: remote, instance: r.Instance, open: map[sio.DispatchID]bool{}}
	d.remote[r.Instance] = a
	return a, nil
}

// borrows gives the remote instances in use.
func (d *fakeDispatcher) borrows(id sio.InstanceID) *fakeAttachment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remote[id]
}

func (d *fakeDispatcher) result(id sio.DispatchID) (sio.Result, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.resolved[id]
	return r, ok
}

func (d *fakeDispatcher) redelivered() []sio.DispatchID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]sio.DispatchID(nil), d.again...)
}

// dispatch hands a dispatch out to the remote instance.
func (a *fakeAttachment) dispatch(dp backplane.Dispatch) {
	a.dispatcher.mu.Lock()
	a.open[dp.ID] = true
	a.remote.Queue(&dp)
	a.dispatcher.mu.Unlock()
	a.remote.Flush()
}

func (a *fakeAttachment) Resolve(id sio.DispatchID, r sio.Result) error {
	a.dispatcher.mu.Lock()
	defer a.dispatcher.mu.Unlock()
	if !a.open[id] || a.detached {
		return sio.E(sio.CodeNotFound, "resolve", "not open")
	}
	delete(a.open, id)
	if a.dispatcher.done != nil {
		a.dispatcher.done <- struct{}{}
		return nil
	}
	a.dispatcher.resolved[id] = r
	return nil
}

func (a *fakeAttachment) Flush() {}

func (a *fakeAttachment) Declare(namespaces []sio.Registration) error {
	a.declared = namespaces
	return nil
}

func (a *fakeAttachment) Drain() <-chan struct{} {
	empty := make(chan struct{})
	close(empty)
	return empty
}

func (a *fakeAttachment) Detach() {
	d := a.dispatcher
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.detached {
		panic(errors.New("detached twice"))
	}
	a.detached = true
	delete(d.remote, a.instance)
	for id := range a.open {
		d.again = append(d.again, id)
	}
}

func event(id sio.DispatchID, name string) backplane.Dispatch {
	return backplane.Dispatch{
		ID: id, Socket: "socket", Namespace: "/", Kind: backplane.KindEvent, Event: &sio.Event{Name: name}, WantsAck: true,
	}
}
