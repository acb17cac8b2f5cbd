// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// W1: one packet per frame; text with its type, binary without; base64 in a text frame is binary,
// too.
func TestSession_W1_Messages(t *testing.T) {
	w := newWorld(t, nil)
	s := w.websocket()
	s.send("4a €", "4", "bAQI=")
	s.sendBinary("\x00\xff")
	s.sendBinary("")
	s.wantPackets("4a €", "4", "binary:\x01\x02", "binary:\x00\xff", "binary:")
}

// A unit of messages stays together, whatever is queued at the same time.
func TestSession_Queue_Unit(t *testing.T) {
	w := newWorld(t, nil)
	s := w.websocket()
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for range 100 {
				s.rec.session.Queue(Message{Data: fmt.Append(nil, g)}, Message{Data: fmt.Append(nil, g), Binary: true})
				s.rec.session.Flush()
			}
		})
	}
	for range 400 {
		_, data, err := s.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		s.wantPackets("binary:" + string(data[1:]))
	}
	all.Wait()
}

// W2, W3: too large closes with 1009, invalid UTF-8 with 1007.
func TestSession_W2_W3_Broken(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPayload, o.ExplainTooLarge = 1000, true })
	s := w.websocket()
	s.sendBinary(strings.Repeat("x", 1001))
	s.wantExplained(websocket.CloseMessageTooBig, "The body or message is larger than the setting max-payload allows (1000 bytes)")
	s.wantClosed(s.rec, sio.ReasonPayloadTooLarge)
	s = w.websocket()
	s.send("4\xff")
	s.wantClose(websocket.CloseInvalidFramePayloadData)
	s.wantClosed(s.rec, sio.ReasonTransportError)
}

// W4, H5, W5: what is no packet closes without a status; packets out of place are ignored, ever so
// many (H17).
func TestSession_W4_W5_H17_Packets(t *testing.T) {
	w := newWorld(t, nil)
	for _, bad := range []string{"", "9x", "abc", "b***", "7"} {
		s := w.websocket()
		s.send(bad)
		s.wantClose(websocket.CloseNoStatusReceived)
		s.wantClosed(s.rec, sio.ReasonParseError)
	}
	for _, ping := range []string{"2", "2probe"} {
		s := w.websocket()
		s.send(ping)
		s.wantClose(websocket.CloseNoStatusReceived)
		s.wantClosed(s.rec, sio.ReasonTransportError)
	}
	s := w.websocket()
	s.send("0{}", "5", "6", "3", "3probe")
	for range 10_000 {
		s.send("3")
	}
	s.send("4x")
	s.wantPackets("4x")
}

// W6: the browser's close packet, its close frame and its end all close at once.
func TestSession_W6_ClientCloses(t *testing.T) {
	w := newWorld(t, nil)
	s := w.websocket()
	s.send("4x", "1", "4y")
	s.wantPackets("4x")
	s.wantClose(websocket.CloseNoStatusReceived)
	s.wantClosed(s.rec, sio.ReasonTransportClose)
	if got := s.rec.got(); len(got) != 1 {
		t.Errorf("delivered %q", got)
	}
	s = w.websocket()
	s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""))
	s.wantClose(1001)
	s.wantClosed(s.rec, sio.ReasonTransportClose)
	s = w.websocket()
	s.conn.Close()
	s.wantClosed(s.rec, sio.ReasonTransportClose)
}

// W7 of robustness, H11: a reset connection ends the session.
func TestSession_H11_Reset(t *testing.T) {
	w := newWorld(t, nil)
	s := w.websocket()
	s.conn.NetConn().(*net.TCPConn).SetLinger(0)
	s.conn.Close()
	select {
	case <-s.rec.closed:
	case <-time.After(patience):
		t.Fatal("not closed")
	}
}

// Close of this side sends what is queued first.
func TestSession_WebSocket_ServerCloses(t *testing.T) {
	w := newWorld(t, nil)
	s := w.websocket()
	s.rec.session.Queue(Message{Data: []byte("last")})
	s.rec.session.Close(sio.ReasonForcedServerClose)
	s.wantPackets("4last")
	s.wantClose(websocket.CloseNoStatusReceived)
	s.wantClosed(s.rec, sio.ReasonForcedServerClose)
	s.rec.session.Queue(Message{Data: []byte("late")})
	s.rec.session.Flush()
	if s.rec.session.Writable() {
		t.Error("writable after the end")
	}
}

// A browser that does not read is cut off when MaxOutbound is reached.
func TestSession_SlowWebSocket(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxOutbound = 100_000 })
	s := w.websocket()
	message := NewShared(Message{Data: make([]byte, 10_000), Binary: true})
	for !s.rec.session.ended.Load() {
		s.rec.session.QueueShared(message)
		s.rec.session.Flush()
	}
	s.wantClosed(s.rec, sio.ReasonSlowConsumer)
}

// Sessions are closed with the reason of a drain and the code "going away"; new ones are refused.
func TestServer_Drain(t *testing.T) {
	w := newWorld(t, nil)
	s, p := w.websocket(), w.polling()
	answer := p.begin()
	drained := make(chan error)
	go func() { drained <- w.engine.Drain(context.Background()) }()
	s.wantClose(websocket.CloseGoingAway)
	p.want(<-answer, 200, "1")
	p.wantClosed(p.rec, sio.ReasonServerShuttingDown)
	s.wantClosed(s.rec, sio.ReasonServerShuttingDown)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	p.want(p.do("GET", "EIO=4&transport=polling", ""), 503, refused(4, "Server shutting down"))
	if _, response, err := w.dialSocket("EIO=4&transport=websocket", nil); err == nil || response.StatusCode != 503 {
		t.Errorf("got %v %v", response, err)
	}
}

// A drain is spread over its time, and ends with its context at the latest.
func TestServer_Drain_Spread(t *testing.T) {
	inBubble(t, func(o *Options) { o.DrainSpread = 10 * time.Second }, func(t *testing.T, w *world) {
		var times []time.Duration
		var mu sync.Mutex
		begin := time.Now()
		for range 5 {
			s := w.websocket()
			go func() {
				s.conn.ReadMessage()
				mu.Lock()
				times = append(times, time.Since(begin))
				mu.Unlock()
			}()
		}
		w.polling() // does not fetch its close
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := w.engine.Drain(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(times) != 5 || times[4] < 5*time.Second || times[4] > 12*time.Second {
			t.Errorf("closed after %v", times)
		}
	})
}

// A session stays open while its receiver waits for answers, and messages are delivered meanwhile;
// DrainSettle bounds the wait.
func TestServer_Drain_Settle(t *testing.T) {
	inBubble(t, func(o *Options) { o.DrainSettle = 10 * time.Second }, func(t *testing.T, w *world) {
		s, never := w.websocket(), w.websocket()
		answered := make(chan struct{})
		s.rec.open = []<-chan struct{}{answered}
		never.rec.open = []<-chan struct{}{make(chan struct{})}
		begin := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- w.engine.Drain(context.Background()) }()
		synctest.Wait()
		s.send("4hello")
		s.wantPackets("4hello")
		close(answered)
		s.wantClose(websocket.CloseGoingAway)
		if time.Since(begin) != 0 {
			t.Error("the session was not closed as soon as all was answered")
		}
		never.wantClose(websocket.CloseGoingAway)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("the other was closed after %v", took)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// A receiver that blocks holds a drain up for DrainSettle, and no longer.
func TestServer_Drain_Blocked(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.DrainSettle = 10 * time.Millisecond })
	s := w.websocket()
	inside := make(chan struct{})
	s.rec.hold = func(string) {
		close(inside)
		<-s.rec.session.Done()
	}
	s.send("4hello")
	<-inside
	if err := w.engine.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	s.wantClosed(s.rec, sio.ReasonServerShuttingDown)
}
