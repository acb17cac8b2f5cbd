// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/edge/budget"
	"github.com/spanwire/spanwire/internal/sio"
)

// Long-polling. The browser keeps one GET open, which is answered as soon as a packet is queued,
// and sends with one POST at a time.
//
//   - A GET that finds packets takes them; one that finds none waits. Two at once are a fault: the
//     session ends, the first is answered with a close packet, the second refused.
//   - A POST is read whole, split whole, and answered when the receiver has taken its last message.
//     Two at once are a fault, too.
//   - After the session's end a GET that waits is answered with what end left in the queue. A close
//     that follows the queue has an answer of its own: clients in JavaScript decode messages later
//     than they close, and drop those of the same answer.
//   - Requests on different connections may overtake each other by a little. So the browser's own
//     close waits a moment for a GET that was sent before it, and a GET that came just before the
//     end of an upgrade counts as one that came after.

// polling is the part of a session that only polling needs. All of it is guarded by Session.mu.
type polling struct {
	budget  *budget.Budget
	out     []outgoing
	size    int           // of what is counted in out
	getting bool          // a GET is being answered
	waiting chan struct{} // closed to answer the GET that waits; nil when none does
	posting bool          // a POST is being read or delivered
	probe   *probe        // the upgrade that is under way
	linger  *time.Timer   // forgets the ended session
	// closed when the last packets were fetched; made when the browser closes and no GET waits
	fetched chan struct{}
	since   time.Time    // when the present GET came
	why     *explanation // of the end, until a POST has answered it
	telling bool         // a POST is to tell it: GETs wait
	gone    bool         // the session is to be forgotten after that
	pinged  bool         // a ping is in out
	final   bool         // nobody fetches what is left after the present GET
	apart   bool         // the close packet comes in an answer of its own

	answers answers
}

const (
	// closeGrace is how long a browser's close waits for a GET that it may have overtaken, and a
	// GET for the POST that explains the end.
	closeGrace = 25 * time.Millisecond
	// overtaking is how much earlier than the end of an upgrade a GET may come that was sent after
	// it.
	overtaking = 5 * time.Millisecond
	// refusedRest is how long the rest of a body that was refused is read.
	refusedRest = time.Second
)

// answer wakes the GET that waits.
func (p *polling) answer() {
	if p.waiting != nil {
		close(p.waiting)
		p.waiting = nil
	}
}

// end queues the last packets and tells whether nobody has to fetch them any more.
func (p *polling) end(how ending) (gone bool) {
	switch how {
	case endAfterQueue, endNow:
		p.out = append(p.out, closePacket)
		p.apart = how == endAfterQueue
	case endAnswered:
		p.drop()
		p.out = []outgoing{noopPacket}
		if !p.getting {
			p.fetched = make(chan struct{})
			return false
		}
	case endAbort:
		p.drop()
		p.out = []outgoing{closePacket}
		p.answers.cut()
	}
	if !p.telling {
		p.answer()
	}
	return how != endAfterQueue
}

func (p *polling) takeProbe() *probe {
	probe := p.probe
	if probe != nil {
		probe.stop()
		p.probe = nil
	}
	return probe
}

// stopLinger tells those who wait that the last packets were fetched.
func (p *polling) stopLinger() {
	if p.linger != nil {
		p.linger.Stop()
		p.linger = nil
	}
	if p.fetched != nil {
		close(p.fetched)
		p.fetched = nil
	}
}

// waitLocked waits, without the lock, for packets or for the end of the request.
func (s *Session) waitLocked(ctx context.Context, p *polling) {
	waiting := make(chan struct{})
	p.waiting = waiting
	s.mu.Unlock()
	select {
	case <-waiting:
	case <-ctx.Done():
	}
	s.mu.Lock()
	p.waiting = nil
}

// get answers a GET.
func (s *Session) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.polling
	if p == nil {
		s.mu.Unlock()
		s.server.refuse(w, r, refusedMismatch)
		return
	}
	if p.getting {
		s.mu.Unlock()
		s.endWith(sio.ReasonTransportError, endNow, nil, noticeOverlap)
		s.server.refuse(w, r, refusedOverlap)
		return
	}
	p.getting, p.since = true, time.Now()
	p.restIdle()
	if len(p.out) == 0 && !s.ended.Load() || p.telling {
		s.waitLocked(r.Context(), p)
	}
	p.getting = false
	pinged := p.pinged
	packets, compress := p.take(s.server.mostPackets(r, len(p.out)), s.server.o.MaxPayload)
	if pinged && !p.pinged && s.since.Load() != 0 {
		s.awaitLocked() // the browser learns of the ping now
	}
	if p.final {
		p.drop()
	}
	why := p.why
	fetched := s.ended.Load() && len(p.out) == 0
	if fetched {
		p.stopLinger()
	}
	upgraded, since := s.polling == nil, p.since
	s.mu.Unlock()
	if fetched {
		s.forget()
	}
	if upgraded && len(packets) == 0 {
		s.server.refuse(w, r, refusedMismatch)
		return
	}
	if why != nil && len(packets) == 1 && packets[0].Type == PacketClose {
		s.server.refuse(w, r, why.refusal)
		return
	}
	if err := s.writePayload(w, r, p, packets, compress); err != nil && !upgraded {
		if len(packets) == 0 {
			s.server.lost(time.Since(since))
		}
		s.unwritten(err)
	}
}

// wake answers a GET that waits.
func (s *Session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.polling
	if p == nil || p.waiting == nil || p.telling {
		return
	}
	if len(p.out) == 0 {
		p.out = append(p.out, noopPacket)
	}
	p.answer()
}

func (s *Session) writePayload(w http.ResponseWriter, r *http.Request, p *polling, packets []Packet, compress bool) error {
	if err := r.Context().Err(); err != nil {
		return err
	}
	body, contentType := s.codec.answer(packets)
	h := w.Header()
	body = s.server.compressed(h, r, body, compress)
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	if agent := r.UserAgent(); strings.Contains(agent, ";MSIE") || strings.Contains(agent, "Trident/") {
		h.Set("X-XSS-Protection", "0")
	}
	return s.writeAnswer(w, r, p, body)
}

// post takes a POST.
func (s *Session) post(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.polling
	if p == nil {
		s.mu.Unlock()
		s.server.refuse(w, r, refusedMismatch)
		return
	}
	if p.posting {
		s.mu.Unlock()
		s.endWith(sio.ReasonTransportError, endNow, nil, noticeOverlap)
		s.server.refuse(w, r, refusedOverlap)
		return
	}
	p.posting = true
	s.mu.Unlock()

	packets, fault := s.readPayload(w, r)
	for _, packet := range packets {
		if !s.handle(packet) {
			break
		}
	}

	if fault != nil {
		s.endWith(fault.reason, endNow, fault.why, fault.notice(r, &s.server.o))
	}
	s.mu.Lock()
	why, fetched := p.why, p.fetched
	p.why = nil
	p.posting = false
	s.mu.Unlock()
	switch {
	case fetched != nil:
		s.awaitGet(r, fetched)
	case why != nil:
		s.explain(w, r, p, why)
		return
	}
	if fault != nil {
		s.server.refuse(w, r, fault.refusal)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html")
	h.Set("Content-Length", "2")
	h.Set("Cache-Control", "no-store")
	io.WriteString(w, "ok")
}

// awaitGet gives a GET that the browser's close may have overtaken a moment to come.
func (s *Session) awaitGet(r *http.Request, fetched <-chan struct{}) {
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-fetched:
	case <-grace.C:
	case <-r.Context().Done():
	}
	s.abort()
}

// fault is what was wrong with the body of a POST, and how the session ends for it.
type fault struct {
	reason  sio.Reason
	refusal *refusal
	why     *explanation // of a limit, with the same refusal
}

// notice names the refusal of a request in the line of the session's end.
func (f *fault) notice(r *http.Request, o *Options) *Notice {
	n := *endings[f.reason]
	n.Setting, n.Facts = f.refusal.setting, []any{"reason", f.refusal.cause}
	if f.refusal.say != "" {
		n.Text = f.refusal.say
	}
	if f.reason == sio.ReasonPayloadTooLarge {
		n.Facts = []any{"limit", o.MaxPayload}
		if r.ContentLength > 0 {
			n.Facts = append(n.Facts, "bytes", r.ContentLength)
		}
	}
	return &n
}

// readPayload reads the packets of a POST, or says what is wrong.
func (s *Session) readPayload(w http.ResponseWriter, r *http.Request) ([]Packet, *fault) {
	o := &s.server.o
	control := http.NewResponseController(w)
	// Of a body that is refused the HTTP server reads the rest, since the client may not look at
	// the answer before it has sent all. It must not read without end.
	control.SetReadDeadline(time.Now().Add(refusedRest))
	if r.ContentLength > o.MaxPayload {
		return nil, s.server.tooLarge
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	binary := media == octetStream
	if binary && !s.codec.takesBinary() {
		return nil, &fault{reason: sio.ReasonParseError, refusal: refusedPayload}
	}
	if isCompressed(r) {
		return nil, &fault{reason: sio.ReasonParseError, refusal: refusedEncoding}
	}
	control.SetReadDeadline(time.Now().Add(o.BodyTimeout))
	body, err := readBody(r, o.MaxPayload)
	switch {
	case err != nil:
		return nil, &fault{reason: sio.ReasonTransportError, refusal: refusedSlowBody}
	case int64(len(body)) > o.MaxPayload:
		control.SetReadDeadline(time.Now().Add(refusedRest))
		return nil, s.server.tooLarge
	}
	control.SetReadDeadline(time.Time{})
	packets, err := s.codec.split(body, binary, o.MaxPacketsPerPayload)
	switch {
	case errors.Is(err, errTooManyPackets):
		return nil, s.server.tooMany
	case err != nil:
		return nil, &fault{reason: sio.ReasonParseError, refusal: refusedPayload}
	}
	return packets, nil
}

// readBody reads one byte more than the limit at most. It believes the announced length only as far
// as bytes come.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	const trusted = 64 << 10
	b := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), trusted)+bytes.MinRead))
	_, err := b.ReadFrom(io.LimitReader(r.Body, limit+1))
	return b.Bytes(), err
}
