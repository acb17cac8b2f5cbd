// SPDX-License-Identifier: Apache-2.0

// Package hijack takes the connection of an upgrade request over from the HTTP server. A client
// must wait for the answer to its handshake before it sends any frame (RFC 6455, section 4.1). What
// it sent earlier is refused by HTTP: the request, its bytes and the handler that hijacks would
// otherwise part without a word, or the bytes be lost. Any listener may use it.
package hijack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// ErrEarly means that the client sent more than its request before it was answered.
var ErrEarly = errors.New("the client sent data before its handshake was answered (RFC 6455, section 4.1)")

// Take takes a connection over. With ErrEarly the connection is taken over, too, and waits for an
// Answer.
func Take(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("hijack: %w", err)
	}
	// The HTTP server may have left deadlines of its own.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("hijack: %w", err)
	}
	if rw.Reader.Buffered() > 0 {
		return conn, rw, ErrEarly
	}
	return conn, rw, nil
}

const (
	answerTime = 5 * time.Second // for the client to take the answer
	restTime   = time.Second     // for what the client still sends
	restBytes  = 64 << 10
)

// Answer is an http.ResponseWriter for a connection that was taken over. Close sends the answer and
// ends the connection.
type Answer struct {
	conn   net.Conn
	header http.Header
	sent   bool // the head is in out
	out    bytes.Buffer
}

// NewAnswer makes an answer with a header, which it changes.
func NewAnswer(conn net.Conn, header http.Header) *Answer { return &Answer{conn: conn, header: header} }

// Header implements http.ResponseWriter.
func (a *Answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *Answer) WriteHeader(status int) {
	if a.sent {
		return
	}
	a.sent = true
	a.header.Set("Connection", "close") // which also ends the body
	fmt.Fprintf(&a.out, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	_ = a.header.Write(&a.out) // a buffer takes everything
	a.out.WriteString("\r\n")
}

// Write implements http.ResponseWriter.
func (a *Answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.out.Write(p)
}

// Close sends the answer and ends the connection. It takes what the client still sends, for a
// moment: a connection that is closed with bytes unread may lose the answer.
func (a *Answer) Close() {
	defer func() { _ = a.conn.Close() }()
	if a.conn.SetDeadline(time.Now().Add(answerTime)) != nil {
		return
	}
	if _, err := a.out.WriteTo(a.conn); err != nil {
		return
	}
	half, ok := a.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || a.conn.SetReadDeadline(time.Now().Add(restTime)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(a.conn, restBytes))
}
