// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// loads tells how many sockets each instance of a service has, by id.
func (f *fixture) loads(service string) (list []int) {
	for _, v := range f.Load() {
		for _, i := range v.Instances {
			if string(v.Service) == service {
				list = append(list, i.Sockets)
			}
		}
	}
	return list
}

func (f *fixture) wantLoads(service string, want ...int) {
	f.t.Helper()
	if got := f.loads(service); !slices.Equal(got, want) {
		f.t.Errorf("the loads are %v, want %v", got, want)
	}
}

// settled connects sockets that the service has been given an event of, which has been resolved.
func (f *fixture) settled(i *instance, count int) (all []*socket) {
	for n := range count {
		s := f.connect(fmt.Sprint("s", n))
		s.emit(f.t, "x", 0)
		all = append(all, s)
	}
	for n := range i.list {
		i.resolve(f.t, n, sio.Result{})
	}
	return all
}

// An instance that comes back gets its part of the sockets, a few per second; the next dispatch of
// each introduces it there, and tells the other instance to forget it.
func TestBalance_return(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newLoggedFixture(t, Options{})
		defer f.Close()
		one := f.attach("a", "1", nil)
		all := f.settled(one, 200)
		two := f.attach("a", "2", nil)
		f.wantLoads("a", 200, 0)
		time.Sleep(balanceDelay + time.Second)
		synctest.Wait()
		if got := f.loads("a"); got[1] < 5 || got[1] > 12 {
			t.Errorf("%v after a second, with a rate of 10", got)
		}
		time.Sleep(time.Minute)
		got := f.loads("a")
		if got[0]+got[1] != 200 || got[0]*100 > got[1]*125 || got[1] > got[0] {
			t.Errorf("the loads are %v", got)
		}
		if n := value(f.m.Rebalanced); n != got[1] {
			t.Errorf("%d moves are counted, and %v moved", n, got)
		}
		same(t, "released before the next dispatch", []string{fmt.Sprint(one.released)}, "[]")
		for _, s := range all {
			s.emit(t, "y", 0)
		}
		if len(two.list) != got[1] || len(one.released) != got[1] {
			t.Errorf("%d dispatches on the second instance, %d released by the first, want %d", len(two.list), len(one.released), got[1])
		}
		for i := range two.list {
			if !two.list[i].Introduce {
				t.Error("a socket is not introduced")
			}
		}
		if len(log.with("level=INFO", "rebalancing started", "service=a")) != 1 || len(log.with("rebalancing ended", fmt.Sprint("sockets=", got[1]))) != 1 {
			t.Errorf("the log says %q", log.with("rebalanc"))
		}
	})
}

// A socket with something open or queued stays, and moves when it is idle.
func TestBalance_idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{HandlerTimeout: -1})
		defer f.Close()
		one := f.attach("a", "1", nil)
		all := f.settled(one, 4)
		for _, s := range all {
			s.emit(t, "busy", 0)
		}
		two := f.attach("a", "2", nil)
		time.Sleep(time.Minute)
		f.wantLoads("a", 4, 0)
		one.resolve(t, 4, sio.Result{})
		one.resolve(t, 5, sio.Result{})
		one.resolve(t, 6, sio.Result{})
		time.Sleep(time.Minute)
		f.wantLoads("a", 2, 2)
		for _, s := range all[:3] {
			s.emit(t, "next", 0)
		}
		if len(two.list) != 2 {
			t.Errorf("the second instance got %q", two.names())
		}
	})
}

// Instances that declare something else, drain or are further away than others get none.
func TestBalance_eligible(t *testing.T) {
	other := func(r *sio.Register) { r.Namespaces[0] = sio.Registration{Namespace: "/", Events: []string{"x", "y"}} }
	remote := func(f *fixture, id string) *instance {
		i := &instance{}
		var err error
		if i.a, err = f.Attach(reg("a", id, nil), i, Remote); err != nil {
			f.t.Fatal(err)
		}
		return i
	}
	for name, c := range map[string]struct {
		o     Options
		begin func(f *fixture) *instance
		then  func(f *fixture)
		want  []int
	}{
		"declares other events": {begin: func(f *fixture) *instance { return f.attach("a", "1", nil) }, then: func(f *fixture) { f.attach("a", "2", other) }, want: []int{20, 0}},
		"drains":                {begin: func(f *fixture) *instance { return f.attach("a", "1", nil) }, then: func(f *fixture) { f.attach("a", "2", nil).a.Drain() }, want: []int{20, 0}},
		"is remote":             {begin: func(f *fixture) *instance { return f.attach("a", "1", nil) }, then: func(f *fixture) { remote(f, "2") }, want: []int{20, 0}},
		"is local":              {begin: func(f *fixture) *instance { return remote(f, "1") }, then: func(f *fixture) { f.attach("a", "2", nil) }, want: []int{0, 20}},
		"both are remote":       {begin: func(f *fixture) *instance { return remote(f, "1") }, then: func(f *fixture) { remote(f, "2") }, want: []int{10, 10}},
		"turned off": {o: Options{RebalanceRate: -1}, begin: func(f *fixture) *instance { return f.attach("a", "1", nil) },
			then: func(f *fixture) { f.attach("a", "2", nil) }, want: []int{20, 0}},
		"ratio of one": {o: Options{RebalanceRatio: 100}, begin: func(f *fixture) *instance { return f.attach("a", "1", nil) },
			then: func(f *fixture) { f.attach("a", "2", nil); f.attach("a", "3", nil) }, want: []int{7, 7, 6}},
		"three versions": {begin: func(f *fixture) *instance { return f.attach("a", "1", nil) },
			then: func(f *fixture) { f.attach("a", "2", other); f.attach("a", "3", nil) }, want: []int{10, 0, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, c.o)
				defer f.Close()
				f.settled(c.begin(f), 20)
				c.then(f)
				time.Sleep(time.Minute)
				f.wantLoads("a", c.want...)
			})
		})
	}
}

// Sockets that come and go do not make others move back and forth.
func TestBalance_hysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		defer f.Close()
		one := f.attach("a", "1", nil)
		all := f.settled(one, 100)
		f.attach("a", "2", nil)
		time.Sleep(time.Minute)
		before := value(f.m.Rebalanced)
		time.Sleep(time.Hour)
		if n := value(f.m.Rebalanced); n != before {
			t.Errorf("%d sockets moved while nothing happened", n-before)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range 1000 {
			i := rng.IntN(len(all))
			all[i].binding.Disconnect(sio.ReasonTransportClose)
			all[i] = f.connect(fmt.Sprint("t", n))
			all[i].emit(t, "x", 0)
			time.Sleep(100 * time.Millisecond)
		}
		if n := value(f.m.Rebalanced) - before; n > 20 {
			t.Errorf("%d sockets moved while 1000 came and went evenly", n)
		}
	})
}

// The end of a socket that was moved and has been idle since is announced to one instance, and the
// other forgets it.
func TestBalance_disconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		defer f.Close()
		one := f.attach("a", "1", nil)
		all := f.settled(one, 2)
		two := f.attach("a", "2", nil)
		time.Sleep(time.Minute)
		f.wantLoads("a", 1, 1)
		for _, s := range all {
			s.binding.Disconnect(sio.ReasonTransportClose)
		}
		if len(one.list) != 3 || len(one.released) != 1 {
			t.Errorf("the first instance got %q and released %q", one.names(), one.released)
		}
		same(t, "second", two.names(), string(one.released[0])+":disconnect")
		two.resolve(t, 0, sio.Result{})
		one.resolve(t, 2, sio.Result{})
		f.wantLoads("a", 0, 0)
	})
}
