// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Drain opens no more sessions, closes all with ReasonServerShuttingDown, spread over DrainSpread,
// and waits until they and their goroutines are gone. A session is closed when all that it took is
// answered, at the latest DrainSettle after the beginning. When ctx ends first, Drain aborts the
// rest and returns the error of ctx.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	first := !s.draining
	s.draining = true
	sessions := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		sessions = append(sessions, session)
	}
	if first && s.running == 0 {
		close(s.empty)
	}
	s.mu.Unlock()

	settling, stop := context.WithTimeout(ctx, s.o.DrainSettle)
	defer stop()
	var unanswered atomic.Int64
	s.closeAll(settling, sessions, &unanswered)
	var err error
	select {
	case <-s.empty:
	case <-ctx.Done():
		for _, session := range sessions {
			session.Close(sio.ReasonServerShuttingDown) // unless it is closed by now
			session.abort()
		}
		err = ctx.Err()
	}
	if n := unanswered.Load(); n > 0 {
		s.log.Warn("sessions closed before handlers had answered", "count", n, "duration", s.o.DrainSettle, "setting", "drain-timeout")
	}
	return err
}

// closeAll begins to close the sessions, one after another.
func (s *Server) closeAll(settling context.Context, sessions []*Session, unanswered *atomic.Int64) {
	begin := time.Now()
	for i, session := range sessions {
		if s.o.DrainSpread > 0 {
			due := begin.Add(s.o.DrainSpread * time.Duration(i) / time.Duration(len(sessions)))
			wait(settling, time.Until(due))
		}
		if s.enterUnlessEmpty() {
			go func() { // ends with settling at the latest; Drain waits for it
				defer s.leave()
				if !session.drain(settling) {
					unanswered.Add(1)
				}
			}()
		}
	}
}

// DrainSession closes one session on a WebSocket, as Drain does, within the time: another replica
// that carries the WebSocket drains. A session that is not there, is on polling, or is being
// drained in this way already is left alone.
func (s *Server) DrainSession(id sio.SessionID, within time.Duration) {
	session := s.enterLeaving(id)
	if session == nil {
		return
	}
	go func() { // ends with the session, within the time; Drain waits for it
		defer s.leave()
		settling, stop := context.WithTimeout(context.Background(), within)
		defer stop()
		if session.drain(settling) {
			return
		}
		if ok, suppressed := s.quiet.Allow("forwarded session unanswered"); ok {
			s.log.Warn("forwarded session closed before handlers had answered", "session", session.Name(), "duration", within, "setting", "drain-timeout",
				"suppressed", suppressed)
		}
	}()
}

// enterLeaving finds a session for DrainSession, and is enter for it.
func (s *Server) enterLeaving(id sio.SessionID) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[id]
	if session == nil || session.duplex() == nil || !session.leaving.CompareAndSwap(false, true) {
		return nil
	}
	s.running++
	return session
}

// enterUnlessEmpty is enter for who knows of nothing that has not left yet.
func (s *Server) enterUnlessEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 {
		return false
	}
	s.running++
	return true
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 || ctx.Err() != nil {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// drain closes the session when all that it took is answered, at the latest when ctx ends. It
// returns false when something was not.
func (s *Session) drain(ctx context.Context) (answered bool) {
	defer s.Close(sio.ReasonServerShuttingDown)
	// A receiver that blocks in Message is woken by the end only.
	stop := context.AfterFunc(ctx, func() { s.Close(sio.ReasonServerShuttingDown) })
	defer stop()
	s.recv.Lock()
	var open []<-chan struct{}
	if !s.ended.Load() {
		open = s.receiver.Drain()
	}
	s.recv.Unlock()
	for _, part := range open {
		select {
		case <-part:
		case <-s.Done():
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		}
	}
	return true
}
