// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

const (
	self  = sio.ReplicaID("AAAAAA")
	other = sio.ReplicaID("BBBBBB")
	third = sio.ReplicaID("CCCCCC")
)

// A command goes to one replica only when all sockets named are known to live there.
func TestPublisher_Publish_Destination(t *testing.T) {
	p, b := newPublisher()
	p.Joined(other)
	p.Joined(third)
	mine, there, far, unknown := sio.NewSocketID(self).Room(), sio.NewSocketID(other).Room(), sio.NewSocketID(third).Room(),
		sio.NewSocketID("DDDDDD").Room()
	for name, test := range map[string]struct {
		rooms []sio.Room
		want  sio.ReplicaID
	}{
		"namespace":        {nil, ""},
		"room":             {[]sio.Room{"r"}, ""},
		"one socket":       {[]sio.Room{there}, other},
		"two there":        {[]sio.Room{there, sio.NewSocketID(other).Room()}, other},
		"mine and there":   {[]sio.Room{mine, there}, other},
		"there and mine":   {[]sio.Room{there, mine}, other},
		"there and far":    {[]sio.Room{there, far}, ""},
		"there and a room": {[]sio.Room{there, "r"}, ""},
		"only looks so":    {[]sio.Room{unknown}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.Publish(&sio.Leave{Target: sio.Target{Namespace: "/", Rooms: test.rooms}}); err != nil {
				t.Fatal(err)
			}
			if sent := b.take(t); len(sent) != 1 || sent[0].To != test.want {
				t.Errorf("went to %q, want %q", sent[0].To, test.want)
			}
		})
	}
	p.Left(other)
	if to := p.destination(&sio.Target{Rooms: []sio.Room{there}}); to != "" {
		t.Errorf("a socket of a replica that left goes to %q", to)
	}
}

// Each stream is numbered without gaps in the order of publishing, from any goroutine, and the
// heartbeat tells how far.
func TestPublisher_Send_Numbers(t *testing.T) {
	p, b := newPublisher()
	p.Joined(other)
	p.Joined(third)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				for _, to := range []sio.ReplicaID{"", other} {
					if err := p.Send(to, &Bye{}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	b.err = errors.New("down")
	if p.Send(other, &Bye{}) == nil {
		t.Error("no error")
	}
	b.err = nil
	next, epochs := map[sio.ReplicaID]uint64{}, map[sio.ReplicaID]uint64{}
	for _, e := range b.take(t) {
		next[e.To]++
		if e.Sequence != next[e.To] || e.Origin != self || e.Epoch == 0 || epochs[e.To] != 0 && epochs[e.To] != e.Epoch {
			t.Fatalf("got %+v, want sequence %d", e, next[e.To])
		}
		epochs[e.To] = e.Epoch
	}
	want := []Sent{{Replica: other, Epoch: epochs[other], Sequence: 400}, {Epoch: epochs[""], Sequence: 400}}
	if !reflect.DeepEqual(p.Sent(), want) {
		t.Errorf("sent %+v, want %+v", p.Sent(), want)
	}
}

// An envelope over the limit is refused with what to do, and takes no number.
func TestPublisher_Send_ErrTooLarge(t *testing.T) {
	p, b := newPublisher()
	err := p.Publish(&sio.Emit{Event: sio.Event{Name: "e", Args: make([]byte, 2<<20)}})
	if sio.CodeOf(err) != sio.CodeTooLarge || !strings.Contains(err.Error(), "max-payload") {
		t.Errorf("got %v", err)
	}
	if err := p.Send("", &Bye{}); err != nil || b.take(t)[0].Sequence != 1 {
		t.Errorf("%v, or the number was taken", err)
	}
	if testutil.ToFloat64(p.metrics.TooLarge) != 1 || testutil.ToFloat64(p.metrics.PublishFailures) != 1 {
		t.Error("not counted")
	}
}

func TestPublisher_Gather(t *testing.T) {
	ask := &sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "e"}}
	acks := func(n int) []sio.SocketAck { return make([]sio.SocketAck, n) }
	run := func(t *testing.T, name string, answers func(p *Publisher, id uint64), came, missing int, code sio.Code, took time.Duration) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newPublisher()
				p.Joined(other)
				p.Joined(third)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				go func() {
					synctest.Wait()
					request := b.take(t)[0].Body.(*GatherRequest)
					if request.Timeout != 4750*time.Millisecond {
						t.Errorf("others may take %v", request.Timeout)
					}
					answers(p, request.ID)
				}()
				got, err := p.Ask(ctx, ask)()
				if len(got.Came) != came || got.Missing != missing || sio.CodeOf(err) != code {
					t.Errorf("came %d, missing %d, %v; want %d, %d, code %d", len(got.Came), got.Missing, err, came, missing, code)
				}
				if time.Since(start) != took {
					t.Errorf("took %v, want %v", time.Since(start), took)
				}
				if len(p.gathers) != 0 || testutil.ToFloat64(p.metrics.GathersOpen) != 0 {
					t.Error("something is left")
				}
			})
		})
	}
	run(t, "all answer", func(p *Publisher, id uint64) {
		p.Answered(other, &GatherAnswer{ID: id, Sockets: 3})
		p.Answered(other, &GatherAnswer{ID: id, Sockets: 3, Acks: acks(1)})
		p.Answered(other, &GatherAnswer{ID: id, Sockets: 3, Acks: acks(1), Last: true})
		p.Answered(other, &GatherAnswer{ID: id, Sockets: 3, Acks: acks(1), Last: true}) // too many
		p.Answered("nobody", &GatherAnswer{ID: id, Sockets: 9, Last: true})
		p.Answered(other, &GatherAnswer{ID: id + 1, Sockets: 9, Last: true})
		p.Answered(third, &GatherAnswer{ID: id, Sockets: 0, Last: true})
	}, 2, 1, 0, 0)
	run(t, "one counts and then is silent", func(p *Publisher, id uint64) {
		p.Answered(other, &GatherAnswer{ID: id, Sockets: 3})
		p.Answered(third, &GatherAnswer{ID: id, Sockets: 1, Acks: acks(1), Last: true})
	}, 1, 3, 0, 5*time.Second)
	run(t, "one is silent", func(p *Publisher, id uint64) {
		p.Answered(third, &GatherAnswer{ID: id, Sockets: 1, Acks: acks(1), Last: true})
	}, 1, 0, sio.CodeDeadline, 5*time.Second)
	run(t, "one leaves meanwhile", func(p *Publisher, id uint64) {
		p.Answered(other, &GatherAnswer{ID: id, Sockets: 2, Acks: acks(1)})
		p.Answered(third, &GatherAnswer{ID: id, Sockets: 1, Acks: acks(1), Last: true})
		p.Left(other)
	}, 2, 1, 0, 0)
}

// Without others, and for a socket of one other, only those are awaited that can have receivers.
func TestPublisher_Gather_Nobody(t *testing.T) {
	p, b := newPublisher()
	if acks, err := p.Ask(t.Context(), &sio.Emit{Event: sio.Event{Name: "e"}})(); err != nil || len(acks.Came) != 0 {
		t.Errorf("%+v, %v", acks, err)
	}
	b.take(t)
	p.Joined(other)
	p.Joined(third)
	done := make(chan error)
	go func() {
		_, err := p.Ask(t.Context(), &sio.Emit{Target: sio.Target{Rooms: []sio.Room{sio.NewSocketID(other).Room()}}, Event: sio.Event{Name: "e"}})()
		done <- err
	}()
	for answered := false; !answered; {
		p.mu.Lock()
		_, answered = p.gathers[p.lastID]
		p.mu.Unlock()
	}
	p.Answered(other, &GatherAnswer{ID: 2, Last: true})
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.err = errors.New("down")
	if _, err := p.Ask(t.Context(), &sio.Emit{Event: sio.Event{Name: "e"}})(); err == nil {
		t.Error("no error")
	}
}

// Results go out together, before the next command at the latest, those that are too large as
// failures, and what could not be sent is owed.
func TestPublisher_Results(t *testing.T) {
	p, b := newPublisher()
	for i := range 3 {
		p.QueueResult(other, "i", 1, Result{ID: sio.DispatchID(i)})
	}
	if len(b.take(t)) != 0 {
		t.Error("sent too early")
	}
	if err := p.Publish(&sio.Leave{Target: sio.Target{Namespace: "/"}}); err != nil {
		t.Fatal(err)
	}
	sent := b.take(t)
	if len(sent) != 2 || sent[0].To != other || len(sent[0].Body.(*ResultBatch).Results) != 3 {
		t.Fatalf("sent %+v", sent)
	}

	large := sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: make([]byte, 2<<20)}}
	p.QueueResult(other, "i", 1, Result{ID: 1})
	p.QueueResult(other, "i", 1, Result{ID: 2, Result: large})
	p.QueueResult(other, "i", 1, Result{ID: 3})
	p.FlushResults()
	outcomes := map[sio.DispatchID]sio.Outcome{}
	for _, e := range b.take(t) {
		for _, r := range e.Body.(*ResultBatch).Results {
			outcomes[r.ID] = r.Result.Outcome
		}
	}
	if want := map[sio.DispatchID]sio.Outcome{1: sio.Handled, 2: sio.Failed, 3: sio.Handled}; !reflect.DeepEqual(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}

	b.err = errors.New("down")
	p.QueueResult(other, "i", 1, Result{ID: 1})
	p.FlushResults()
	if owed := p.Owed(); len(owed) != 1 || owed[0] != other || len(p.Owed()) != 0 {
		t.Errorf("owed %v", owed)
	}
}
