// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

// keeper is a socket that can describe itself.
type keeper struct {
	*fakeSocket
	data sio.Data
}

func (k *keeper) Describe() sio.SocketInfo {
	return sio.SocketInfo{Data: k.data, Auth: []byte(`{}`), Handshake: &sio.Handshake{
		URL: "/", Headers: []sio.Header{{Name: "Authorization", Value: "x"}, {Name: "Cookie", Value: "x"}, {Name: "Origin", Value: "x"}},
	}}
}

func (k *keeper) Keep(value []byte, ifVersion uint64) (sio.Data, bool) {
	if ifVersion != 0 && ifVersion != k.data.Version {
		return k.data, false
	}
	k.data = sio.Data{Value: value, Version: k.data.Version + 1}
	return k.data, true
}

func addKeeper(h *Hub, ns sio.Namespace) *keeper {
	k := &keeper{fakeSocket: &fakeSocket{id: sio.NewSocketID(replica)}}
	h.Add(ns, k)
	return k
}

// What is found of a socket is all that is known of it, without what authenticates its browser
// unless that is asked for.
func TestHub_Answer_FetchSockets(t *testing.T) {
	h := newHub(Alone{})
	k := addKeeper(h, main)
	addKeeper(h, main)
	k.data = sio.Data{Value: []byte("1"), Version: 7}
	own := sio.Target{Namespace: main, Rooms: []sio.Room{k.id.Room()}}
	h.Apply(&sio.Join{Target: own, Rooms: []sio.Room{"a", "b"}})
	rest := h.Answer(&sio.FetchSockets{Target: own, Credentials: true})
	h.Apply(&sio.Leave{Target: own, Rooms: []sio.Room{"a"}}) // too late to be reported
	found := rest()
	if len(found.Sockets) != 1 || found.Truncated {
		t.Fatalf("found %+v", found)
	}
	s := found.Sockets[0]
	if s.ID != k.id || !slices.Equal(s.Rooms, []sio.Room{k.id.Room(), "a", "b"}) || s.Replica != replica || s.Data.Version != 7 ||
		string(s.Data.Value) != "1" || string(s.Auth) != "{}" || len(s.Handshake.Headers) != 3 {
		t.Errorf("found %+v", s)
	}
	s = h.Answer(&sio.FetchSockets{Target: own})().Sockets[0]
	if s.Auth != nil || len(s.Handshake.Headers) != 1 || s.Handshake.Headers[0].Name != "Origin" || s.Handshake.URL != "/" {
		t.Errorf("found %+v, handshake %+v", s, s.Handshake)
	}
	if found := h.Answer(&sio.FetchSockets{Target: sio.Target{Namespace: main}, Limit: 1})(); len(found.Sockets) != 1 || !found.Truncated {
		t.Errorf("limited: %+v", found)
	}
	if found := h.Answer(&sio.FetchSockets{Target: sio.Target{Namespace: "/none"}})(); len(found.Sockets) != 0 {
		t.Errorf("elsewhere: %+v", found)
	}
}

// Data is kept with a socket that is here, unless its version is another than the one named.
func TestHub_Answer_SetData(t *testing.T) {
	h := newHub(Alone{})
	k := addKeeper(h, main)
	set := func(ns sio.Namespace, id sio.SocketID, value string, ifVersion uint64) sio.Found {
		return h.Answer(&sio.SetData{Namespace: ns, Socket: id, Data: []byte(value), IfVersion: ifVersion})()
	}
	if f := set(main, k.id, "1", 0); f.Conflict || f.Set == nil || f.Set.Version != 1 {
		t.Errorf("first: %+v", f)
	}
	if f := set(main, k.id, "2", 9); !f.Conflict || f.Set.Version != 1 || string(f.Set.Value) != "1" || testutil.ToFloat64(h.metrics.DataConflicts) != 1 {
		t.Errorf("conflict: %+v", f)
	}
	if f := set("/other", k.id, "3", 0); f.Set != nil {
		t.Errorf("other namespace: %+v", f)
	}
	if f := set(main, "nobody", "3", 0); f.Set != nil {
		t.Errorf("nobody: %+v", f)
	}
}

// Whatever sockets come and go, join and leave, queries agree with the plain table.
func TestHub_Answer_Model(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 3))
		h := newHub(Alone{})
		m := model{"/": {}, "/a": {}}
		for range 300 {
			step(t, r, h, m)
			target := randomTarget(r, m)
			checkFetch(t, h, m, &target)
			checkRooms(t, h, m, target.Namespace, r.IntN(2) == 0)
		}
	}
}

func checkFetch(t *testing.T, h *Hub, m model, target *sio.Target) {
	t.Helper()
	got := map[sio.SocketID][]sio.Room{}
	found := h.Answer(&sio.FetchSockets{Target: *target})()
	for _, s := range found.Sockets {
		got[s.ID] = slices.Sorted(slices.Values(s.Rooms))
	}
	want := map[sio.SocketID][]sio.Room{}
	for _, s := range m.choose(*target) {
		want[s.id] = slices.Sorted(maps.Keys(m[target.Namespace][s]))
	}
	if len(found.Sockets) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("fetch of %+v: %v, want %v", target, got, want)
	}
}

func checkRooms(t *testing.T, h *Hub, m model, ns sio.Namespace, own bool) {
	t.Helper()
	want := map[sio.Room]int{}
	owners := map[sio.Room]bool{}
	for s, rooms := range m[ns] {
		owners[s.id.Room()] = true
		for r := range rooms {
			want[r]++
		}
	}
	if !own {
		maps.DeleteFunc(want, func(r sio.Room, _ int) bool { return owners[r] })
	}
	got := map[sio.Room]int{}
	found := h.Answer(&sio.ListRooms{Namespace: ns, IncludeOwn: own})()
	for _, r := range found.Rooms {
		got[r.Name] = r.Sockets
	}
	if len(found.Rooms) != len(want) || !maps.Equal(got, want) {
		t.Fatalf("rooms %v, want %v", got, want)
	}
	if len(want) > 1 {
		if found := h.Answer(&sio.ListRooms{Namespace: ns, IncludeOwn: own, Limit: 1})(); len(found.Rooms) != 1 || !found.Truncated {
			t.Fatalf("limited: %+v", found)
		}
	}
}

// The other replicas are asked unless only this one can know, and what they found is added, within
// the limit.
func TestHub_Query(t *testing.T) {
	foreign := sio.NewSocketID("BBBBBB")
	everyone := sio.Target{Namespace: main}
	p := &fakePublisher{}
	h := newHub(p)
	k := addKeeper(h, main)
	h.Apply(&sio.Join{Target: everyone, Rooms: []sio.Room{"r", "q"}})
	for name, test := range map[string]struct {
		query sio.Query
		asks  bool
	}{
		"sockets":        {&sio.FetchSockets{Target: everyone}, true},
		"sockets here":   {&sio.FetchSockets{Target: sio.Target{Namespace: main, Local: true}}, false},
		"own socket":     {&sio.FetchSockets{Target: sio.Target{Namespace: main, Rooms: []sio.Room{k.id.Room()}}}, false},
		"foreign socket": {&sio.FetchSockets{Target: sio.Target{Namespace: main, Rooms: []sio.Room{foreign.Room()}}}, true},
		"rooms":          {&sio.ListRooms{Namespace: main}, true},
		"rooms here":     {&sio.ListRooms{Namespace: main, Local: true}, false},
		"data":           {&sio.SetData{Namespace: main, Socket: k.id}, false},
		"foreign data":   {&sio.SetData{Namespace: main, Socket: foreign}, true},
		"nobody's data":  {&sio.SetData{Namespace: main, Socket: "x"}, false},
	} {
		p.asked = nil
		collect, waits := h.Query(t.Context(), test.query)
		if _, err := collect(); err != nil || waits || (len(p.asked) > 0) != test.asks {
			t.Errorf("%s: waits %v, %v, asked %v", name, waits, err, p.asked)
		}
	}
	ask := func(q sio.Query, found sio.Found, failure error) (sio.Found, error) {
		t.Helper()
		p.found = func() (sio.Found, error) { return found, failure }
		collect, waits := h.Query(t.Context(), q)
		if !waits {
			t.Errorf("%T waits for nobody", q)
		}
		return collect()
	}
	more := sio.Found{Sockets: make([]sio.SocketInfo, 2), Silent: []sio.ReplicaID{"x"}}
	if f, err := ask(&sio.FetchSockets{Target: everyone, Limit: 3}, more, nil); err != nil || len(f.Sockets) != 3 || f.Truncated || len(f.Silent) != 1 {
		t.Errorf("sockets %+v, %v", f, err)
	}
	if f, err := ask(&sio.FetchSockets{Target: everyone, Limit: 2}, more, errors.New("down")); len(f.Sockets) != 2 || !f.Truncated || sio.CodeOf(err) != sio.CodeUnavailable {
		t.Errorf("sockets %+v, %v", f, err)
	}
	more = sio.Found{Rooms: []sio.RoomInfo{{Name: "s", Sockets: 1}, {Name: "r", Sockets: 2}, {Name: "s", Sockets: 3}}}
	f, err := ask(&sio.ListRooms{Namespace: main, Limit: 3}, more, nil)
	slices.SortFunc(f.Rooms, func(a, b sio.RoomInfo) int { return compare(sio.SocketID(a.Name), sio.SocketID(b.Name)) })
	if got := fmt.Sprint(f.Rooms); err != nil || got != "[{q 1} {r 3} {s 4}]" || f.Truncated {
		t.Errorf("rooms %s, %v", got, err)
	}
	if f, _ := ask(&sio.ListRooms{Namespace: main, Limit: 2}, more, nil); len(f.Rooms) != 2 || !f.Truncated {
		t.Errorf("rooms %+v", f)
	}
	set := &sio.SetData{Namespace: main, Socket: foreign}
	if f, err := ask(set, sio.Found{Set: &sio.Data{Version: 3}, Conflict: true}, nil); err != nil || f.Set.Version != 3 || !f.Conflict {
		t.Errorf("data %+v, %v", f, err)
	}
	if f, err := ask(set, sio.Found{Silent: []sio.ReplicaID{"x"}}, nil); sio.CodeOf(err) != sio.CodeUnavailable || f.Set != nil {
		t.Errorf("data %+v, %v", f, err)
	}
	if f, err := ask(set, sio.Found{}, nil); err != nil || f.Set != nil {
		t.Errorf("data %+v, %v", f, err)
	}
}

// A pattern reaches the sockets of every namespace whose whole name it matches, each once and under
// its own namespace.
func TestHub_Pattern(t *testing.T) {
	p := &fakePublisher{}
	h := newHub(p)
	a, b, c := addSocket(h, "/room-1"), addSocket(h, "/room-2"), addSocket(h, "/room-1-more")
	lonely := addSocket(h, "/other")
	rooms := sio.Target{Namespace: `/room-\d`, Pattern: true}
	if n := h.Apply(&sio.Join{Target: rooms, Rooms: []sio.Room{"r"}}); n != 2 {
		t.Errorf("join reached %d", n)
	}
	n, err := h.Execute(&sio.Emit{Target: sio.Target{Namespace: `/.*`, Pattern: true, Rooms: []sio.Room{"r"}, Except: []sio.Room{b.id.Room()}}})
	if n != 1 || err != nil || a.deliveries() != 1 || a.got[0].Namespace != "/room-1" || b.deliveries() != 0 {
		t.Errorf("emit reached %d, %v", n, err)
	}
	if len(p.published) != 1 || !p.published[0].To().Pattern {
		t.Errorf("published to the others %+v", p.published)
	}
	for _, s := range []*fakeSocket{a, b, c} {
		s.deliver = func(d *Delivery) { d.Acked(s.id, sio.Ack{}) }
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	asked, acks := collect(ctx, h, &sio.Emit{Target: rooms})
	if asked != 2 || len(acks.Came) != 2 || acks.Missing != 0 || a.deliveries() != 2 || b.deliveries() != 1 {
		t.Errorf("asked %d: %+v", asked, acks)
	}
	if n := h.Apply(&sio.Leave{Target: rooms, Rooms: []sio.Room{"r"}}); n != 2 || len(h.Rooms("/room-1", a.id)) != 1 {
		t.Errorf("leave reached %d", n)
	}
	if n := h.Apply(&sio.Disconnect{Target: sio.Target{Namespace: "/room-1|/other", Pattern: true}}); n != 2 || a.ended != 1 || lonely.ended != 1 || c.ended != 0 {
		t.Errorf("disconnect reached %d", n)
	}
	if n := h.Deliver(&sio.Emit{Target: sio.Target{Namespace: "(", Pattern: true}}); n != 0 {
		t.Errorf("no pattern reached %d", n)
	}
	for i := range 2 * maxPatterns {
		h.Deliver(&sio.Emit{Target: sio.Target{Namespace: sio.Namespace(fmt.Sprint("/", i)), Pattern: true}})
	}
	if n := len(h.patterns.compiled); n != maxPatterns {
		t.Errorf("%d patterns are remembered", n)
	}
}
