// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Explained closes. A session that passed a limit learns which, where standard clients show it in
// the details of their disconnect: on WebSocket in the close frame, on polling in the answer to the
// POST that is being served, and where there is none in that of the next GET that has nothing else
// to bring. A waiting GET is answered after the POST, since a client that hears of the end looks no
// further.
//
// The exception are sizes: the reference server answers 413 without a body and closes with 1009
// without a text, and suites of clients expect that. Sentences come there with ExplainTooLarge
// only; the log names the limit always.

// Limit is the kind of limit that a browser passed.
type Limit uint8

// The kinds, with what the browser gets: the close code on WebSocket, the status on polling.
const (
	// LimitCount is a number of things, a depth, a length or a time: 1008, 400.
	LimitCount Limit = iota
	// LimitSize is a number of bytes: 1009, 413.
	LimitSize
	// LimitRate is a number of things within a time: 1008, 429.
	LimitRate
)

func (l Limit) status() int {
	switch l {
	case LimitSize:
		return http.StatusRequestEntityTooLarge
	case LimitRate:
		return http.StatusTooManyRequests
	case LimitCount:
	}
	return http.StatusBadRequest
}

// explain is what the browser learns of a limit that it passed, or nothing.
func (o *Options) explain(limit Limit, text string) string {
	if limit == LimitSize && !o.ExplainTooLarge {
		return ""
	}
	return text
}

// explanation is what a browser learns of a limit that it passed.
type explanation struct {
	limit Limit
	*refusal
}

// CloseWith is Close with an explanation for the browser: one short sentence, without anything that
// the browser must not know. What does not fit into a close frame is cut off there. The notice may
// be nil.
func (s *Session) CloseWith(reason sio.Reason, limit Limit, text string, n *Notice) {
	// The end is logged, so the refusal is not.
	s.endWith(reason, endAfterQueue, &explanation{limit, &refusal{
		code: codeBadRequest, status: limit.status(), message: s.server.o.explain(limit, text), cause: "limit", quiet: true,
	}}, n)
}

// explain answers the POST that ended the session with the limit that it passed, and the GET that
// waits a moment later: the standard client puts off what it does with a refused POST, and reads
// the close packet of a GET at once.
func (s *Session) explain(w http.ResponseWriter, r *http.Request, p *polling, why *explanation) {
	s.server.refuse(w, r, why.refusal)
	_ = http.NewResponseController(w).Flush() // an error means that the browser is gone
	// Ends by itself. A GET that comes meanwhile waits like one that came before.
	time.AfterFunc(closeGrace, func() {
		s.mu.Lock()
		p.telling = false
		p.answer()
		gone := p.gone
		s.mu.Unlock()
		if gone {
			s.forget()
		}
	})
}

// packetBurst is the time whose packets may come at once, at the rate that is allowed.
const packetBurst = 2 * time.Second

// rate counts what happens against a limit per second, in one number: the time at which all that
// has come would have come at the allowed rate.
type rate struct{ due atomic.Int64 }

// take tells whether one more is within the limit.
func (r *rate) take(now int64, perSecond int) bool {
	for {
		due := r.due.Load()
		next := max(due, now) + int64(time.Second)/int64(perSecond)
		if next-now > int64(packetBurst) {
			return false
		}
		if r.due.CompareAndSwap(due, next) {
			return true
		}
	}
}

// tooFast counts a packet of the browser and tells whether the session ended since there were too
// many.
func (s *Session) tooFast() bool {
	most := s.server.o.MaxPacketRate
	if most == 0 || s.packets.take(s.server.now(), most) {
		return false
	}
	s.CloseWith(sio.ReasonTooManyPackets, LimitRate, "more packets per second than the setting max-packet-rate allows", nil)
	return true
}
