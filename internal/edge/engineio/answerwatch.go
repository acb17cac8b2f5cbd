// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
)

// connKey is the key of a request's connection in its context.
type connKey struct{}

// ConnContext is the ConnContext of the HTTP server whose requests a Server gets. With it, the
// Server sees what a browser takes of a long answer. Without it, a browser counts as slow when the
// system takes nothing more for it.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// answerWatch extends the time for an answer while the browser acknowledges what the system holds
// for it. The system takes the next piece only when about a third of its buffer is free, which is
// more than a megabyte: over a slow link that lasts longer than WriteTimeout.
type answerWatch struct {
	s       *Session
	p       *polling
	control *http.ResponseController
	conn    net.Conn

	mu    sync.Mutex
	timer *time.Timer // nil when the answer is written
	waits int         // bytes that were not acknowledged at the last look
}

// answerLooks is how often the connection is looked at within WriteTimeout.
const answerLooks = 4

// watchAnswer begins to look after an answer, until the function that it returns is called.
func (s *Session) watchAnswer(r *http.Request, p *polling, control *http.ResponseController) (stop func()) {
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok {
		return func() {}
	}
	w := &answerWatch{s: s, p: p, control: control, conn: conn}
	w.mu.Lock()
	w.timer = time.AfterFunc(s.server.o.WriteTimeout/answerLooks, w.look)
	w.mu.Unlock()
	return w.stop
}

func (w *answerWatch) stop() {
	w.mu.Lock()
	w.timer.Stop()
	w.timer = nil
	w.mu.Unlock()
}

func (w *answerWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	if waits := wsconn.Unacknowledged(w.conn); waits != w.waits {
		w.waits = waits
		w.s.mu.Lock()
		if slices.Contains(w.p.answers.controls, w.control) { // else it was cut off
			// a connection that is gone fails in the write
			_ = w.control.SetWriteDeadline(time.Now().Add(w.s.server.o.WriteTimeout))
		}
		w.s.mu.Unlock()
	}
	w.timer.Reset(w.s.server.o.WriteTimeout / answerLooks)
}
