// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// disconnectBook writes disconnects down.
type disconnectBook struct {
	mu   sync.Mutex
	list []string
}

func (b *disconnectBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.list)
}

func (b *disconnectBook) disconnected(_ context.Context, s *Socket, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, s.ID()+" "+reason)
}

func cluster(brokers ...*fakeBroker) *spanwirev1.Topology {
	t := &spanwirev1.Topology{}
	for _, b := range brokers {
		t.Replicas = append(t.Replicas, &spanwirev1.Replica{Id: b.replica, Address: b.replica})
	}
	return t
}

// lossy is a service with disconnects written down, attached to brokers that know each other.
func lossy(t *testing.T, book *disconnectBook, brokers ...*fakeBroker) (*Service, *fakeRun, []*fakeStream) {
	t.Helper()
	for _, b := range brokers {
		b.topology = cluster(brokers...)
	}
	o := fakeOptions(brokers...)
	for _, b := range brokers[1:] {
		o.Address += ",passthrough:///" + b.replica
	}
	o.OneReplica = true
	svc := NewService("test", o)
	svc.OnConnect(func(context.Context, *Socket) error { return nil })
	svc.OnDisconnect(book.disconnected)
	svc.On("x", echo)
	run := runService(svc)
	var streams []*fakeStream
	for _, b := range brokers {
		streams = append(streams, <-b.streams)
	}
	return svc, run, streams
}

func (s *fakeStream) topology(brokers ...*fakeBroker) {
	s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Topology{Topology: cluster(brokers...)}})
}

// die ends the stream and takes no further ones.
func (b *fakeBroker) die(s *fakeStream) {
	b.mu.Lock()
	b.refuse = errors.New("dead")
	b.mu.Unlock()
	s.finish <- errors.New("dead")
}

func (b *fakeBroker) live() {
	b.mu.Lock()
	b.refuse = nil
	b.mu.Unlock()
}

// When the only replica is dead, handlers hear of the end of its sockets after its timeout, once.
func TestScheduler_lost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var book disconnectBook
		a := newFakeBroker(t, "a")
		_, run, s := lossy(t, &book, a)
		s[0].dispatch(connect(1, "a1"), event(2, "a2", "x", ""), disconnected(3, "a3", "transport close"), event(4, "b9", "x", ""))
		s[0].actions(t, 4)
		a.die(s[0])
		time.Sleep(fallbackReplicaTimeout - time.Second)
		if got := book.String(); got != "[a3 transport close]" {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(2 * time.Second)
		got := book.String()
		if strings.Count(got, "transport error") != 2 || !strings.Contains(got, "a1") || !strings.Contains(got, "a2") {
			t.Errorf("disconnected %v", got)
		}
		run.stop()
		<-run.ended
	})
}

// A replica that is back in time has its sockets still; those that it gave away meanwhile are not
// this instance's any more.
func TestScheduler_lost_found(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var book disconnectBook
		a := newFakeBroker(t, "a")
		svc, run, s := lossy(t, &book, a)
		s[0].dispatch(connect(1, "a1"), connect(2, "a2"))
		s[0].actions(t, 2)
		a.die(s[0])
		time.Sleep(5 * time.Second)
		a.live()
		second := <-a.streams
		second.batch(&spanwirev1.DispatchBatch{Released: []string{"a2"}})
		time.Sleep(time.Minute)
		if got := book.String(); got != "[]" {
			t.Errorf("disconnected %v", got)
		}
		n := svc.main()
		svc.scheduler.mu.Lock()
		socket := n.sockets["a1"]
		svc.scheduler.mu.Unlock()
		if socket == nil || !socket.Connected() {
			t.Error("the socket is forgotten")
		}
		a.die(second)
		time.Sleep(time.Minute)
		if got := book.String(); got != "[a1 transport error]" {
			t.Errorf("disconnected %v", got)
		}
		run.stop()
		<-run.ended
	})
}

// Another replica's word that a lost one is dead counts at once, and its word that it lives counts
// for as long as it says so.
func TestScheduler_lost_judged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var book disconnectBook
		a, b := newFakeBroker(t, "a"), newFakeBroker(t, "b")
		_, run, s := lossy(t, &book, a, b)
		s[0].dispatch(connect(1, "a1"), connect(2, "a2"))
		s[0].actions(t, 2)
		a.die(s[0])
		time.Sleep(time.Minute)
		if got := book.String(); got != "[]" {
			t.Errorf("disconnected %v while the other replica knows it", got)
		}
		s[1].dispatch(event(3, "a2", "x", "")) // lent
		s[1].actions(t, 1)
		s[1].topology(b)
		synctest.Wait()
		if got := book.String(); got != "[a1 transport error]" {
			t.Errorf("disconnected %v", got)
		}
		// What the other replica says of it is nothing new.
		s[1].dispatch(disconnected(4, "a1", "transport error"), disconnected(5, "a2", "transport error"))
		s[1].actions(t, 2)
		if got := book.String(); got != "[a1 transport error a2 transport error]" {
			t.Errorf("disconnected %v", got)
		}
		run.stop()
		<-run.ended
	})
}

// A replica that starts at the address of another is proof that the other is dead.
func TestScheduler_lost_replaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var book disconnectBook
		a := newFakeBroker(t, "a")
		_, run, s := lossy(t, &book, a)
		s[0].dispatch(connect(1, "a1"))
		s[0].actions(t, 1)
		a.mu.Lock()
		a.welcomes = "z"
		a.topology = &spanwirev1.Topology{Replicas: []*spanwirev1.Replica{{Id: "z", Address: "a"}}}
		a.mu.Unlock()
		s[0].finish <- errors.New("killed")
		second := <-a.streams
		synctest.Wait()
		if got := book.String(); got != "[a1 transport error]" {
			t.Errorf("disconnected %v", got)
		}
		run.leave(t, second)
	})
}

// The disconnect waits for the handler that runs, whose result nobody takes; a connect that is
// refused then is none of the service's.
func TestScheduler_lost_order(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var book disconnectBook
		a := newFakeBroker(t, "a")
		svc := NewService("test", fakeOptions(a))
		release := make(chan struct{})
		svc.OnConnect(func(_ context.Context, s *Socket) error {
			<-release
			if s.ID() == "a2" {
				return Refuse("no", nil)
			}
			book.disconnected(context.Background(), s, "connected")
			return nil
		})
		svc.OnDisconnect(book.disconnected)
		run := runService(svc)
		s := <-a.streams
		s.dispatch(connect(1, "a1"), connect(2, "a2"), disconnected(3, "a1", "ping timeout"))
		synctest.Wait()
		a.die(s)
		time.Sleep(time.Minute)
		if got := book.String(); got != "[]" {
			t.Errorf("disconnected %v before the handler had returned", got)
		}
		close(release)
		synctest.Wait()
		if got := book.String(); got != "[a1 connected a1 transport error]" && got != "[a1 connected a1 ping timeout]" {
			t.Errorf("disconnected %v", got)
		}
		run.stop()
		<-run.ended
	})
}

// A service that leaves tells what nobody would tell later, unless another replica knows that the
// lost one lives.
func TestScheduler_lost_leaving(t *testing.T) {
	for name, alive := range map[string]bool{"alone": false, "known": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var book disconnectBook
				list := []*fakeBroker{newFakeBroker(t, "a")}
				want := "[a1 transport error]"
				if alive {
					list = append(list, newFakeBroker(t, "b"))
					want = "[]"
				}
				_, run, s := lossy(t, &book, list...)
				s[0].dispatch(connect(1, "a1"))
				s[0].actions(t, 1)
				list[0].die(s[0])
				time.Sleep(time.Second)
				run.stop()
				if alive {
					s[1].finish <- nil
				}
				<-run.ended
				if got := book.String(); got != want {
					t.Errorf("disconnected %v", got)
				}
			})
		})
	}
}
