// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bytes"
	"net"
	"net/http"
	"testing"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// held is a connection of which the test is both ends.
func held(t testing.TB) (c *Conn, p *peer) {
	conns := make(chan *Conn)
	end := make(chan struct{})
	address := serve(t, Options{}, func(c *Conn) {
		conns <- c
		<-end
	})
	t.Cleanup(func() { close(end) })
	done := make(chan struct{})
	go func() {
		p, _ = dial(t, address)
		close(done)
	}()
	c = <-conns
	<-done
	return c, p
}

// Queueing and writing allocate nothing; reading allocates the message and gorilla's reader.
func TestConn_Allocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop at random under the race detector")
	}
	c, p := held(t)
	payload := bytes.Repeat([]byte("x"), 100)
	framed := budget.NewShared(AppendFrame(nil, payload, false))
	request := frame(0x81, string(payload))
	answer := make([]byte, 4*len(framed.Data)+1)
	for name, budget := range map[string]struct {
		max float64
		run func()
	}{
		"queue and flush": {0, func() {
			c.Queue(payload, false)
			c.QueuePrefixed('4', payload[1:])
			c.Flush()
			p.conn.Read(answer)
		}},
		"shared": {0, func() {
			c.QueueShared(framed)
			c.Flush()
			p.conn.Read(answer)
		}},
		"read": {2, func() {
			p.conn.Write(request)
			c.Read()
		}},
	} {
		if got := testing.AllocsPerRun(200, budget.run); got > budget.max {
			t.Errorf("%s: %v allocations, at most %v", name, got, budget.max)
		}
	}
}

func BenchmarkConn_QueueFlush(b *testing.B) {
	c, p := held(b)
	go func() {
		sink := make([]byte, 64<<10)
		for {
			if _, err := p.conn.Read(sink); err != nil {
				return
			}
		}
	}()
	p.conn.SetDeadline(noDeadline)
	payload := bytes.Repeat([]byte("x"), 100)
	b.ReportAllocs()
	for b.Loop() {
		c.Queue(payload, false)
		c.Flush()
	}
	p.conn.Close()
}

func BenchmarkConn_Queue16Flush(b *testing.B) {
	c, p := held(b)
	go func() {
		sink := make([]byte, 64<<10)
		for {
			if _, err := p.conn.Read(sink); err != nil {
				return
			}
		}
	}()
	p.conn.SetDeadline(noDeadline)
	payload := bytes.Repeat([]byte("x"), 100)
	b.ReportAllocs()
	for b.Loop() {
		for range 16 {
			c.Queue(payload, false)
		}
		c.Flush()
	}
	p.conn.Close()
}

func BenchmarkConn_Read(b *testing.B) {
	c, p := held(b)
	p.conn.SetDeadline(noDeadline)
	many := bytes.Repeat(frame(0x81, string(bytes.Repeat([]byte("x"), 100))), 100)
	go func() {
		for {
			if _, err := p.conn.Write(many); err != nil {
				return
			}
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Read(); err != nil {
			b.Fatal(err)
		}
	}
	p.conn.Close()
}

func BenchmarkConn_Echo(b *testing.B) {
	address := serve(b, Options{}, echo)
	p, _ := dial(b, address)
	p.conn.SetDeadline(noDeadline)
	request := frame(0x81, string(bytes.Repeat([]byte("x"), 100)))
	answer := make([]byte, 102)
	b.ReportAllocs()
	for b.Loop() {
		p.conn.Write(request)
		if _, err := p.in.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
}

var (
	_ http.ResponseWriter = (*hijacker)(nil)
	_ http.Hijacker       = (*hijacker)(nil)
	_ net.Conn            = (*tap)(nil)
)
