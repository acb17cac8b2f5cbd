// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// distant is the address of a line to the broker on which each byte takes a while in either
// direction. The line has the bandwidth of the loopback, and ends with the test.
func distant(t *testing.T, address string, oneWay time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &distance{target: address, oneWay: oneWay}
	d.running.Go(func() { d.accept(l) })
	t.Cleanup(func() {
		_ = l.Close()
		d.mu.Lock()
		d.closed = true
		for _, c := range d.ends {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.running.Wait()
	})
	return l.Addr().String()
}

type distance struct {
	target  string
	oneWay  time.Duration
	running sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	ends   []net.Conn
	closed bool
}

// accept runs until the listener is closed.
func (d *distance) accept(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", d.target)
		if err != nil || !d.keep(near, far) {
			_ = near.Close()
			continue
		}
		d.running.Go(func() { d.carry(far, near) })
		d.running.Go(func() { d.carry(near, far) })
	}
}

func (d *distance) keep(ends ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ends = append(d.ends, ends...)
	return !d.closed
}

// parcel is what was read at one time, and when it arrives.
type parcel struct {
	data []byte
	due  time.Time
}

// carry passes on what it reads, later. It ends with its connections.
func (d *distance) carry(to, from net.Conn) {
	way := make(chan parcel, 1024)
	d.running.Go(func() { // ends when nothing more is on the way
		for p := range way {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // a connection that is gone shows on the other side
		}
		_ = to.Close()
	})
	defer close(way)
	for {
		buffer := make([]byte, 64<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			way <- parcel{buffer[:n], time.Now().Add(d.oneWay)}
		}
		if err != nil {
			if err != io.EOF {
				_ = to.Close()
			}
			return
		}
	}
}
