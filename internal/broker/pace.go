// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

var (
	errSlowBody   = errors.New("the body of the request came too slowly")
	errBrokenBody = errors.New("the body of the request broke off")
)

// pacedBody is a body that must come at a least rate. In each window of time that is spent waiting
// for it, so many bytes must come as that rate makes, or the end. So a large upload may last as
// long as it flows, a short body has one window, and a burst earns no credit for a stall. The time
// in which nothing is read does not count.
type pacedBody struct {
	io.ReadCloser
	deadline func(time.Time) error // of the connection that the body comes from
	window   time.Duration
	least    int // bytes in a window

	mu   sync.Mutex    // held while it is read; guards the fields below
	left time.Duration // of this window
	got  int           // in this window
	why  error         // why it cannot be read
}

func newPacedBody(body io.ReadCloser, deadline func(time.Time) error, window time.Duration, rate int) *pacedBody {
	least := max(1, int(float64(rate)*window.Seconds()))
	return &pacedBody{ReadCloser: body, deadline: deadline, window: window, least: least, left: window}
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != nil {
		return 0, b.why
	}
	begin := time.Now()
	_ = b.deadline(begin.Add(b.left)) // a connection without deadlines is a test's
	n, err := b.ReadCloser.Read(p)
	b.left -= time.Since(begin)
	if b.got += n; b.got >= b.least {
		b.left, b.got = b.window, 0
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		_ = b.deadline(time.Time{}) // the server reads on to notice when the browser leaves
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.why = errSlowBody
	default:
		b.why = fmt.Errorf("%w: %w", errBrokenBody, err)
	}
	if b.why != nil {
		err = b.why
	}
	return n, err
}

var errOver = errors.New("the request is over")

// end stops all reading, and returns what was wrong with the body. It waits for a read that is
// under way: a failed one cancels the request, and returns a moment later.
func (b *pacedBody) end() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	why := b.why
	b.why = errOver
	return why
}

// refusedRest is how long the rest of a body is read that is of no use.
const refusedRest = time.Second

// discard takes the rest of the body after the answer, for a moment: a client that is still sending
// when its connection is closed may never see the answer.
func (b *pacedBody) discard(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.Flush() // or the browser left
	if control.SetReadDeadline(time.Now().Add(refusedRest)) == nil {
		_, _ = io.Copy(io.Discard, b.ReadCloser)
	}
}

// boundBody gives the body of each request a deadline, also where no handler reads it: then the
// HTTP server does, before it answers. A handler that reads the body to its end takes the deadline
// back.
func boundBody(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// every listener's connection has deadlines
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
		}
		next.ServeHTTP(w, r)
	})
}

// takenAnswer is an answer of which the browser must take each part in time.
type takenAnswer struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// Write implements http.ResponseWriter.
func (a *takenAnswer) Write(p []byte) (int, error) {
	// the HTTP server takes it back, and so does who takes the connection over
	_ = a.control.SetWriteDeadline(time.Now().Add(a.timeout))
	return a.ResponseWriter.Write(p)
}

// refusedUpgrade tells whether the request is answered, since its client sent data before the
// answer to its upgrade.
func (a *takenAnswer) refusedUpgrade() bool {
	u, ok := a.ResponseWriter.(*upgrading)
	return ok && u.refused
}

// Unwrap serves http.ResponseController.
func (a *takenAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// takenRequest is a connection to a server that must take each part of a request in time. 0 is no
// limit.
type takenRequest struct {
	net.Conn
	timeout time.Duration
}

// Write implements net.Conn.
func (c *takenRequest) Write(p []byte) (int, error) {
	if c.timeout > 0 {
		// a connection that is closed says so when it is written
		_ = c.SetWriteDeadline(time.Now().Add(c.timeout))
	}
	return c.Conn.Write(p)
}

// CloseWrite tells the server that nothing follows, as a WebSocket's end wants it.
func (c *takenRequest) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
