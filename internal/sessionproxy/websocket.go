// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spanwire/spanwire/internal/hijack"
)

// The handshake of a forwarded WebSocket. From the 101 on, a link carries its bytes.

// mostAhead bounds the answers that may come ahead of the one to a handshake.
const mostAhead = 4

var errTooManyAhead = errors.New("the answer does not come")

// websocket carries a WebSocket handshake to the owner and, when that takes it, the WebSocket from
// then on. It tells whether it does.
func (e *proxyRequest) websocket(w http.ResponseWriter, r *http.Request) bool {
	f := e.f
	owner, err := f.dial(r.Context(), "tcp", e.address)
	if err != nil {
		e.fail(w, r, f.metrics.Unreachable, "it cannot be reached", err)
		return false
	}
	f.metrics.WebSocket.Inc()
	// The browser may leave before there is an answer.
	stay := context.AfterFunc(r.Context(), func() { _ = owner.Close() })
	in := bufio.NewReader(owner)
	answer, known, err := e.shakeHands(owner, in, e.outgoing(r))
	if err == nil && known && answer.StatusCode == http.StatusSwitchingProtocols && stay() {
		switch {
		case f.draining.Load(): // by now
			refuseDraining(w)
		case e.join(w, answer, owner, in):
			return true
		}
		_ = owner.Close()
		return false
	}
	defer func() { _ = owner.Close() }()
	defer stay()
	switch {
	case r.Context().Err() != nil: // the browser left
	case err != nil:
		e.fail(w, r, f.metrics.NoAnswer, "it did not answer", err)
	case !known:
		e.wrongReplica(w, r, answer.Status)
	default:
		e.relay(w, r, answer)
	}
	return false
}

// shakeHands sends the handshake and reads the answer, and tells whether the owner gave it.
func (e *proxyRequest) shakeHands(owner net.Conn, in *bufio.Reader, out *http.Request) (answer *http.Response, known bool, err error) {
	if err := owner.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, false, err
	}
	if err := out.Write(owner); err != nil {
		return nil, false, err
	}
	for range mostAhead {
		if answer, err = http.ReadResponse(in, out); err != nil {
			return nil, false, err
		}
		known = known || e.isOwner(answer)
		if answer.StatusCode >= http.StatusOK || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, known, nil
		}
	}
	return nil, false, errTooManyAhead
}

// join takes the browser's connection over, passes the owner's answer on, and lets both connections
// be carried from then on.
func (e *proxyRequest) join(w http.ResponseWriter, answer *http.Response, owner net.Conn, in *bufio.Reader) bool {
	browser, _, err := hijack.Take(w)
	if errors.Is(err, hijack.ErrEarly) {
		e.refuseEarly(w, browser)
		return false
	}
	if err != nil {
		e.f.metrics.NoAnswer.Inc()
		return false
	}
	l := e.f.keep(e, browser, owner)
	if l == nil {
		_ = browser.Close()
		return false
	}
	if err := e.begin(l, answer, in); err != nil {
		e.f.drop(l)
		return false
	}
	e.f.carry(l)
	return true
}

// refuseEarly answers a browser that did not wait, as its own replica would have.
func (e *proxyRequest) refuseEarly(w http.ResponseWriter, browser net.Conn) {
	e.f.metrics.EarlyData.Inc()
	if ok, suppressed := e.f.quiet.Allow("early"); ok {
		e.f.log.Info("request rejected: "+hijack.ErrEarly.Error(), "address", browser.RemoteAddr(), "peer", e.owner, "suppressed", suppressed)
	}
	a := hijack.NewAnswer(browser, w.Header())
	a.Header().Set("Content-Type", "text/html")
	a.Header().Set("Cache-Control", "no-store")
	a.Header().Set("X-Content-Type-Options", "nosniff")
	a.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(a, "Bad request") // of no effect when the browser is gone
	a.Close()
}

// begin passes the answer on, and what the owner has sent meanwhile.
func (e *proxyRequest) begin(l *link, answer *http.Response, fromOwner *bufio.Reader) error {
	soon := time.Now().Add(e.f.o.WriteTimeout)
	if err := errors.Join(l.browser.SetDeadline(soon), l.owner.SetDeadline(soon)); err != nil {
		return err
	}
	answer.Header.Del(answerHeader)
	var head bytes.Buffer // which takes all
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", answer.Status)
	_ = answer.Header.Write(&head)
	head.WriteString("\r\n")
	_, _ = io.CopyN(&head, fromOwner, int64(fromOwner.Buffered()))
	if _, err := head.WriteTo(l.browser); err != nil {
		return err
	}
	return errors.Join(l.browser.SetDeadline(time.Time{}), l.owner.SetDeadline(time.Time{}))
}
