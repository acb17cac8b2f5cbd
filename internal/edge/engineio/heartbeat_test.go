// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

func beats(o *Options) { o.PingInterval, o.PingTimeout = 25*time.Second, 20*time.Second }

// H1: a ping comes PingInterval after the open, and after each pong.
func TestSession_H1_WebSocket(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		s := w.websocket()
		for _, late := range []time.Duration{0, 10 * time.Second, 19 * time.Second} {
			begin := time.Now()
			s.wantPackets("2")
			if took := time.Since(begin); took != 25*time.Second {
				t.Errorf("ping after %v", took)
			}
			time.Sleep(late)
			s.send("3")
		}
	})
}

// H1: without a pong the session ends PingTimeout after the ping, whatever pongs came before it was
// due.
func TestSession_H1_Timeout(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		s := w.websocket()
		begin := time.Now()
		s.send("3", "3")
		s.wantPackets("2")
		s.wantClose(1005)
		if took := time.Since(begin); took != 45*time.Second {
			t.Errorf("closed after %v", took)
		}
		w.wantClosed(s.rec, sio.ReasonPingTimeout)
	})
}

// H2: the first other packet sets the deadline back once, a second one not.
func TestSession_H2_OtherPackets(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		s := w.websocket()
		s.wantPackets("2")
		begin := time.Now()
		time.Sleep(15 * time.Second)
		s.send("4a")
		s.wantPackets("4a")
		time.Sleep(15 * time.Second)
		s.send("4b")
		s.wantPackets("4b")
		s.wantClose(1005)
		if took := time.Since(begin); took != 35*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// H17: 10,000 pongs that nobody asked for leave one timer: pings come at their pace.
func TestSession_H17_Pongs(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		s := w.websocket()
		for range 10 {
			time.Sleep(2 * time.Second)
			s.send("3")
		}
		begin := time.Now()
		s.wantPackets("2")
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("ping after %v", took)
		}
		s.send("3", "3", "3", "3")
		begin = time.Now()
		s.wantPackets("2")
		if took := time.Since(begin); took != 25*time.Second {
			t.Errorf("ping after %v", took)
		}
	})
}

// H4: a client that pings is closed. The polling form is P7.
func TestSession_H4_WrongDirection(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		s := w.websocket()
		s.send("2")
		s.wantClose(1005)
		w.wantClosed(s.rec, sio.ReasonTransportError)
	})
}

// H1, H5: on polling the ping answers the waiting GET; without one the deadline holds all the same.
func TestSession_H1_H5_Polling(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		p := w.polling()
		begin := time.Now()
		p.want(p.get(), 200, "2")
		if took := time.Since(begin); took != 25*time.Second {
			t.Errorf("ping after %v", took)
		}
		p.want(p.post("3"), 200, "ok")
		time.Sleep(46 * time.Second)
		synctest.Wait()
		p.wantClosed(p.rec, sio.ReasonPingTimeout)
		p.want(p.get(), 400, refused(1, "Session ID unknown"))
	})
}

// P12: a GET that waits at the ping timeout gets the close packet.
func TestSession_H5_PendingGet(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		p := w.polling()
		p.want(p.get(), 200, "2")
		p.want(p.get(), 200, "1")
		p.wantClosed(p.rec, sio.ReasonPingTimeout)
	})
}

// The deadline is suspended while the receiver blocks: the pong waits behind what this side does
// not read.
func TestSession_Heartbeat_BackPressure(t *testing.T) {
	for name, before := range map[string]time.Duration{"before the ping": 5 * time.Second, "after the ping": 26 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, beats, func(t *testing.T, w *world) {
				s := w.websocket()
				s.rec.hold = func(data string) {
					if data == "slow" {
						time.Sleep(5 * time.Minute)
					}
				}
				// a pipe has no room: the pong can be written only when the message has been read
				go func() {
					time.Sleep(before)
					s.conn.WriteMessage(1, []byte("4slow"))
					time.Sleep(30 * time.Second)
					s.conn.WriteMessage(1, []byte("3"))
				}()
				s.wantPackets("2", "4slow")
				w.wantOpen(s.rec)
				begin := time.Now()
				s.wantPackets("2")
				if took := time.Since(begin); took > 26*time.Second {
					t.Errorf("next ping after %v", took)
				}
				begin = time.Now()
				s.wantClose(1005)
				if took := time.Since(begin); took != 20*time.Second {
					t.Errorf("closed after %v", took)
				}
			})
		})
	}
}

// After the receiver has blocked, what is left of the deadline runs on, and no more.
func TestSession_Heartbeat_RunsOn(t *testing.T) {
	inBubble(t, beats, func(t *testing.T, w *world) {
		s := w.websocket()
		s.rec.hold = func(string) { time.Sleep(time.Minute) }
		s.wantPackets("2")
		begin := time.Now()
		s.send("4" + strings.Repeat("x", 10))
		s.wantPackets("4xxxxxxxxxx")
		s.wantClose(1005)
		if took := time.Since(begin); took < 80*time.Second || took > 81*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}
