// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"

	"github.com/gorilla/websocket"
)

// Close codes that this package or its callers send. RFC 6455, section 7.4.1.
const (
	// CodeNone closes without a code; the peer sees 1005.
	CodeNone      = 0
	CodeNormal    = 1000
	CodeGoingAway = 1001
	CodeProtocol  = 1002
	CodeUTF8      = 1007
	CodePolicy    = 1008
	CodeTooLarge  = 1009
)

var (
	// ErrFull means that the message did not fit into the outbound queue. Nothing of it was queued.
	ErrFull = errors.New("websocket: the outbound queue is full")
	// ErrClosed means that the connection was closed from this side, or broke.
	ErrClosed = errors.New("websocket: closed")
	// ErrSlow means that the connection was closed from this side since the peer took nothing of
	// what waited for it for WriteTimeout.
	ErrSlow = errors.New("websocket: the peer took nothing for too long")
	// ErrTooLarge means that the peer sent a larger message than is allowed.
	ErrTooLarge = errors.New("websocket: message too large")
	// ErrProtocol means that the peer violated RFC 6455.
	ErrProtocol = errors.New("websocket: protocol error")
)

var (
	errUTF8      = fmt.Errorf("%w: text is not UTF-8", ErrProtocol)
	errFragments = fmt.Errorf("%w: too many fragments in one message", ErrProtocol)
	errCloseBody = fmt.Errorf("%w: close frame with one byte", ErrProtocol)
)

// CloseError means that the peer closed the connection properly.
type CloseError struct {
	Code int // CodeNone when it gave none
	Text string
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("websocket: the peer closed with %d %s", e.Code, e.Text)
}

// readError puts gorilla's errors into this package's words. closeCode is what is still to be
// sent to the peer, if anything.
func readError(err error, closeSent bool) (cause error, closeCode int) {
	var (
		closed  *websocket.CloseError
		corrupt flate.CorruptInputError
	)
	switch {
	case errors.Is(err, errCloseBody):
		return err, CodeProtocol
	case errors.Is(err, errUTF8):
		return err, CodeUTF8
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w: %w", ErrProtocol, err), CodeUTF8
	case errors.Is(err, errFragments):
		return err, CodePolicy
	case errors.Is(err, websocket.ErrReadLimit):
		return ErrTooLarge, CodeTooLarge
	case errors.As(err, &closed) && closed.Code == websocket.CloseNoStatusReceived:
		return &CloseError{}, CodeNone
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure, errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF, CodeNone
	case errors.As(err, &closed):
		return &CloseError{Code: closed.Code, Text: closed.Text}, CodeNone
	case closeSent && !isIO(err):
		// gorilla found a broken rule and has informed the peer already.
		return fmt.Errorf("%w: %w", ErrProtocol, err), CodeNone
	}
	return err, CodeNone
}
