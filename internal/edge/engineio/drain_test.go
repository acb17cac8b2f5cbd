// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// One session on a WebSocket is drained, once, when all that it took is answered or its time is
// over. Others, those on polling and those that are not there are left alone.
func TestServer_DrainSession(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		s, never, other, p := w.websocket(), w.websocket(), w.websocket(), w.polling()
		answered := make(chan struct{})
		s.rec.open = []<-chan struct{}{answered}
		never.rec.open = []<-chan struct{}{make(chan struct{})}
		begin := time.Now()
		w.engine.DrainSession("nobody", time.Minute)
		w.engine.DrainSession(sio.NewSessionID(w.engine.o.Replica), time.Minute)
		w.engine.DrainSession(p.rec.session.ID(), 0)
		// the second is one too many
		for _, within := range []time.Duration{10 * time.Second, time.Second} {
			w.engine.DrainSession(s.rec.session.ID(), within)
			w.engine.DrainSession(never.rec.session.ID(), within)
		}
		time.Sleep(5 * time.Second)
		s.send("4hello")
		s.wantPackets("4hello")
		close(answered)
		s.wantClose(websocket.CloseGoingAway)
		s.wantClosed(s.rec, sio.ReasonServerShuttingDown)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("the session was closed after %v, not as soon as all was answered", took)
		}
		never.wantClose(websocket.CloseGoingAway)
		never.wantClosed(never.rec, sio.ReasonServerShuttingDown)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("the other was closed after %v", took)
		}
		other.send("4still here")
		other.wantPackets("4still here")
		if p.rec.session.ended.Load() {
			t.Error("the polling session ended")
		}
	})
}

// A session that goes meanwhile ends its drain, and a drain of the server ends it, too, and waits
// for it.
func TestServer_DrainSession_ends(t *testing.T) {
	inBubble(t, func(o *Options) { o.DrainSettle = time.Second }, func(t *testing.T, w *world) {
		leaves, stays := w.websocket(), w.websocket()
		for _, s := range []*socket{leaves, stays} {
			s.rec.open = []<-chan struct{}{make(chan struct{})}
			w.engine.DrainSession(s.rec.session.ID(), time.Hour)
		}
		synctest.Wait()
		leaves.conn.Close()
		leaves.wantClosed(leaves.rec, sio.ReasonTransportClose)
		begin := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- w.engine.Drain(context.Background()) }()
		stays.wantClose(websocket.CloseGoingAway)
		if err := <-drained; err != nil || time.Since(begin) != time.Second {
			t.Errorf("drained after %v (%v)", time.Since(begin), err)
		}
		w.engine.DrainSession(stays.rec.session.ID(), time.Hour) // after the end
	})
}
