// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// One forwarded polling request: to the owner of the session, and its answer back.

// hopByHop are headers that belong to one connection. Others are passed on even if the browser
// names them in Connection: a browser must not be able to take out what a proxy wrote.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}

// refusedRest is how long the rest of a body is read that was refused.
const refusedRest = time.Second

// outgoing is the request as it goes to the owner.
func (e *proxyRequest) outgoing(r *http.Request) *http.Request {
	out := &http.Request{
		Method: r.Method, Host: r.Host, Header: maps.Clone(r.Header), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	u := *r.URL
	u.Scheme, u.Host = plainScheme, e.address
	out.URL = &u
	out.Header[requestHeader] = []string{sender(token(&e.f.o, forRequests, e.owner), r)}
	if _, given := out.Header["User-Agent"]; !given {
		out.Header["User-Agent"] = []string{""} // else Go adds its own
	}
	return out.WithContext(r.Context())
}

// poll carries one polling request there and its answer back.
func (e *proxyRequest) poll(w http.ResponseWriter, r *http.Request) {
	out := e.outgoing(r)
	for _, name := range hopByHop {
		delete(out.Header, name)
	}
	if r.Method == http.MethodGet {
		// A request that was sent is never sent again: what the owner gave to the first answer
		// would be lost. The transport repeats no request that has a body, even an empty one.
		out.Body = struct{ io.ReadCloser }{http.NoBody}
	}
	if r.ContentLength != 0 {
		up := &upload{from: r.Body, control: http.NewResponseController(w)}
		// an owner may refuse a body before it has all; HTTP/2 needs no leave
		_ = up.control.EnableFullDuplex()
		defer up.end()
		out.Body, out.ContentLength = up, r.ContentLength
		e.exchange(w, r, out, up)
		return
	}
	e.f.waits(e)
	defer e.f.waitsNoMore(e)
	e.exchange(w, r, out, new(upload))
}

// waits notes a request without a body, which may wait for its answer.
func (f *Forwarder) waits(e *proxyRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls[e] = struct{}{}
}

func (f *Forwarder) waitsNoMore(e *proxyRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.polls, e)
}

// exchange sends a request and answers with what the owner answers.
func (e *proxyRequest) exchange(w http.ResponseWriter, r, out *http.Request, up *upload) {
	f := e.f
	f.metrics.Polling.Inc()
	answer, err := f.transport.RoundTrip(out)
	if up.pending() {
		w.Header().Set("Connection", "close") // what is left of the body would follow
	}
	if err != nil {
		var op *net.OpError
		switch {
		case r.Context().Err() != nil || up.broke.Load(): // the browser left, and the owner saw it leave
		case errors.As(err, &op) && op.Op == "dial":
			e.fail(w, r, f.metrics.Unreachable, "it cannot be reached", err)
		default:
			e.fail(w, r, f.metrics.NoAnswer, "it did not answer", err)
		}
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if !e.isOwner(answer) {
		e.wrongReplica(w, r, answer.Status)
		return
	}
	e.relay(w, r, answer)
}

func (e *proxyRequest) isOwner(answer *http.Response) bool {
	return same(answer.Header.Get(answerHeader), token(&e.f.o, forAnswers, e.owner))
}

func (e *proxyRequest) wrongReplica(w http.ResponseWriter, r *http.Request, status string) {
	e.fail(w, r, e.f.metrics.WrongReplica, "another program listens there, or its cluster-secret is another",
		errors.New("the answer was "+status))
}

// relay answers with what the owner answered.
func (e *proxyRequest) relay(w http.ResponseWriter, r *http.Request, answer *http.Response) {
	h := w.Header()
	maps.Copy(h, answer.Header)
	delete(h, answerHeader)
	for _, name := range hopByHop {
		delete(h, name)
	}
	if answer.Close || e.f.draining.Load() {
		h.Set("Connection", "close")
	}
	w.WriteHeader(answer.StatusCode)
	control := http.NewResponseController(w)
	buffer := e.f.buffers.Get().(*[largeBuffer]byte)
	defer e.f.buffers.Put(buffer)
	for {
		n, err := answer.Body.Read(buffer[:])
		if n > 0 {
			// the HTTP server takes it back
			_ = control.SetWriteDeadline(time.Now().Add(e.f.o.WriteTimeout))
			if _, err := w.Write(buffer[:n]); err != nil {
				e.f.noteStalled(err, r.RemoteAddr)
				return // or the browser left
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = control.Flush() // or the browser left
			return
		case err != nil:
			e.f.metrics.NoAnswer.Inc()
			// the browser must not take a part for the whole; that is how a handler says so
			panic(http.ErrAbortHandler)
		}
	}
}

// upload is the body of a request as the transport reads it, which may go on when the owner has
// answered. It must not when the handler has returned.
type upload struct {
	from    io.Reader
	control *http.ResponseController

	all, broke atomic.Bool // it was read to its end; it broke off before

	mu   sync.Mutex // held while it is read; guards over
	over bool
}

var errOver = errors.New("the request is over")

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return 0, errOver
	}
	n, err := u.from.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		u.all.Store(true)
		// the answer may wait for longer than the body could
		_ = u.control.SetReadDeadline(time.Time{})
	case err != nil:
		u.broke.Store(true)
	}
	return n, err
}

// Close implements io.Closer. The body is the HTTP server's to close.
func (u *upload) Close() error { return nil }

// pending tells whether some of the body has not been read.
func (u *upload) pending() bool { return u.from != nil && !u.all.Load() }

// end waits until the transport reads no more, and takes what is left of a body, for a moment: a
// client that is still sending when its connection is closed may never see the answer.
func (u *upload) end() {
	if u.pending() {
		_ = u.control.Flush()                     // the answer first
		_ = u.control.SetReadDeadline(time.Now()) // ends a read that waits
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	if u.pending() && u.control.SetReadDeadline(time.Now().Add(refusedRest)) == nil {
		_, _ = io.Copy(io.Discard, u.from)
	}
}
