// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"io"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// A message is read into memory that grows with the bytes that came, whatever size it announces:
// first into scratch, which grows to a block, then into one block after the other. Scratch and
// blocks are pooled, so that a large message leaves no garbage but itself.
type (
	scratch struct{ b []byte }
	block   [blockSize]byte
)

const (
	newScratch = 4 << 10
	blockSize  = 64 << 10
)

var (
	scratches = sync.Pool{New: func() any { return &scratch{b: make([]byte, newScratch)} }}
	blocks    = sync.Pool{New: func() any { return new(block) }}
)

// assembly is a message that is being read.
type assembly struct {
	text    bool
	full    []*block // all but their last bytes: see part
	parts   []int    // how much of each is the message's
	b       []byte   // what is being filled
	size    int      // bytes in b
	checked int      // of those, the ones that are known to be valid UTF-8
	total   int      // bytes in all
}

// grow makes room when b is full.
func (a *assembly) grow() {
	if len(a.b) < blockSize {
		a.b = append(a.b, make([]byte, min(len(a.b), blockSize-len(a.b)))...)
		return
	}
	// A character that the block only begins goes to the next one.
	whole := a.size
	if a.text {
		whole = a.checked
	}
	next := blocks.Get().(*block)
	rest := copy(next[:], a.b[whole:a.size])
	current := (*block)(a.b)
	a.full, a.parts = append(a.full, current), append(a.parts, whole)
	a.b, a.size, a.checked = next[:], rest, 0
}

// took counts bytes that were read into b, and checks them.
func (a *assembly) took(n int) error {
	a.size += n
	a.total += n
	if a.text && n > 0 {
		ok := false
		if a.checked, ok = checkUTF8(a.b[:a.size], a.checked); !ok {
			return errUTF8
		}
	}
	return nil
}

// message is what was read, in memory of its own.
func (a *assembly) message() []byte {
	data := make([]byte, 0, a.total)
	for i, full := range a.full {
		data = append(data, full[:a.parts[i]]...)
	}
	return append(data, a.b[:a.size]...)
}

// release gives the blocks back.
func (a *assembly) release() {
	for _, full := range a.full {
		blocks.Put(full)
	}
	if len(a.b) == blockSize {
		blocks.Put((*block)(a.b))
	}
}

func (c *Conn) readAll(r io.Reader, text bool) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	a := assembly{text: text, b: s.b}
	defer a.release()
	for {
		if a.size == len(a.b) {
			a.grow()
		}
		n, err := r.Read(a.b[a.size:])
		c.meter.payload += int64(n)
		if int64(a.total+n) > c.o.MaxMessage { // gorilla counts what is on the wire
			return nil, websocket.ErrReadLimit
		}
		if e := a.took(n); e != nil {
			return nil, e
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if text && a.checked < a.size {
		return nil, errUTF8
	}
	return a.message(), nil
}

// checkUTF8 goes on at checked, which it has reached before, and tells how far b is valid. A
// character that b only begins is neither valid nor wrong yet.
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
