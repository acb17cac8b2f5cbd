// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// counted is a budget that is large enough.
func counted() *budget.Budget { return budget.New(1<<40, func() {}, func(int) {}) }

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// deaf opens connections whose peers do not read.
func deaf(t *testing.T, o Options, count int) []*Conn {
	conns := make(chan *Conn)
	end := make(chan struct{})
	address := serve(t, o, func(c *Conn) {
		conns <- c
		<-end
		c.Abort()
	})
	t.Cleanup(func() { close(end) })
	all := make([]*Conn, 0, count)
	for range count {
		go func() { dial(t, address) }()
		all = append(all, <-conns)
	}
	return all
}

// Connections that do not read share the bytes of what all get: they are held once, by reference,
// and count once.
func TestConn_QueueShared_HeldOnce(t *testing.T) {
	const peers, broadcasts, size = 50, 40, 300 << 10
	b := counted()
	conns := deaf(t, Options{Budget: b, MaxOutbound: 1 << 30}, peers)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range broadcasts {
		s := budget.NewShared(AppendFrame(nil, make([]byte, size), true))
		for _, c := range conns {
			if err := c.QueueShared(s); err != nil {
				t.Fatal(err)
			}
			c.Flush()
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	queued := 0
	for _, c := range conns {
		bytes, _ := c.Backlog()
		queued += bytes
	}
	t.Logf("%d MiB are queued, %d MiB held, the heap grew by %d MiB", queued>>20, b.Held()>>20, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20)
	if most := int64(broadcasts*(size+100) + peers*broadcasts*2*chunkCost); b.Held() > most {
		t.Errorf("%d bytes are held, at most %d", b.Held(), most)
	}
	if queued < 5*broadcasts*size {
		t.Errorf("only %d bytes are queued", queued)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2*broadcasts*size {
		t.Errorf("the heap grew by %d bytes for %d of payload", grown, broadcasts*size)
	}
	for _, c := range conns {
		c.Discard()
	}
	if b.Held() != 0 {
		t.Errorf("%d bytes are held of connections that are closed", b.Held())
	}
}

// Whatever mixture is queued, and however it ends, all that was counted is taken back.
func TestConn_Budget(t *testing.T) {
	mixture := func(c *Conn) (bytes int) {
		for i := range 400 {
			payload := make([]byte, 1+i*977%(200<<10))
			switch i % 3 {
			case 0:
				c.Queue(payload, true)
			case 1:
				c.QueueShared(budget.NewShared(AppendFrame(nil, payload, true)))
			default:
				c.QueuePrefixed('4', payload[1:])
			}
			bytes += len(payload)
			if i%5 == 0 {
				c.Flush()
			}
		}
		c.Flush()
		return bytes
	}
	t.Run("discarded", func(t *testing.T) {
		b := counted()
		c := deaf(t, Options{Budget: b, MaxOutbound: 1 << 30}, 1)[0]
		mixture(c)
		if bytes, _ := c.Backlog(); int64(bytes) > b.Held() || b.Held() > int64(bytes)+2<<20 {
			t.Errorf("%d bytes wait, %d are counted", bytes, b.Held())
		}
		c.Discard()
		if b.Held() != 0 {
			t.Errorf("%d bytes are held", b.Held())
		}
	})
	t.Run("read", func(t *testing.T) {
		b := counted()
		sum := make(chan int, 1)
		address := serve(t, Options{Budget: b, MaxOutbound: 1 << 30}, func(c *Conn) {
			sum <- mixture(c)
			c.Read()
		})
		p, _ := dial(t, address)
		want, got := <-sum, 0
		for got < want {
			_, payload, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			got += len(payload)
		}
		eventually(t, "nothing to be held", func() bool { return b.Held() == 0 })
	})
}

// What waits behind a large message keeps its order, and its bytes.
func TestConn_Queue_Order(t *testing.T) {
	const count = 200
	address := serve(t, Options{Budget: counted()}, func(c *Conn) {
		for i := range count {
			payload := fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte("x"), i%7*15_000))
			if i%2 == 0 {
				c.QueueShared(budget.NewShared(AppendFrame(nil, payload, false)))
			} else {
				c.Queue(payload, false)
			}
			if i%3 == 0 {
				c.Flush()
			}
		}
		c.Flush()
		c.Read()
	})
	p, _ := dial(t, address)
	for i := range count {
		_, payload, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscan(payload[:min(len(payload), 8)], &n); err != nil || n != i {
			t.Fatalf("message %d is %.20q", i, payload)
		}
	}
}

// A peer that takes a little now and then is no slow one, however long the queue takes: only one
// that takes nothing is.
func TestConn_WriteTimeout_Progress(t *testing.T) {
	errs := make(chan error, 1)
	address := serve(t, Options{WriteTimeout: 400 * time.Millisecond, MaxOutbound: 1 << 30}, func(c *Conn) {
		c.Queue(make([]byte, 48<<20), true)
		c.Flush()
		_, _, err := c.Read()
		errs <- err
	})
	p, _ := dial(t, address)
	p.conn.SetDeadline(noDeadline)
	buffer := make([]byte, 64<<10)
	for begin := time.Now(); time.Since(begin) < 2*time.Second; time.Sleep(5 * time.Millisecond) {
		if _, err := p.conn.Read(buffer); err != nil {
			t.Fatalf("cut off while it reads: %v", err)
		}
	}
	select {
	case err := <-errs:
		t.Fatalf("closed while the peer reads: %v", err)
	default:
	}
	if err := <-errs; err != ErrSlow { // and now it does not
		t.Errorf("got %v", err)
	}
}
