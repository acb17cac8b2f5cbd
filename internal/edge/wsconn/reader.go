// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"errors"
	"io"
	"net"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// meter counts the bytes that come from the socket, and those of them that were payload. The difference is headers and control
// frames: it bounds the fragments, which gorilla does not count.
type meter struct {
	wire    int64 // read from the socket
	payload int64
	began   int64 // the difference when the current message began
	reading bool  // a message is being read

	// deflated tells that messages may be compressed: then the payload does not tell what it took on the wire, and the overhead is
	// what came beyond the most that the payload may be.
	deflated bool
	start    int64 // wire when the current message began
}

func (m *meter) begin() { m.began, m.start, m.reading = m.wire-m.payload, m.wire, true }

// overhead is about what the current message has had in headers and control frames, without what was read ahead.
func (m *meter) overhead(maxMessage int64) int64 {
	switch {
	case !m.reading:
		return 0
	case m.deflated:
		return m.wire - m.start - maxMessage
	}
	return m.wire - m.payload - m.began
}

// odd tells that the frame just read had one byte of payload that was not counted: all headers of a client are even in length.
func (m *meter) odd(ahead int) bool { return !m.deflated && (m.wire-m.payload-int64(ahead))%2 != 0 }

// maxOverhead is the room for MaxFragments headers with two bytes of length. What is read ahead comes on top.
func (o *Options) maxOverhead() int64 {
	const header = 2 + 2 + 4
	return int64(o.MaxFragments*header + o.ReadBuffer)
}

// scratch holds a message of a size that is not known yet.
type scratch struct{ b []byte }

const newScratch = 4 << 10

var scratches = sync.Pool{New: func() any { return &scratch{b: make([]byte, newScratch)} }}

// Read waits for the next message. The slice is fresh, of about the message's size, and the caller's. Text is valid UTF-8. After an
// error there is nothing more to read, the peer has been told why where a rule says so, and Finish is due. The error is a
// *CloseError when the peer closed properly, io.EOF when it just went, ErrTooLarge or ErrProtocol when it broke a rule, ErrSlow when
// it took nothing for too long, ErrClosed when this side closed, or else what the system said.
func (c *Conn) Read() (data []byte, binary bool, err error) {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, false, c.readFailed(err)
	}
	binary = kind == websocket.BinaryMessage
	c.meter.begin()
	data, err = c.readAll(r, !binary)
	c.meter.reading = false
	if err != nil {
		return nil, false, c.readFailed(err)
	}
	return data, binary, nil
}

func (c *Conn) readAll(r io.Reader, text bool) ([]byte, error) {
	s := scratches.Get().(*scratch)
	b := s.b
	size, checked := 0, 0
	for {
		if size == len(b) {
			b = append(b, make([]byte, size)...)
		}
		n, err := r.Read(b[size:])
		size += n
		c.meter.payload += int64(n)
		if int64(size) > c.o.MaxMessage { // gorilla counts what is on the wire
			err = websocket.ErrReadLimit
		}
		if text && n > 0 && err != websocket.ErrReadLimit {
			ok := false
			if checked, ok = checkUTF8(b[:size], checked); !ok {
				err = errUTF8
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if checked < size && text {
		return nil, errUTF8
	}
	if len(b) > newScratch && size > len(b)/2 {
		scratches.Put(s)
		return b[:size:size], nil
	}
	data := make([]byte, size)
	copy(data, b)
	scratches.Put(s)
	return data, nil
}

// checkUTF8 goes on at checked, which it has reached before, and tells how far b is valid. A character that b only begins is
// neither valid nor wrong yet.
func checkUTF8(b []byte, checked int) (int, bool) {
	rest := b[checked:]
	if utf8.Valid(rest) {
		return len(b), true
	}
	// Only the last three bytes can be the beginning of a character.
	for cut := len(rest) - 1; cut >= 0 && cut >= len(rest)-3; cut-- {
		if utf8.RuneStart(rest[cut]) {
			ok := !utf8.FullRune(rest[cut:]) && utf8.Valid(rest[:cut])
			return checked + cut, ok
		}
	}
	return checked, false
}

// readFailed tells the peer what it did wrong, if it does not know yet.
func (c *Conn) readFailed(err error) error {
	c.mu.Lock()
	closeSent, dead, slow := c.closeSent, c.dead, c.slow
	c.mu.Unlock()
	if slow {
		return ErrSlow
	}
	if dead {
		return ErrClosed
	}
	cause, code := readError(err, closeSent)
	if code != CodeNone {
		text := ""
		if code == CodeTooLarge {
			text = c.o.TooLarge
		}
		c.queueControl(appendClose(nil, code, text))
	}
	c.Flush()
	if closeSent && isTimeout(err) {
		return ErrClosed
	}
	return cause
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// isIO tells an error of the socket from one of gorilla.
func isIO(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed)
}
