// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/edge/budget"
	"github.com/spanwire/spanwire/internal/sio"
)

// load queues messages of 10,000 bytes, in all about so many.
func load(s *Session, bytes int) {
	for range bytes / 10_000 {
		s.Queue(Message{Data: []byte(strings.Repeat("x", 10_000))})
	}
	s.Flush()
}

// When the budget is full the largest session that takes nothing is closed. One that reads is not,
// although more waits for it, and neither is one that takes nothing and holds less, once there is
// room.
func TestServer_Relief(t *testing.T) {
	inBubble(t, func(o *Options) { o.MaxOutboundTotal, o.WriteTimeout = 1<<20, time.Hour }, func(t *testing.T, w *world) {
		small, large, reads := w.websocket(), w.websocket(), w.websocket()
		stop := make(chan struct{})
		go func() {
			for range 70 {
				if _, _, err := reads.conn.ReadMessage(); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond) // a piece of a write in less than idleAfter
			}
			close(stop)
		}()
		load(small.rec.session, 150_000)
		load(large.rec.session, 250_000)
		load(reads.rec.session, 600_000)
		time.Sleep(time.Second)
		if held := w.engine.budget.Held(); held < 600_000 || held > 1<<20 {
			t.Fatalf("%d bytes are held", held)
		}
		load(small.rec.session, 120_000) // now it is the largest
		load(reads.rec.session, 200_000)
		w.wantClosed(small.rec, sio.ReasonSlowConsumer)
		w.wantOpen(large.rec)
		w.wantOpen(reads.rec)
		if held := w.engine.budget.Held(); held > 1<<20 {
			t.Errorf("%d bytes are held", held)
		}
		<-stop
		w.wantOpen(reads.rec)
	})
}

// With none that takes nothing, the largest of those that read is closed when there is no more room
// to wait.
func TestServer_Relief_Readers(t *testing.T) {
	inBubble(t, func(o *Options) { o.MaxOutboundTotal = 1 << 20 }, func(t *testing.T, w *world) {
		var all []*socket
		for range 2 {
			s := w.websocket()
			all = append(all, s)
			go func() {
				for {
					if _, _, err := s.conn.ReadMessage(); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}()
		}
		load(all[0].rec.session, 500_000)
		load(all[1].rec.session, 650_000)
		time.Sleep(time.Second)
		w.wantOpen(all[0].rec)
		w.wantOpen(all[1].rec) // a quarter more than the budget is borne
		load(all[1].rec.session, 900_000)
		w.wantClosed(all[1].rec, sio.ReasonSlowConsumer)
		w.wantOpen(all[0].rec)
	})
}

// A polling session that does not come for what waits is one that takes nothing. What it held is
// free at once.
func TestServer_Relief_Polling(t *testing.T) {
	inBubble(t, func(o *Options) { o.MaxOutboundTotal, o.PingInterval = 1<<20, time.Hour }, func(t *testing.T, w *world) {
		p := w.polling()
		shared := NewShared(Message{Data: []byte(strings.Repeat("x", 10_000))})
		for range 50 {
			p.rec.session.QueueShared(shared)
		}
		synctest.Wait() // the answer to the open is written
		if held := w.engine.budget.Held(); held > 10_001+50*packetCost {
			t.Errorf("%d bytes are held of one message", held)
		}
		load(p.rec.session, 1_100_000)
		w.wantClosed(p.rec, sio.ReasonSlowConsumer)
		time.Sleep(time.Second)
		if held := w.engine.budget.Held(); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
	})
}

// However a polling session ends, nothing of it is held.
func TestSession_PollingBudget(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *world, p *poller){
		"fetched": func(t *testing.T, w *world, p *poller) {
			for w.engine.budget.Held() > 0 {
				if r := p.get(); r.status != 200 {
					t.Fatalf("%+v", r)
				}
			}
		},
		"upgraded": func(t *testing.T, w *world, p *poller) {
			s, _, err := p.dialSocket("EIO=4&transport=websocket&sid="+p.sid, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.send("5")
			for range 50 {
				if _, _, err := s.conn.ReadMessage(); err != nil {
					t.Fatal(err)
				}
			}
		},
		"closed by the browser": func(_ *testing.T, _ *world, p *poller) { p.post("1") },
		"closed by this side": func(_ *testing.T, _ *world, p *poller) {
			p.rec.session.Close(sio.ReasonForcedServerClose)
			p.get()
		},
		"closed by this side, and forgotten": func(_ *testing.T, _ *world, p *poller) {
			p.rec.session.Close(sio.ReasonForcedServerClose)
			time.Sleep(time.Minute)
		},
		"cut off":        func(_ *testing.T, _ *world, p *poller) { p.rec.session.cutOff(cutFull) },
		"a rule broken":  func(_ *testing.T, _ *world, p *poller) { p.post("x") },
		"ping timed out": func(*testing.T, *world, *poller) { time.Sleep(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(o *Options) { o.CloseTimeout = 30 * time.Second }, func(t *testing.T, w *world) {
				p := w.polling()
				load(p.rec.session, 500_000)
				if w.engine.budget.Held() < 500_000 {
					t.Fatal("nothing is held")
				}
				end(t, w, p)
				synctest.Wait()
				if held := w.engine.budget.Held(); held != 0 {
					t.Errorf("%d bytes are held", held)
				}
			})
		})
	}
}

// A ping that waits behind a burst ends no session whose browser takes some of it, and every one
// whose browser takes none.
func TestSession_PingBehindBurst(t *testing.T) {
	inBubble(t, func(o *Options) { beats(o); o.WriteTimeout = time.Hour }, func(t *testing.T, w *world) {
		s, deaf := w.websocket(), w.websocket()
		load(s.rec.session, 1_000_000)
		load(deaf.rec.session, 1_000_000)
		for range 100 {
			time.Sleep(2 * time.Second)
			if _, data, err := s.conn.ReadMessage(); err != nil || len(data) != 10_001 {
				t.Fatalf("got %d bytes, %v", len(data), err)
			}
		}
		s.wantPackets("2")
		s.send("3")
		s.wantPackets("2")
		w.wantClosed(deaf.rec, sio.ReasonPingTimeout)
	})
}

// A pong counts only when the ping was fetched: a browser that does not come for its packets is
// found.
func TestSession_PongWithoutPing(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		p := w.polling()
		for range 4 {
			time.Sleep(10 * time.Second)
			p.want(p.post("3"), 200, "ok")
		}
		p.wantClosed(p.rec, sio.ReasonPingTimeout)
		p = w.polling()
		for range 4 {
			p.want(p.get(), 200, "2")
			p.want(p.post("3"), 200, "ok")
		}
		w.wantOpen(p.rec)
	})
}

// Many sessions that are not read hold the encoded bytes of one message once.
func TestShared_Once(t *testing.T) {
	m := NewShared(Message{Data: make([]byte, 100_000), Binary: true})
	o := DefaultOptions()
	first := m.frames(framedPlain, false, &o)
	b := budget.New(1<<40, func() {}, func(int) {})
	for range 100 {
		m.frames(framedPlain, false, &o).Hold(b)
		m.packets()[0].shared.Hold(b)
	}
	if first != m.frames(framedPlain, false, &o) || b.Held() > 200_100 {
		t.Errorf("%d bytes are held", b.Held())
	}
}
