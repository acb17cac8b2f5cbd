// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

func allowEIO3(o *Options) { o.AllowEIO3 = true }

// polling3 opens a session of revision 3 by polling. more are further query keys, each with an
// ampersand before it.
func (w *world) polling3(more string) *poller {
	w.t.Helper()
	r := w.do("GET", "EIO=3&transport=polling"+more, "")
	_, packet, _ := strings.Cut(r.body, ":")
	if r.status != 200 || r.body != fmt.Sprintf("%d:%s", len(packet), packet) {
		w.t.Fatalf("open: %+v", r)
	}
	sid := parseOpen(w.t, packet).SID
	return &poller{w, sid, w.recorder(sid), "EIO=3&transport=polling"}
}

// websocket3 opens a session of revision 3 by WebSocket.
func (w *world) websocket3(more string) *socket {
	w.t.Helper()
	s, _, err := w.dialSocket("EIO=3&transport=websocket"+more, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_, data, err := s.conn.ReadMessage()
	if err != nil {
		w.t.Fatal(err)
	}
	s.sid = parseOpen(w.t, string(data)).SID
	s.rec = w.recorder(s.sid)
	return s
}

// A request of revision 3, or of none, opens a session of it where that is allowed; other numbers
// are refused all the same.
func TestServer_AllowEIO3(t *testing.T) {
	w := newWorld(t, allowEIO3)
	for _, query := range []string{"EIO=3&transport=polling", "transport=polling"} {
		r := w.do("GET", query, "")
		_, packet, _ := strings.Cut(r.body, ":")
		o := parseOpen(t, packet)
		if r.status != 200 || r.header.Get("Content-Type") != textPlain || o.PingInterval != 25000 || o.PingTimeout != 20000 || o.MaxPayload != 1000000 ||
			!slices.Equal(o.Upgrades, []string{"websocket"}) {
			t.Errorf("%s: got %+v", query, r)
		}
		if h := w.recorder(o.SID).session.Handshake(); h.EngineProtocol != 3 || h.Transport != "polling" {
			t.Errorf("%s: got %+v", query, h)
		}
	}
	for _, query := range []string{"EIO=5", "EIO=2", "EIO=", "EIO=03", "EIO=abc", "EIO=3&EIO=3", "EIO=3&EIO=4"} {
		w.want(w.do("GET", query+"&transport=polling", ""), 400, refused(5, "Unsupported protocol version"))
	}
	w.want(w.do("POST", "EIO=3&transport=polling", ""), 400, refused(2, "Bad handshake method"))
	w.want(w.do("GET", "EIO=3&transport=abc", ""), 400, refused(0, "Transport unknown"))
	if h := w.websocket3("").rec.session.Handshake(); h.EngineProtocol != 3 || h.Transport != "websocket" {
		t.Errorf("got %+v", h)
	}
	if h := w.polling().rec.session.Handshake(); h.EngineProtocol != 4 {
		t.Errorf("got %+v", h)
	}
}

// Polling carries text and binary messages both ways, in the form that the browser takes.
func TestSession3_Polling(t *testing.T) {
	w := newWorld(t, allowEIO3)
	p := w.polling3("")
	p.want(p.post("5:4a€😀2:4b"), 200, "ok")
	p.want(p.get(), 200, "5:4a€😀2:4b")
	p.want(p.post("\x00\x02\xff4c\x01\x03\xff\x04\x00\xff", "Content-Type: application/octet-stream"), 200, "ok")
	r := p.get()
	p.want(r, 200, "\x00\x02\xff4c\x01\x03\xff\x04\x00\xff")
	if got := r.header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("Content-Type %q", got)
	}
	p.want(p.post("6:b4AQI="), 200, "ok")
	p.want(p.get(), 200, "\x01\x03\xff\x04\x01\x02")
	if got := strings.Join(p.rec.got(), "|"); got != "a€😀|b|c|\x00\xff|\x01\x02" {
		t.Errorf("got %q", got)
	}

	p = w.polling3("&b64=1")
	p.want(p.post("2:4a6:b4AQI="), 200, "ok")
	p.want(p.get(), 200, "2:4a6:b4AQI=")
	p.rec.session.QueueShared(NewShared(Message{Data: []byte("é")}, Message{Data: []byte{1}, Binary: true}))
	p.want(p.get(), 200, "2:4é6:b4AQ==")
}

// A body that lies about lengths, or is none, closes.
func TestSession3_PollingParseError(t *testing.T) {
	w := newWorld(t, allowEIO3)
	const binaryForm = "Content-Type: application/octet-stream"
	for _, c := range []struct{ body, header string }{
		{"", "X: y"}, {"3:4a", "X: y"}, {"1:4a", "X: y"}, {"9:4a", "X: y"}, {"4a", "X: y"}, {"4a\x1e4b", "X: y"}, {"2:4a\x1e2:4b", "X: y"},
		{"2:4😀2:4a", "X: y"}, {"5:4😀", "X: y"},
		{"", binaryForm}, {"2:4a", binaryForm}, {"\x01\x05\xff\x04ab", binaryForm}, {"\x01\x02\xff\x04ab", binaryForm}, {"\x01\x02\xffab", binaryForm},
	} {
		p := w.polling3("")
		p.want(p.post(c.body, c.header), 400, refused(3, "Bad request"))
		p.wantClosed(p.rec, sio.ReasonParseError)
		if got := p.rec.got(); len(got) > 0 {
			t.Errorf("%q: delivered %q", c.body, got)
		}
	}
}

// The browser's close is answered with a noop, that of this side and a fault with a close packet:
// all in the form of the revision.
func TestSession3_PollingClose(t *testing.T) {
	w := newWorld(t, allowEIO3)
	p := w.polling3("")
	waiting := p.begin()
	p.want(p.post("1:1"), 200, "ok")
	p.want(<-waiting, 200, "1:6")
	p.wantClosed(p.rec, sio.ReasonTransportClose)

	p = w.polling3("")
	p.rec.session.Queue(Message{Data: []byte("a")})
	p.rec.session.Close(sio.ReasonServerShuttingDown)
	p.want(p.get(), 200, "2:4a")
	p.want(p.get(), 200, "1:1")

	p = w.polling3("")
	waiting = p.begin()
	p.want(p.get(), 400, "")
	p.want(<-waiting, 200, "1:1")
}

// Binary messages have their type before them, or are base64 for browsers that ask for it; what has
// no type closes.
func TestSession3_WebSocket(t *testing.T) {
	w := newWorld(t, allowEIO3)
	unit := NewShared(Message{Data: []byte("é")}, Message{Data: []byte{1}, Binary: true})
	s := w.websocket3("")
	s.send("4a", "4", "b4AQI=")
	s.sendBinary("\x04\x04\xff")
	s.sendBinary("\x04")
	s.wantPackets("4a", "4", "binary:\x04\x01\x02", "binary:\x04\x04\xff", "binary:\x04")
	s.rec.session.QueueShared(unit)
	s.rec.session.Flush()
	s.wantPackets("4é", "binary:\x04\x01")

	s = w.websocket3("&b64=1")
	s.sendBinary("\x04\x04\xff")
	s.send("b4AQI=")
	s.wantPackets("b4BP8=", "b4AQI=")
	s.rec.session.QueueShared(unit)
	s.rec.session.Flush()
	s.wantPackets("4é", "b4AQ==")

	for _, data := range []string{"", "4a", "abc", "\x02", "\x01"} {
		s := w.websocket3("")
		s.sendBinary(data)
		s.wantClose(1005)
		s.wantClosed(s.rec, sio.ReasonParseError)
		if got := s.rec.got(); len(got) > 0 {
			t.Errorf("%q: delivered %q", data, got)
		}
	}
}

// The browser pings and is answered, with what the ping held; the deadline counts from its last
// ping, not from other packets.
func TestSession3_Heartbeat(t *testing.T) {
	change := func(o *Options) { allowEIO3(o); beats(o) }
	inBubble(t, change, func(t *testing.T, w *world) {
		s := w.websocket3("")
		for range 3 {
			time.Sleep(44 * time.Second)
			s.send("2")
			s.wantPackets("3")
		}
		s = w.websocket3("")
		begin := time.Now()
		time.Sleep(30 * time.Second)
		s.send("4a", "6")
		s.wantPackets("4a")
		s.wantClose(1005)
		if took := time.Since(begin); took != 45*time.Second {
			t.Errorf("closed after %v", took)
		}
		s.wantClosed(s.rec, sio.ReasonPingTimeout)
	})
	inBubble(t, change, func(t *testing.T, w *world) {
		p := w.polling3("")
		time.Sleep(44 * time.Second)
		p.want(p.post("1:2"), 200, "ok")
		p.want(p.get(), 200, "1:3")
		p.want(p.post("6:2probe1:21:21:2"), 200, "ok")
		p.want(p.get(), 200, "6:3probe1:3")
		time.Sleep(44 * time.Second)
		p.wantOpen(p.rec)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		p.wantClosed(p.rec, sio.ReasonPingTimeout)
		p.want(p.get(), 400, refused(1, "Session ID unknown"))
	})
}

// Nobody pings a browser of revision 3, and one that answers all the same is closed.
func TestSession3_HeartbeatDirection(t *testing.T) {
	w := newWorld(t, allowEIO3)
	s := w.websocket3("")
	s.send("3")
	s.wantClose(1005)
	s.wantClosed(s.rec, sio.ReasonTransportError)
	p := w.polling3("")
	p.post("1:3")
	p.wantClosed(p.rec, sio.ReasonTransportError)
}

// The deadline is suspended while the receiver blocks: the browser's ping waits behind what this
// side does not read.
func TestSession3_HeartbeatBackPressure(t *testing.T) {
	inBubble(t, func(o *Options) { allowEIO3(o); beats(o) }, func(t *testing.T, w *world) {
		s := w.websocket3("")
		s.rec.hold = func(string) { time.Sleep(5 * time.Minute) }
		s.send("4slow")
		s.wantPackets("4slow")
		w.wantOpen(s.rec)
		s.send("2")
		s.wantPackets("3")
		begin := time.Now()
		s.wantClose(1005)
		if took := time.Since(begin); took != 45*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// The upgrade is that of revision 4, with noops in the form of this one. What waits moves in order,
// in the form that the WebSocket asks for.
func TestSession3_Upgrade(t *testing.T) {
	for more, want := range map[string]string{"": "binary:\x04\x01\x02", "&b64=1": "b4AQI="} {
		w := newWorld(t, allowEIO3)
		p := w.polling3("&b64=1")
		waiting := p.begin()
		s, _, err := p.dialSocket("EIO=3&transport=websocket&sid="+p.sid+more, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.send("2probe")
		s.wantPackets("3probe")
		p.want(<-waiting, 200, "1:6")
		session := p.rec.session
		session.Queue(Message{Data: []byte("a")}, Message{Data: []byte{1, 2}, Binary: true})
		s.send("5")
		s.wantPackets("4a", want)
		s.send("2", "b4AQI=")
		s.wantPackets("3", want)
		session.QueueShared(NewShared(Message{Data: []byte{1, 2}, Binary: true}))
		session.Flush()
		s.wantPackets(want)
		if w.obs.done != 1 {
			t.Errorf("counted %+v", w.obs)
		}
	}
}

// Base64 may make more of what waits than a browser may have waiting. Then it is too slow, rather
// than left without some of it.
func TestSession3_UpgradeFull(t *testing.T) {
	w := newWorld(t, func(o *Options) { allowEIO3(o); o.MaxOutbound = 2300 })
	p := w.polling3("")
	s, _, err := p.dialSocket("EIO=3&transport=websocket&b64=1&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		p.rec.session.Queue(Message{Data: make([]byte, 480), Binary: true})
	}
	p.wantOpen(p.rec)
	s.send("5")
	p.wantClosed(p.rec, sio.ReasonSlowConsumer)
}
