// SPDX-License-Identifier: Apache-2.0

//go:build unix

package wsconn

import (
	"sync"
	"syscall"
)

// directWrites tells that this system writes without blocking from any goroutine.
const directWrites = true

// attempt is one write that does not block. It is pooled with its function, so that a write
// allocates nothing.
type attempt struct {
	data []byte
	n    int
	err  error
	run  func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.run = a.write
	return a
}}

// write is called by the runtime with a descriptor in non-blocking mode. True means that it is not
// to wait and call again.
func (a *attempt) write(fd uintptr) bool {
	for a.n < len(a.data) {
		n, err := syscall.Write(int(fd), a.data[a.n:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			a.err = err
			return true
		}
		a.n += n
	}
	return true
}

// writeNow writes what the socket takes now.
func (c *Conn) writeNow(data []byte) (n int, err error) {
	a := attempts.Get().(*attempt)
	a.data, a.n, a.err = data, 0, nil
	err = c.raw.Write(a.run)
	if err == nil {
		err = a.err
	}
	n = a.n
	a.data = nil
	attempts.Put(a)
	return n, err
}
