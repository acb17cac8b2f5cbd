// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"sync"
	"testing"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// What handlers keep with a socket is reported with it, and is there again when it comes back.
func TestSocket_Keep(t *testing.T) {
	inBubble(t, withRecovery, func(t *testing.T, w *world) {
		p := w.page("/", edgetest.Options{})
		set := func(value string, ifVersion uint64) sio.Found {
			return w.hub.Answer(&sio.SetData{Namespace: "/", Socket: p.sid, Data: []byte(value), IfVersion: ifVersion})()
		}
		if f := set("1", firstVersion); f.Conflict || f.Set.Version != 2 {
			t.Errorf("first: %+v", f)
		}
		if f := set("2", 2); f.Conflict || f.Set.Version != 3 {
			t.Errorf("second: %+v", f)
		}
		if f := set("3", firstVersion); !f.Conflict || f.Set.Version != 3 || string(f.Set.Value) != "2" {
			t.Errorf("third: %+v", f)
		}
		p.cut()
		if f := set("4", 0); f.Set != nil {
			t.Errorf("while it is away: %+v", f)
		}
		p.connect(map[string]any{"token": 7})
		connects := w.service.calls(dispatch.Connect)
		if in := connects[len(connects)-1].socket.Introduction(); in.Data.Version != 3 || string(in.Data.Value) != "2" {
			t.Errorf("introduced with %+v", in.Data)
		}
		found := w.hub.Answer(&sio.FetchSockets{Target: sio.Target{Namespace: "/"}, Credentials: true})()
		if len(found.Sockets) != 1 {
			t.Fatalf("found %+v", found)
		}
		if s := found.Sockets[0]; s.ID != p.sid || s.Data.Version != 3 || string(s.Auth) != `{"token":7}` || s.Handshake.URL == "" || s.Replica != replica {
			t.Errorf("found %+v", s)
		}
	})
}

// Of those who change the same version at the same time, one succeeds.
func TestSocket_Keep_Race(t *testing.T) {
	s := &Socket{}
	s.Keep([]byte("0"), 0)
	const writers, rounds = 4, 200
	var won [writers]int
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range rounds {
				if _, kept := s.Keep(nil, s.kept().Version); kept {
					won[w]++
				}
			}
		})
	}
	all.Wait()
	sum := firstVersion + 1
	for _, n := range won {
		sum += n
	}
	if got := s.kept().Version; got != uint64(sum) {
		t.Errorf("version %d after %d changes", got, sum)
	}
}
