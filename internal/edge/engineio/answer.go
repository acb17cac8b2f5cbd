// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// answers are the polling answers of one session that are being written: one, but for a browser
// that asks again before it has read the last one. They are guarded by Session.mu.
type answers struct {
	controls []*http.ResponseController
	size     int   // bytes that are being written
	taken    int64 // bytes that were handed to the system, ever
}

// cut ends the writing of answers.
func (a *answers) cut() {
	for _, control := range a.controls {
		_ = control.SetWriteDeadline(time.Unix(1, 0)) // a connection that is gone needs no deadline
	}
	a.controls = nil
}

// writeAnswer writes the body of an answer in pieces. A browser that takes nothing for WriteTimeout
// is slow, and one that takes a little at a time is not.
func (s *Session) writeAnswer(w http.ResponseWriter, r *http.Request, p *polling, body []byte) error {
	const piece = 64 << 10
	control, size := http.NewResponseController(w), len(body)
	s.mu.Lock()
	p.answers.controls = append(p.answers.controls, control)
	p.answers.size += size
	s.mu.Unlock()
	p.budget.Add(size)
	defer func() {
		p.budget.Sub(size)
		s.mu.Lock()
		p.answers.size -= size
		p.answers.controls = slices.DeleteFunc(p.answers.controls, func(c *http.ResponseController) bool { return c == control })
		s.mu.Unlock()
	}()
	if size > piece {
		defer s.watchAnswer(r, p, control)()
	}
	for {
		n := min(len(body), piece)
		if !s.extend(p, control, n) {
			return errCut
		}
		if _, err := w.Write(body[:n]); err != nil {
			return err
		}
		if body = body[n:]; len(body) == 0 {
			break
		}
	}
	if err := control.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// errCut means that the session was ended while its answer was written.
var errCut = errors.New("the session was cut off")

// extend gives the browser WriteTimeout for the next piece, unless the session has been cut off.
// The HTTP server takes the deadline back.
func (s *Session) extend(p *polling, control *http.ResponseController, piece int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(p.answers.controls, control) {
		return false
	}
	p.answers.taken += int64(piece)
	// a connection that is gone fails in the write
	_ = control.SetWriteDeadline(time.Now().Add(s.server.o.WriteTimeout))
	return true
}

// unwritten ends the session since its answer could not be written.
func (s *Session) unwritten(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.cutOff(cutWrite)
		return
	}
	s.endWith(sio.ReasonTransportError, endAbort, nil, noticeCut)
}
