// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// withRecovery lets sockets come back for two minutes.
func withRecovery(s *setup) {
	s.edge.Recovery = 2 * time.Minute
	s.journal = hub.JournalOptions{Retention: s.edge.Recovery + s.edge.Engine.PingInterval + s.edge.Engine.PingTimeout, MaxEvents: 1000, MaxBytes: 1 << 20}
}

// A browser that lost its connection comes back as who it was, to its rooms and to all that it
// missed, with attachments and in order. What wants an ack, or is volatile, is not sent again.
func TestRecovery_OK(t *testing.T) {
	bothTransports(t, withRecovery, func(t *testing.T, w *world, o edgetest.Options) {
		p, other := w.page("/admin", o), w.page("/admin", o)
		id, pid := p.sid, p.pid
		if len(pid) < 26 || pid == string(id) || pid == p.browser.SessionID || pid == other.pid {
			t.Fatalf("pid %q, sid %q", pid, id)
		}
		w.hub.Apply(&sio.Join{Target: sio.Target{Namespace: "/admin", Rooms: []sio.Room{id.Room()}}, Rooms: []sio.Room{"a"}})
		w.emit("/admin", "first", `[1]`)
		p.read(1)
		p.cut()
		if got := value(w.metrics.Recoverable); got != 1 {
			t.Errorf("%v are absent", got)
		}
		w.emit("/admin", "all", `[2]`)
		w.emit("/admin", "room", `[3]`, "a")
		w.emit("/admin", "elsewhere", `[4]`, "b")
		w.emit("/admin", "direct", `[5]`, id.Room())
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/admin", Except: []sio.Room{"a"}}, Event: sio.Event{Name: "except"}})
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/admin"}, Event: sio.Event{Name: "volatile"}, EmitFlags: sio.EmitFlags{Volatile: true}})
		w.hub.Ask(&sio.Emit{Target: sio.Target{Namespace: "/admin"}, Event: sio.Event{Name: "ack"}})
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/admin"}, Event: sio.Event{
			Name: "binary", Args: []byte(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1, 2}},
		}})
		p.connect(map[string]any{"token": 7})
		if p.sid != id || p.pid != pid {
			t.Errorf("came back as %q %q", p.sid, p.pid)
		}
		p.expect(true, "first", "all", "room", "direct", "binary")
		w.emit("/admin", "later", `[]`, "a")
		p.read(1)
		p.expect(true, "later")
		connects, reasons := w.service.calls(dispatch.Connect), w.service.reasons()
		last := connects[len(connects)-1].socket
		if in := last.Introduction(); last.ID() != id || !in.Recovered || string(in.Auth) != `{"token":7}` {
			t.Errorf("the service was asked about %s: %+v %s", last.ID(), in, in.Auth)
		}
		if connects[0].socket.Introduction().Recovered || !slices.Equal(reasons, []sio.Reason{sio.ReasonTransportClose}) {
			t.Errorf("reasons %q", reasons)
		}
		if w.outcome(outcomeRecovered) != 1 || value(w.metrics.Replayed) != 4 || value(w.metrics.Recoverable) != 0 {
			t.Error("not counted")
		}
	})
}

// A browser that never got an event comes back too, again and again, also long after the last
// event.
func TestRecovery_Quiet(t *testing.T) {
	inBubble(t, withRecovery, func(t *testing.T, w *world) {
		p := w.page("/", edgetest.Options{})
		for range 3 {
			p.cut()
			p.connect(nil)
			p.expect(true)
		}
		w.emit("/", "one", `[]`)
		p.read(1)
		time.Sleep(time.Hour)
		for i := range 3 {
			p.cut()
			w.emit("/", fmt.Sprint(i), `["text"]`)
			p.connect(nil)
		}
		p.expect(true, "one", "0", "1", "2")
	})
}

// A browser that is back before the loss was noticed takes its socket over: the old session ends,
// and nothing comes twice.
func TestRecovery_HalfOpen(t *testing.T) {
	bothTransports(t, withRecovery, func(t *testing.T, w *world, o edgetest.Options) {
		p := w.page("/", o)
		for range 2 {
			old := p.browser
			w.emit("/", "lost", `[]`)
			p.connect(nil)
			p.expect(true, "lost")
			old.ExpectClosed()
			synctest.Wait()
			if n := w.sockets("/"); n != 1 || value(w.metrics.Connected) != 1 {
				t.Errorf("%d sockets", n)
			}
			w.emit("/", "live", `[]`)
			p.read(1)
			p.expect(true, "live")
		}
		kinds := []dispatch.Kind{}
		for _, c := range w.service.of("/") {
			kinds = append(kinds, c.kind)
		}
		if want := []dispatch.Kind{dispatch.Connect, dispatch.Disconnected, dispatch.Connect, dispatch.Disconnected, dispatch.Connect}; !slices.Equal(kinds, want) {
			t.Errorf("the service got %v, want %v", kinds, want)
		}
	})
}

// The window is open until its last second, and closed in the next.
func TestRecovery_Window(t *testing.T) {
	inBubble(t, withRecovery, func(t *testing.T, w *world) {
		p := w.page("/", edgetest.Options{})
		p.cut()
		w.emit("/", "missed", `[]`)
		time.Sleep(2*time.Minute - time.Second)
		p.connect(nil)
		p.expect(true, "missed")
		id := p.sid
		p.cut()
		w.emit("/", "gone", `[]`)
		time.Sleep(2*time.Minute + time.Second)
		if got := value(w.metrics.Recoverable); got != 0 {
			t.Errorf("%v are absent", got)
		}
		p.connect(nil)
		p.expect(false)
		if p.sid == id || w.outcome(failedUnknown) != 1 {
			t.Error("an expired socket came back")
		}
	})
}

// Who shows what nobody knows, or what is not whole any more, gets a new socket and nothing of the
// old one.
func TestRecovery_Failed(t *testing.T) {
	cases := map[string]struct {
		spoil func(w *world, p *page)
		cause string
	}{
		"unknown pid":     {func(_ *world, p *page) { p.pid = strings.Repeat("x", 30) }, failedUnknown},
		"other namespace": {func(_ *world, p *page) { p.ns = "/admin" }, failedUnknown},
		"unknown offset":  {func(_ *world, p *page) { p.offset = "unknown" }, string(hub.LossOffset)},
		"too many": {func(w *world, _ *page) {
			for range 1001 {
				w.emit("/", "more", `[]`)
			}
		}, string(hub.LossIncomplete)},
		"too large": {func(w *world, _ *page) { w.emit("/", "large", `["`+strings.Repeat("x", 200_000)+`"]`) }, string(hub.LossTooLarge)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(s *setup) { withRecovery(s); s.edge.Engine.MaxOutbound = 200_000 }, func(t *testing.T, w *world) {
				p := w.page("/", edgetest.Options{})
				w.emit("/", "first", `[]`)
				p.read(1)
				p.cut()
				w.emit("/", "missed", `[]`)
				c.spoil(w, p)
				id, pid := p.sid, p.pid
				p.connect(nil)
				p.expect(false, "first")
				if p.sid == id || p.pid == pid || w.outcome(c.cause) != 1 {
					t.Errorf("came back as %q, %v with the cause", p.sid, w.outcome(c.cause))
				}
				w.emit(p.ns, "live", `[]`)
				p.read(1)
			})
		})
	}
}

// A socket that left, or was sent away, does not come back.
func TestRecovery_Final(t *testing.T) {
	for name, end := range map[string]func(w *world, p *page){
		"client": func(_ *world, p *page) { p.browser.Send("1") },
		"server": func(w *world, _ *page) { w.disconnect("/", false) },
		"closed": func(w *world, _ *page) { w.disconnect("/", true) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, withRecovery, func(t *testing.T, w *world) {
				p := w.page("/", edgetest.Options{})
				end(w, p)
				synctest.Wait()
				p.cut()
				p.connect(nil)
				p.expect(false)
				if got := len(w.edge.recovery.records); got != 1 {
					t.Errorf("%d records", got)
				}
			})
		})
	}
}

// Reasons that say nothing of the browser's will let it come back.
func TestRecovery_Reasons(t *testing.T) {
	for name, c := range map[string]struct {
		end       func(w *world, p *page)
		recovered bool
	}{
		"ping timeout":    {func(w *world, p *page) { p.browser.Mute(); time.Sleep(time.Minute) }, true},
		"forced close":    {func(_ *world, p *page) { p.browser.Send("2/unknown,[\"e\"]") }, true},
		"transport close": {func(_ *world, p *page) { p.browser.SendPacket("1") }, true},
		"parse error":     {func(_ *world, p *page) { p.browser.SendPacket("?") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, withRecovery, func(t *testing.T, w *world) {
				p := w.page("/", edgetest.Options{})
				c.end(w, p)
				synctest.Wait()
				if reasons := w.service.reasons(); !slices.Equal(reasons, []sio.Reason{sio.Reason(name)}) {
					t.Fatalf("reasons %q", reasons)
				}
				p.connect(nil)
				p.expect(c.recovered)
			})
		})
	}
}

// The services are asked again, and may refuse. A browser that then shows better credentials, or is
// lost meanwhile, may still come back.
func TestRecovery_Refused(t *testing.T) {
	hold := false
	inBubble(t, func(s *setup) {
		withRecovery(s)
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Connect && strings.Contains(string(c.socket.Introduction().Auth), "bad") {
				return &sio.Result{Outcome: sio.Refused, Message: "no"}
			}
			if c.kind == dispatch.Connect && hold {
				return nil
			}
			return echo(c)
		}
	}, func(t *testing.T, w *world) {
		p := w.page("/", edgetest.Options{})
		p.cut()
		w.emit("/", "missed", `[]`)
		p.connect(map[string]any{"bad": true})
		if p.refused == "" {
			t.Fatal("not refused")
		}
		p.cut()
		hold = true
		p.browser = w.Open(edgetest.Options{})
		p.ask(nil)
		open := w.heldConnect()
		w.emit("/", "held", `[]`)
		hold = false

		// While the services decide, nobody else gets the socket.
		thief := &page{w: w, ns: "/", pid: p.pid}
		thief.connect(nil)
		thief.expect(false)
		if w.outcome(failedClaimed) != 1 {
			t.Error("not counted")
		}

		p.cut()
		w.service.late(open, sio.Result{Outcome: sio.Handled})
		p.connect(nil)
		p.expect(true, "missed", "held")
		if got := value(w.metrics.Pending); got != 0 || w.sockets("/") != 2 {
			t.Errorf("%v pending, %d sockets", got, w.sockets("/"))
		}
	})
}

// Too many absent sockets are not kept: the first to go is the first to be forgotten.
func TestRecovery_Sessions(t *testing.T) {
	inBubble(t, func(s *setup) { withRecovery(s); s.edge.RecoverySessions = 2 }, func(t *testing.T, w *world) {
		var pages []*page
		for range 3 {
			pages = append(pages, w.page("/", edgetest.Options{}))
		}
		for _, p := range pages {
			p.cut()
		}
		for i, p := range pages {
			p.connect(nil)
			p.expect(i > 0)
		}
		if value(w.metrics.RecoveryOverflows) != 1 || value(w.metrics.Recoverable) != 0 {
			t.Error("not counted")
		}
	})
}

// Two browsers that show one private id at the same time: the socket is there once.
func TestRecovery_Race(t *testing.T) {
	for range 20 {
		inBubble(t, withRecovery, func(t *testing.T, w *world) {
			p := w.page("/", edgetest.Options{})
			var racers []*page
			var racing sync.WaitGroup
			for range 3 {
				r := &page{w: w, ns: "/", pid: p.pid, browser: w.Open(edgetest.Options{})}
				racers = append(racers, r)
			}
			for _, r := range racers {
				racing.Go(func() { r.ask(nil) })
			}
			racing.Wait()
			synctest.Wait()
			ids := map[sio.SocketID]int{}
			for _, s := range w.edge.liveSockets() {
				ids[s.id]++
			}
			if ids[p.sid] != 1 || len(ids) != w.sockets("/") {
				t.Errorf("sockets %v, %d in the hub", ids, w.sockets("/"))
			}
		})
	}
}

// liveSockets gives those that records say are live.
func (s *Server) liveSockets() (live []*Socket) {
	s.recovery.mu.Lock()
	defer s.recovery.mu.Unlock()
	for _, rec := range s.recovery.records {
		if rec.live != nil && rec.live.joined() {
			live = append(live, rec.live)
		}
	}
	return live
}

// Without the setting no browser gets anything, and nothing is kept.
func TestRecovery_Off(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		p := w.page("/", edgetest.Options{})
		w.emit("/", "first", `["text"]`)
		p.read(1)
		if p.pid != "" || p.offset != "" {
			t.Errorf("pid %q, offset %q", p.pid, p.offset)
		}
		p.pid = "something"
		p.cut()
		p.connect(nil)
		p.expect(false, "first")
		connects := w.service.calls(dispatch.Connect)
		if auth := string(connects[1].socket.Introduction().Auth); auth != `{"pid":"something"}` {
			t.Errorf("auth %s", auth)
		}
	})
}

// Whatever the network does while several emit, join and leave, each page gets all that is for it,
// once and in order.
func TestRecovery_Model(t *testing.T) {
	for seed := range uint64(12) {
		inBubble(t, withRecovery, func(t *testing.T, w *world) {
			r := rand.New(rand.NewPCG(seed, 9))
			type state struct {
				*page
				rooms map[sio.Room]bool
				want  []string
				cut   bool
			}
			var pages []*state
			for i := range 3 {
				pages = append(pages, &state{page: w.page("/", edgetest.Options{Polling: i == 2}), rooms: map[sio.Room]bool{}})
			}
			for i := range 150 {
				s := pages[r.IntN(len(pages))]
				room := sio.Room(fmt.Sprint("room", r.IntN(2)))
				own := sio.Target{Namespace: "/", Rooms: []sio.Room{s.sid.Room()}}
				switch action := r.IntN(10); {
				case action < 5:
					name := fmt.Sprint(i)
					w.emit("/", name, `[]`, room)
					for _, s := range pages {
						if s.rooms[room] {
							s.want = append(s.want, name)
						}
					}
				case s.cut:
					s.connect(nil)
					s.cut = false
				case action == 5:
					w.hub.Apply(&sio.Leave{Target: own, Rooms: []sio.Room{room}})
					delete(s.rooms, room)
				case action < 8:
					w.hub.Apply(&sio.Join{Target: own, Rooms: []sio.Room{room}})
					s.rooms[room] = true
				case action == 8: // back before the loss is noticed
					s.connect(nil)
				default:
					s.read(r.IntN(len(s.want) - len(s.events) + 1))
					s.page.cut()
					s.cut = true
				}
			}
			for _, s := range pages {
				s.connect(nil)
				s.read(len(s.want) - len(s.events))
				s.expect(true, s.want...)
				s.browser.ExpectQuiet(moment)
			}
		})
	}
}

// A private id and an offset are for the broker, everything else in the payload is for the
// services.
func TestClaimFromPayload(t *testing.T) {
	for payload, want := range map[string][4]string{
		``:                {"", "", "", "false"},
		`{"token":"pid"}`: {"", "", `{"token":"pid"}`, "false"},
		`{"pid":1}`:       {"", "", `{"pid":1}`, "false"},
		`{"pid":""}`:      {"", "", `{"pid":""}`, "false"},
		`{"pid":"p"}`:     {"p", "", "", "true"},
		`{"pid":"p","offset":"o","t":"<\u00e9","n":1.50}`: {"p", "o", `{"n":1.50,"t":"<\u00e9"}`, "true"},
		`{"pid":"p","offset":7,"a":{"pid":2}}`:            {"p", "7", `{"a":{"pid":2}}`, "true"},
	} {
		pid, offset, rest, shown := claimFromPayload([]byte(payload))
		if got := [4]string{string(pid), offset, string(rest), fmt.Sprint(shown)}; got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}
