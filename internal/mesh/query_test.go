// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// keeper is a socket that describes itself and keeps data.
type keeper struct {
	fakeSocket
	auth []byte

	keeping sync.Mutex
	data    sio.Data
}

func (k *keeper) Describe() sio.SocketInfo {
	k.keeping.Lock()
	defer k.keeping.Unlock()
	return sio.SocketInfo{Data: k.data, Auth: k.auth, Handshake: &sio.Handshake{
		URL: "/u", Headers: []sio.Header{{Name: "Cookie", Value: "secret"}, {Name: "Origin", Value: "o"}},
	}}
}

func (k *keeper) Keep(value []byte, ifVersion uint64) (sio.Data, bool) {
	k.keeping.Lock()
	defer k.keeping.Unlock()
	if ifVersion != 0 && ifVersion != k.data.Version {
		return k.data, false
	}
	k.data = sio.Data{Value: value, Version: k.data.Version + 1}
	return k.data, true
}

func addKeeper(n *node, ns sio.Namespace, rooms ...sio.Room) *keeper {
	k := &keeper{fakeSocket: fakeSocket{id: sio.NewSocketID(n.id)}, auth: []byte(`{"secret":1}`)}
	n.hub.Add(ns, k)
	n.hub.Apply(&sio.Join{Target: sio.Target{Namespace: ns, Rooms: []sio.Room{k.id.Room()}}, Rooms: rooms})
	return k
}

// ask carries a query out on the node, within the time.
func ask(t *testing.T, n *node, timeout time.Duration, q sio.Query) (sio.Found, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	collect, _ := n.hub.Query(ctx, q)
	return collect()
}

// Sockets are found on every replica with all that is known of them, and secrets travel only when
// they are asked for.
func TestMesh_FetchSockets(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		var all []*keeper
		for _, n := range nodes {
			k := addKeeper(n, "/q", "all")
			k.data = sio.Data{Value: []byte(`{"d":1}`), Version: 4}
			all = append(all, k)
		}
		inRoom := addKeeper(nodes[2], "/q", "room")
		fetch := func(target sio.Target, credentials bool) map[sio.SocketID]sio.SocketInfo {
			t.Helper()
			target.Namespace = "/q"
			found, err := ask(t, nodes[0], 20*time.Second, &sio.FetchSockets{Target: target, Limit: 100, Credentials: credentials})
			if err != nil || found.Truncated || len(found.Silent) > 0 {
				t.Errorf("found %+v, %v", found, err)
			}
			byID := map[sio.SocketID]sio.SocketInfo{}
			for _, s := range found.Sockets {
				byID[s.ID] = s
			}
			if len(byID) != len(found.Sockets) {
				t.Errorf("a socket was found twice")
			}
			return byID
		}
		found := fetch(sio.Target{Rooms: []sio.Room{"all", "room"}, Except: []sio.Room{"nobody"}}, false)
		if len(found) != 4 {
			t.Errorf("found %+v", found)
		}
		for i, k := range all {
			s := found[k.id]
			if !slices.Equal(s.Rooms, []sio.Room{k.id.Room(), "all"}) || s.Data.Version != 4 || string(s.Data.Value) != `{"d":1}` ||
				s.Replica != nodes[i].id || s.Handshake.URL != "/u" || s.Auth != nil || len(s.Handshake.Headers) != 1 {
				t.Errorf("found %+v with %+v", s, s.Handshake)
			}
			if s := fetch(sio.Target{Rooms: []sio.Room{k.id.Room()}}, true)[k.id]; string(s.Auth) != string(k.auth) || len(s.Handshake.Headers) != 2 {
				t.Errorf("with credentials %+v", s)
			}
		}
		if found := fetch(sio.Target{Rooms: []sio.Room{"room"}}, false); len(found) != 1 || found[inRoom.id].ID != inRoom.id {
			t.Errorf("in the room %+v", found)
		}
		if found := fetch(sio.Target{Local: true}, false); len(found) != 1 || found[all[0].id].ID == "" {
			t.Errorf("here %+v", found)
		}
	})
}

// Many sockets come in several answers; the limit holds for all replicas together; what is too
// large for the backplane is reported as missing.
func TestMesh_FetchSockets_Large(t *testing.T) {
	onMemory(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		for i := range 200 {
			k := addKeeper(nodes[1+i%2], "/q")
			k.auth = bytes.Repeat([]byte("x"), 10_000)
		}
		for limit, truncated := range map[int]bool{200: false, 150: true, 20: true} {
			found, err := ask(t, nodes[0], 20*time.Second, &sio.FetchSockets{Target: sio.Target{Namespace: "/q"}, Limit: limit, Credentials: true})
			if err != nil || len(found.Sockets) != limit || found.Truncated != truncated {
				t.Errorf("limit %d: found %d, truncated %v, %v", limit, len(found.Sockets), found.Truncated, err)
			}
		}
		huge := addKeeper(nodes[1], "/huge")
		huge.auth = make([]byte, 2*maxEnvelope)
		addKeeper(nodes[2], "/huge")
		found, err := ask(t, nodes[0], 20*time.Second, &sio.FetchSockets{Target: sio.Target{Namespace: "/huge"}, Limit: 9, Credentials: true})
		if err != nil || len(found.Sockets) != 1 || !found.Truncated || len(found.Silent) != 0 {
			t.Errorf("found %d, truncated %v, silent %v, %v", len(found.Sockets), found.Truncated, found.Silent, err)
		}
		for range 4 {
			addKeeper(nodes[1], "/huge")
		}
		for range 20 { // the large one comes in any place
			found, err := ask(t, nodes[0], 20*time.Second, &sio.FetchSockets{Target: sio.Target{Namespace: "/huge"}, Limit: 9, Credentials: true})
			if err != nil || !found.Truncated || len(found.Silent) != 0 {
				t.Errorf("found %d, truncated %v, silent %v, %v", len(found.Sockets), found.Truncated, found.Silent, err)
			}
		}
		nodes[1].mesh.options.MaxQueryResults = 7
		found, _ = ask(t, nodes[0], 20*time.Second, &sio.FetchSockets{Target: sio.Target{Namespace: "/q"}, Limit: 200})
		if len(found.Sockets) != 107 || !found.Truncated {
			t.Errorf("with a bound elsewhere: found %d", len(found.Sockets))
		}
	})
}

// A replica that is silent is named, after the time; one that leaves meanwhile, or has too much to
// do, is not waited for.
func TestMesh_Query_Silent(t *testing.T) {
	onMemory(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		for _, n := range nodes {
			addKeeper(n, "/q", "r")
		}
		fetch := &sio.FetchSockets{Target: sio.Target{Namespace: "/q"}, Limit: 100}
		b.link.set(func(f *faulty) { f.mute = true })
		start := time.Now()
		found, err := ask(t, a, time.Second, fetch)
		if err != nil || len(found.Sockets) != 2 || !slices.Equal(found.Silent, []sio.ReplicaID{b.id}) || time.Since(start) != time.Second {
			t.Errorf("found %+v, %v, after %v", found, err, time.Since(start))
		}
		rooms, err := ask(t, a, time.Second, &sio.ListRooms{Namespace: "/q", Limit: 100})
		if err != nil || fmt.Sprint(rooms.Rooms) != "[{r 2}]" || !slices.Equal(rooms.Silent, []sio.ReplicaID{b.id}) {
			t.Errorf("rooms %+v, %v", rooms, err)
		}
		_, err = ask(t, a, time.Second, &sio.SetData{Namespace: "/q", Socket: sio.NewSocketID(b.id)})
		if sio.CodeOf(err) != sio.CodeUnavailable {
			t.Errorf("data: %v", err)
		}

		c.mesh.mu.Lock()
		c.mesh.gathers = c.mesh.options.MaxGathers
		c.mesh.mu.Unlock()
		b.link.set(func(f *faulty) { f.mute = false })
		start = time.Now()
		found, _ = ask(t, a, 5*time.Second, fetch)
		if len(found.Sockets) != 2 || !slices.Equal(found.Silent, []sio.ReplicaID{c.id}) || time.Since(start) != 0 {
			t.Errorf("one is busy: found %+v after %v", found, time.Since(start))
		}
		c.mesh.mu.Lock()
		c.mesh.gathers = 0
		c.mesh.mu.Unlock()

		b.link.set(func(f *faulty) { f.lose = 1 }) // its answer
		time.AfterFunc(time.Second, b.stop)
		start = time.Now()
		found, err = ask(t, a, 5*time.Second, fetch)
		if err != nil || len(found.Sockets) != 2 || len(found.Silent) != 0 || time.Since(start) != time.Second {
			t.Errorf("one leaves: found %+v, %v, after %v", found, err, time.Since(start))
		}
		a.link.set(func(f *faulty) { f.refuse = true })
		if found, err = ask(t, a, time.Second, fetch); sio.CodeOf(err) != sio.CodeUnavailable || len(found.Sockets) != 1 {
			t.Errorf("cut off: found %+v, %v", found, err)
		}
		a.link.set(func(f *faulty) { f.refuse = false })
		for _, n := range nodes {
			if open := testutil.ToFloat64(n.metrics.QueriesOpen); open != 0 {
				t.Errorf("%v queries are open", open)
			}
		}
	})
}

// The rooms of a namespace are those of all replicas, each once.
func TestMesh_ListRooms(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		addKeeper(nodes[0], "/q", "x", "y")
		addKeeper(nodes[1], "/q", "y")
		k := addKeeper(nodes[2], "/q", "y", "z")
		list := func(q *sio.ListRooms) string {
			t.Helper()
			q.Namespace, q.Limit = "/q", 100
			found, err := ask(t, nodes[0], 20*time.Second, q)
			if err != nil || found.Truncated {
				t.Errorf("found %+v, %v", found, err)
			}
			slices.SortFunc(found.Rooms, func(a, b sio.RoomInfo) int { return strings.Compare(string(a.Name), string(b.Name)) })
			return fmt.Sprint(found.Rooms)
		}
		if got := list(&sio.ListRooms{}); got != "[{x 1} {y 3} {z 1}]" {
			t.Errorf("rooms %s", got)
		}
		if got := list(&sio.ListRooms{IncludeOwn: true}); strings.Count(got, "{") != 6 || !strings.Contains(got, "{"+string(k.id)+" 1}") {
			t.Errorf("own rooms too %s", got)
		}
		if got := list(&sio.ListRooms{Local: true}); got != "[{x 1} {y 1}]" {
			t.Errorf("here %s", got)
		}
		if found, _ := ask(t, nodes[0], 20*time.Second, &sio.ListRooms{Namespace: "/q", Limit: 2}); len(found.Rooms) != 2 || !found.Truncated {
			t.Errorf("limited %+v", found)
		}
	})
}

// Data is kept with a socket wherever it lives, by its replica alone, and one who knows an old
// version gets the present one.
func TestMesh_SetData(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		k := addKeeper(b, "/q")
		set := func(id sio.SocketID, data string, ifVersion uint64) (sio.Found, error) {
			return ask(t, a, 20*time.Second, &sio.SetData{Namespace: "/q", Socket: id, Data: []byte(data), IfVersion: ifVersion})
		}
		if f, err := set(k.id, "1", 0); err != nil || f.Set == nil || f.Set.Version != 1 || f.Conflict || string(k.Describe().Data.Value) != "1" {
			t.Errorf("kept %+v, %v", f, err)
		}
		if f, err := set(k.id, "2", 7); err != nil || f.Set == nil || !f.Conflict || f.Set.Version != 1 || string(f.Set.Value) != "1" {
			t.Errorf("conflict %+v, %v", f, err)
		}
		if f, err := set(sio.NewSocketID(b.id), "1", 0); err != nil || f.Set != nil {
			t.Errorf("gone %+v, %v", f, err)
		}
		const asked = 50 // far more than there are heartbeats meanwhile
		before := testutil.ToFloat64(c.metrics.Received)
		for range asked {
			if _, err := set(k.id, "2", 7); err != nil {
				t.Error(err)
			}
		}
		if n := testutil.ToFloat64(c.metrics.Received) - before; n >= asked {
			t.Errorf("the third received %v envelopes", n)
		}
		if f, err := set(sio.NewSocketID("ZZZZZZ"), "1", 0); err != nil || f.Set != nil {
			t.Errorf("of a replica that is not there %+v, %v", f, err)
		}
	})
}

// A pattern in a target is sent as it is, and matched on each replica.
func TestMesh_Target_Pattern(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		one, two, other := addKeeper(nodes[1], "/room-1"), addKeeper(nodes[1], "/room-2"), addKeeper(nodes[1], "/other")
		target := sio.Target{Namespace: `/room-\d+`, Pattern: true}
		if _, err := nodes[0].hub.Execute(&sio.Emit{Target: target, Event: sio.Event{Name: "e"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := nodes[0].hub.Execute(&sio.Disconnect{Target: sio.Target{Namespace: `/room-2|/other`, Pattern: true}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all are reached", func() bool { return len(one.events()) == 1 && len(two.events()) == 2 && len(other.events()) == 1 })
		if got := fmt.Sprint(one.events(), two.events(), other.events()); got != "[e] [e disconnect] [disconnect]" {
			t.Errorf("got %s", got)
		}
	})
}

// Queries that make no sense, and answers that nobody asked for, harm nothing.
func TestMesh_Query_Garbage(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		for _, body := range []backplane.Body{
			&backplane.QueryRequest{ID: 1}, &backplane.QueryAnswer{ID: 99, Last: true},
			&backplane.QueryRequest{ID: 2, Message: &sio.Message{}},
			&backplane.QueryAnswer{ID: 99, Acks: make([]sio.InstanceAck, 1)},
		} {
			if err := a.publisher.Send(b.id, body); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if found, err := ask(t, b, time.Second, &sio.ListRooms{Namespace: "/"}); err != nil || len(found.Silent) != 0 {
			t.Errorf("found %+v, %v", found, err)
		}
	})
}
