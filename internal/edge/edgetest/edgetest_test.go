// SPDX-License-Identifier: Apache-2.0

package edgetest

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is an application that sends back what it gets.
type echo struct{ session *engineio.Session }

func (e echo) Message(data []byte, binary bool) {
	if string(data) == "close" {
		e.session.Close(sio.ReasonForcedServerClose)
		return
	}
	e.session.Queue(engineio.Message{Data: data, Binary: binary})
	e.session.Flush()
}

func (echo) Drain() []<-chan struct{} { return nil }

func (echo) Closed(sio.Reason) {}

func serveEcho(t *testing.T, serve func(testing.TB, http.Handler) *Server) *Server {
	o := engineio.DefaultOptions()
	engine := engineio.NewServer(o, func(s *engineio.Session) engineio.Receiver { return echo{s} }, engineio.NopObserver{}, slog.New(slog.DiscardHandler))
	s := serve(t, engine)
	t.Cleanup(func() { engine.Drain(context.Background()) })
	return s
}

func talk(t *testing.T, s *Server) {
	for _, polling := range []bool{false, true} {
		b := s.Open(Options{Polling: polling})
		b.Send("2[]")
		if m := b.Receive(); m.Text != "2[]" {
			t.Errorf("got %q", m)
		}
		b.SendBinary([]byte{1, 2})
		if m := b.Receive(); string(m.Binary) != "\x01\x02" {
			t.Errorf("got %q", m)
		}
		b.Send("close")
		if rest := b.ExpectClosed(); len(rest) > 0 || !b.Closed() {
			t.Errorf("got %q", rest)
		}
	}
	if _, err := s.TryOpen(Options{Path: "/elsewhere/"}); err == nil {
		t.Error("a wrong path was accepted")
	}
}

// A browser must talk by both transports, in memory and over a network.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { talk(t, serveEcho(t, Serve)) })
	talk(t, serveEcho(t, ServeTCP))
}

// A browser must answer heartbeats by itself.
func TestBrowser_Heartbeat(t *testing.T) {
	for _, polling := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := serveEcho(t, Serve).Open(Options{Polling: polling})
			b.ExpectQuiet(5 * time.Minute)
			if b.Closed() {
				t.Error("closed")
			}
		})
	}
}
