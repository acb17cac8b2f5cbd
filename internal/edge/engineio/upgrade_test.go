// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// U1, U3: the whole dance, with messages at every step: by polling until `5`, by the WebSocket
// after it.
func TestSession_U1_U3_Upgrade(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	session := p.rec.session
	queue := func(text string) {
		session.Queue(Message{Data: []byte(text)})
		session.Flush()
	}
	s := p.probing()
	queue("one")
	p.want(p.get(), 200, "4one")
	s.send("2probe")
	s.wantPackets("3probe")
	queue("two")
	if session.Transport() != Polling {
		t.Error("upgraded too early")
	}
	p.want(p.get(), 200, "4two")
	p.want(p.post("4by polling"), 200, "ok")
	p.want(p.get(), 200, "4by polling")
	session.Queue(Message{Data: []byte("three")}, Message{Data: []byte{1, 2}, Binary: true})
	queue("four")
	s.send("5")
	s.wantPackets("4three", "binary:\x01\x02", "4four")
	if session.Transport() != WebSocket {
		t.Error("not upgraded")
	}
	queue("five")
	s.send("4by websocket")
	s.wantPackets("4five", "4by websocket")
	if got := fmt.Sprint(p.rec.got()); got != "[by polling by websocket]" {
		t.Error(got)
	}
	if w.obs.done != 1 || w.obs.failed != 0 {
		t.Errorf("counted %+v", w.obs)
	}
}

// U2: after the probe a GET that waits gets a noop at once, and so do those that follow, up to a
// number; then one comes every 100 ms.
func TestSession_U2_Noop(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		p := w.polling()
		waiting := p.begin()
		s := p.probing()
		time.Sleep(time.Second)
		select {
		case r := <-waiting:
			t.Fatalf("answered before the probe: %+v", r)
		default:
		}
		s.send("2probe")
		s.wantPackets("3probe")
		begin := time.Now()
		p.want(<-waiting, 200, "6")
		for range promptNoops - 1 {
			p.want(p.get(), 200, "6")
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the prompt noops took %v", took)
		}
		p.want(p.get(), 200, "6")
		p.want(p.get(), 200, "6")
		if took := time.Since(begin); took != 2*noopInterval {
			t.Errorf("two more took %v", took)
		}
		s.send("5")
		time.Sleep(time.Second)
		p.want(p.get(), 400, refused(3, "Bad request"))
	})
}

// A GET that comes after the probe gets its noop at once. Messages that wait travel in its place,
// and a GET between the handshake and the probe waits.
func TestSession_U2_NoopAfterProbe(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		p := w.polling()
		s := p.probing()
		begin := time.Now()
		waiting := p.begin()
		p.rec.session.Queue(Message{Data: []byte("one")})
		p.rec.session.Flush()
		p.want(<-waiting, 200, "4one")
		s.send("2probe")
		s.wantPackets("3probe")
		p.want(p.get(), 200, "6")
		p.rec.session.Queue(Message{Data: []byte("two")})
		p.want(p.get(), 200, "4two")
		p.want(p.get(), 200, "6")
		s.send("5")
		s.send("4x")
		s.wantPackets("4x")
		if took := time.Since(begin); took > time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// A GET that still waits at `5` gets a noop, too. One that came just before may have overtaken `5`
// and counts as late (U4).
func TestSession_U2_U4_GetAtUpgrade(t *testing.T) {
	for _, c := range []struct {
		before time.Duration
		status int
		body   string
	}{{time.Second, 200, "6"}, {time.Millisecond, 400, refused(3, "Bad request")}} {
		inBubble(t, nil, func(t *testing.T, w *world) {
			p := w.polling()
			s := p.probing()
			waiting := p.begin()
			time.Sleep(c.before)
			s.send("5")
			p.want(<-waiting, c.status, c.body)
			s.send("4x")
			s.wantPackets("4x")
		})
	}
}

// U4: after the upgrade polling is over and another WebSocket is closed; during it, too.
func TestSession_U4_Second(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	s := p.probing()
	p.until("the probe is known", func() bool {
		p.rec.session.mu.Lock()
		defer p.rec.session.mu.Unlock()
		return p.rec.session.polling.probe != nil
	})
	p.probing().wantClose(websocket.CloseNoStatusReceived)
	s.send("2probe", "5")
	s.wantPackets("3probe")
	s.send("4x")
	s.wantPackets("4x")
	p.want(p.get(), 400, refused(3, "Bad request"))
	p.want(p.post("4x"), 400, refused(3, "Bad request"))
	p.probing().wantClose(websocket.CloseNoStatusReceived)
	s.send("4y")
	s.wantPackets("4y")
}

// U5, H11: what is not a probe, or a WebSocket that goes, leaves the session on polling, and
// another upgrade possible.
func TestSession_U5_H11_NotAProbe(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	for _, packets := range [][]string{{"4x"}, {"2"}, {"2probes"}, {"abc"}, {""}, {"1"}, {"3"}, {"2probe", "4x"}, {"2probe", "2"}} {
		s := p.probing()
		s.send(packets...)
		if packets[0] == "2probe" {
			s.wantPackets("3probe")
		}
		s.wantClose(websocket.CloseNoStatusReceived)
		s.conn.Close()
		w.wantOpen(p.rec)
	}
	s := p.probing()
	s.sendBinary("2probe")
	s.wantClose(websocket.CloseNoStatusReceived)
	s = p.probing()
	s.conn.Close()
	p.until("the failed upgrades are over", func() bool {
		w.obs.mu.Lock()
		defer w.obs.mu.Unlock()
		return w.obs.failed == 11
	})
	if got := p.rec.got(); len(got) > 0 {
		t.Errorf("delivered %q", got)
	}
	p.wantUsable()
	s = p.probing()
	s.send("2probe", "5", "4x")
	s.wantPackets("3probe", "4x")
}

// U6: no `5` within UpgradeTimeout, with or without a probe.
func TestSession_U6_Timeout(t *testing.T) {
	for _, packets := range [][]string{nil, {"2probe"}} {
		inBubble(t, func(o *Options) { o.UpgradeTimeout = 10 * time.Second }, func(t *testing.T, w *world) {
			p := w.polling()
			s := p.probing()
			begin := time.Now()
			for _, packet := range packets {
				s.send(packet)
				s.wantPackets("3" + packet[1:])
			}
			s.wantClose(websocket.CloseNoStatusReceived)
			if took := time.Since(begin); took != 10*time.Second {
				t.Errorf("closed after %v", took)
			}
			w.wantOpen(p.rec)
			p.wantUsable()
		})
	}
}

// U7: `5` without a probe is fine.
func TestSession_U7_NoProbe(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	s := p.probing()
	s.send("5", "4x")
	s.wantPackets("4x")
}

// U8: the end of the session closes the WebSocket that tries.
func TestSession_U8_EndDuringUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	for _, probe := range []bool{false, true} {
		p := w.polling()
		s := p.probing()
		if probe {
			s.send("2probe")
			s.wantPackets("3probe")
		}
		p.until("the probe is known", func() bool {
			p.rec.session.mu.Lock()
			defer p.rec.session.mu.Unlock()
			return p.rec.session.polling.probe != nil
		})
		p.want(p.post("1"), 200, "ok")
		s.wantClose(websocket.CloseNoStatusReceived)
		p.wantClosed(p.rec, sio.ReasonTransportClose)
	}
}

// The heartbeat goes on through the upgrade.
func TestSession_U1_Heartbeat(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		p := w.polling()
		begin := time.Now()
		s := p.probing()
		s.send("2probe", "5")
		s.wantPackets("3probe", "2")
		if took := time.Since(begin); took != 25*time.Second {
			t.Errorf("ping after %v", took)
		}
		s.wantClose(websocket.CloseNoStatusReceived)
		w.wantClosed(p.rec, sio.ReasonPingTimeout)
	})
}

// U3: many sessions upgrade while messages flow both ways: none is lost, doubled or out of order.
func TestSession_U3_NothingLost(t *testing.T) {
	w := newWorld(t, nil)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { upgradeUnderLoad(t, w) })
	}
	all.Wait()
}

func upgradeUnderLoad(t *testing.T, w *world) {
	const messages = 300
	p := w.polling()
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range messages {
			p.rec.session.Queue(Message{Data: fmt.Append(nil, i)})
			if i%3 == 0 {
				p.rec.session.Flush()
			}
		}
		p.rec.session.Flush()
	})
	next := 0
	take := func(packet string) {
		if packet != "6" && packet != fmt.Sprint("4", next) {
			t.Errorf("got %q, want number %d", packet, next)
		}
		if packet != "6" {
			next++
		}
	}
	s := p.probing()
	s.send("2probe")
	s.wantPackets("3probe")
	for range 3 { // as a client that finishes its last poll before it says `5`
		for packet := range strings.SplitSeq(p.get().body, "\x1e") {
			take(packet)
		}
	}
	s.send("5")
	for next < messages && !t.Failed() {
		_, data, err := s.conn.ReadMessage()
		if err != nil {
			t.Error(err)
			break
		}
		take(string(data))
	}
	sender.Wait()
}
