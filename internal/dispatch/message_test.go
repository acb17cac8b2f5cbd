// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

func taking(names ...string) func(*sio.Register) {
	return func(r *sio.Register) { r.Namespaces[0].Messages = names }
}

func message(name string, acks bool) *sio.Message {
	return &sio.Message{
		Namespace: "/", Event: sio.Event{Name: name, Args: []byte(`[1]`)}, WantAcks: acks,
		Sender: sio.Addressee{Service: "a", Instance: "a1"},
	}
}

// came tells who answered what, sorted.
func came(acks []sio.InstanceAck) (list []string) {
	for _, a := range acks {
		list = append(list, fmt.Sprintf("%s/%s %s", a.Service, a.Instance, a.Ack.Args))
	}
	slices.Sort(list)
	return list
}

// A message goes once to every other instance that registered for it, whatever its service, and to
// nobody else.
func TestDispatcher_Tell(t *testing.T) {
	f := newFixture(t, Options{})
	sender := f.attach("a", "a1", taking("*"))
	same2 := f.attach("a", "a2", taking("m", "n"))
	all := f.attach("b", "b1", taking("*"))
	none := f.attach("b", "b2", nil)
	elsewhere := f.attach("c", "c1", func(r *sio.Register) {
		r.Namespaces[0].Namespace = "/other"
		taking("*")(r)
	})
	byPattern := f.attach("c", "c2", func(r *sio.Register) {
		r.Namespaces[0].Namespace, r.Namespaces[0].Pattern = "/|/x", true
		taking("m")(r)
	})
	drains := f.attach("d", "d1", taking("*"))
	drains.a.Drain()
	m := message("m", false)
	if acks, err := f.Tell(t.Context(), m)(); err != nil || len(acks.Came) != 0 || acks.Missing != 0 {
		t.Errorf("acks %+v, %v", acks, err)
	}
	for _, i := range []*instance{sender, none, elsewhere, drains} {
		same(t, "others", i.names())
	}
	same(t, "by name", same2.names(), ":message m")
	same(t, "by pattern", byPattern.names(), ":message m")
	same(t, "all", all.names(), ":message m")
	d := all.last()
	if d.ID != same2.last().ID || d.ID == 0 || d.WantsAck || d.Sender != m.Sender || d.Socket.Namespace() != "/" || d.Introduce || all.flushes == 0 {
		t.Errorf("given %+v", d)
	}
	m = message("n", false)
	m.Services = []sio.ServiceName{"b"}
	f.Tell(t.Context(), m)
	same(t, "other service", same2.names(), ":message m")
	all.resolve(t, 0, sio.Result{})
	all.resolve(t, 1, sio.Result{Outcome: sio.Failed, Message: "boom"})
	if value(f.m.Messages) != 4 || value(f.m.Failed) != 1 {
		t.Errorf("%d messages", value(f.m.Messages))
	}
}

// Of those asked for acks, those that answered are reported; one that failed, gave none, left or
// took too long is missing.
func TestDispatcher_Tell_acks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		list := map[string]*instance{}
		for _, id := range []string{"b1", "b2", "b3", "b4", "b5"} {
			list[id] = f.attach("b", id, taking("m"))
		}
		collect := f.Tell(t.Context(), message("m", true))
		answer := []byte(`["one"]`)
		list["b1"].resolve(t, 0, sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: answer, Attachments: [][]byte{answer}}})
		clear(answer) // they were the stream's
		list["b2"].resolve(t, 0, sio.Result{})
		list["b3"].resolve(t, 0, sio.Result{Outcome: sio.Refused, Message: "no"})
		list["b4"].a.Detach()
		list["b5"].resolve(t, 0, answered(`["five"]`))
		acks, err := collect() // waits for nobody
		same(t, "came", came(acks.Came), `b/b1 ["one"]`, `b/b5 ["five"]`)
		if acks.Missing != 3 || err != nil || string(acks.Came[0].Ack.Attachments[0]) == "\x00" {
			t.Errorf("acks %+v, %v", acks, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		collect = f.Tell(ctx, message("m", true))
		list["b1"].resolve(t, 1, answered(`["one"]`))
		acks, _ = collect()
		same(t, "came in time", came(acks.Came), `b/b1 ["one"]`)
		if acks.Missing != 3 {
			t.Errorf("%d missing", acks.Missing)
		}
		list["b2"].resolve(t, 1, answered(`["late"]`))
	})
}

// Messages wait for the window in turn with sockets, block nobody, and are dropped where too many
// wait.
func TestDispatcher_Tell_window(t *testing.T) {
	f := newFixture(t, Options{RemoteEvents: 2})
	a := f.attach("b", "b1", func(r *sio.Register) {
		taking("m")(r)
		r.Window = 1
	})
	s := f.connect("s")
	s.emit(t, "first", 1)
	collect := f.Tell(t.Context(), message("m", true))
	f.Tell(t.Context(), message("m", false))
	f.Tell(t.Context(), message("m", false))
	s.emit(t, "second", 2)
	same(t, "given", a.names(), "s:event first")
	if value(f.m.DroppedMessage) != 1 {
		t.Errorf("%d dropped", value(f.m.DroppedMessage))
	}
	for n := range 4 {
		a.resolve(t, n, answered(`["ok"]`))
	}
	same(t, "given", a.names(), "s:event first", ":message m", ":message m", "s:event second")
	if acks, _ := collect(); len(acks.Came) != 1 || acks.Missing != 0 {
		t.Errorf("acks %+v", acks)
	}
	f.Tell(t.Context(), message("m", false))
	collect = f.Tell(t.Context(), message("m", true))
	a.a.Detach() // with one open and one waiting
	if acks, _ := collect(); acks.Missing != 1 || value(f.m.Queued) != 0 || value(f.m.Open) != 0 {
		t.Errorf("acks %+v", acks)
	}
}

// others is a cluster in which one instance answers.
type others struct {
	sent  *sio.Message
	asked sio.Query
	found sio.Found
	err   error
}

func (o *others) Tell(_ context.Context, m *sio.Message) func() (sio.InstanceAcks, error) {
	o.sent = m
	return func() (sio.InstanceAcks, error) {
		return sio.InstanceAcks{Came: make([]sio.InstanceAck, 1), Missing: 2, Silent: []sio.ReplicaID{"r"}}, o.err
	}
}

func (o *others) Query(_ context.Context, q sio.Query) func() (sio.Found, error) {
	o.asked = q
	return func() (sio.Found, error) { return o.found, o.err }
}

// The other replicas get it too, with the instances that have the message already; what they answer
// is added.
func TestDispatcher_Tell_others(t *testing.T) {
	o := &others{}
	f := newFixture(t, Options{Others: o})
	a := f.attach("b", "b1", taking("m"))
	collect := f.Tell(t.Context(), message("m", true))
	if !slices.Equal(o.sent.Served, []sio.InstanceID{"a1", "b1"}) || o.sent.ID != a.last().ID {
		t.Errorf("sent %+v", o.sent)
	}
	a.a.Detach()
	o.err = errors.New("down")
	acks, err := collect()
	if len(acks.Came) != 1 || acks.Missing != 3 || len(acks.Silent) != 1 || sio.CodeOf(err) != sio.CodeUnavailable {
		t.Errorf("acks %+v, %v", acks, err)
	}
}
