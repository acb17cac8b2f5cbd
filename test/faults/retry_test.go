// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spanwire/spanwire/test/process"
)

// The published client emits with its own retries, and every third ack is lost on the way: each
// event is handled at least once, none before an earlier one, and each callback is called once.
func TestRetry(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		const count = 30
		w := newWorld(t, p)
		i := w.start()
		w.serving(1)
		way := newLossy(t, w.front.HTTP)
		node, err := process.Start("client", "", []string{"URL=http://" + way.Addr().String(), fmt.Sprint("COUNT=", count)}, "node", "retries.js")
		if err != nil {
			t.Fatal("this needs node, and the packages of test/interop/js: ", err)
		}
		t.Cleanup(node.Kill)
		if !node.Wait(limit) || node.Err() != nil {
			t.Fatalf("the client ended with %v: %s", node.Err(), node.Log())
		}
		var report struct{ Acked, Failed, Wrong, Repeated, Disconnects int }
		if err := json.Unmarshal([]byte(node.Log()), &report); err != nil {
			t.Fatalf("the client says %q: %v", node.Log(), err)
		}
		list := w.entries(i)
		handled := make(map[int]bool)
		for n, e := range list {
			handled[e.number] = true
			if n > 0 && e.number < list[n-1].number {
				t.Errorf("event %d was handled after %d", e.number, list[n-1].number)
			}
		}
		lost := int(way.lost.Load())
		b := books{
			sent: count, handled: len(handled), acked: report.Acked, lost: count - min(len(handled), report.Acked), disconnects: report.Disconnects,
			duplicates: len(list) - len(handled),
		}
		t.Logf("%v; %d acks were lost on the way", &b, lost)
		if b.lost != 0 || b.disconnects != 0 || report.Failed+report.Wrong+report.Repeated != 0 {
			t.Errorf("the client says %+v", report)
		}
		if lost < count/3 || b.duplicates < lost {
			t.Error("a lost ack did not make the client retry")
		}
	}, "go")
}

// lossy carries WebSocket connections and loses every third ack.
type lossy struct {
	net.Listener
	target     string
	acks, lost atomic.Int32
	carried    sync.WaitGroup
	ends       ends
}

// ends are connections that the test's end closes.
type ends struct {
	mu     sync.Mutex // guards all below
	closed bool
	all    []net.Conn
}

func newLossy(t *testing.T, target string) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{Listener: listener, target: target}
	l.carried.Go(l.accept) // ends with the listener
	t.Cleanup(func() {
		_ = listener.Close()
		l.ends.close()
		l.carried.Wait()
	})
	return l
}

func (e *ends) add(c net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, c)
	if e.closed {
		_ = c.Close()
	}
}

func (e *ends) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, c := range e.all {
		_ = c.Close()
	}
}

func (l *lossy) accept() {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		l.ends.add(near)
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.ends.add(far)
		l.carried.Go(func() { // both end with either connection, at the latest with the test
			_, _ = io.Copy(far, near)
			_ = far.Close()
		})
		l.carried.Go(func() {
			_ = l.down(near, bufio.NewReader(far))
			_ = near.Close()
		})
	}
}

// down carries what the server says: the head of its answer, then frames.
func (l *lossy) down(to io.Writer, from *bufio.Reader) error {
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = from.ReadString('\n'); err != nil {
			return err
		}
		if _, err = io.WriteString(to, line); err != nil {
			return err
		}
		if strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.1 101") {
			_, err = io.Copy(to, from)
			return err
		}
	}
	for {
		frame, payload, err := readFrame(from)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(payload, []byte("43")) && l.acks.Add(1)%3 == 0 {
			l.lost.Add(1)
			continue
		}
		if _, err := to.Write(frame); err != nil {
			return err
		}
	}
}

// readFrame reads one frame of a server, which does not mask.
func readFrame(from io.Reader) (frame, payload []byte, err error) {
	frame = make([]byte, 2)
	if _, err := io.ReadFull(from, frame); err != nil {
		return nil, nil, err
	}
	size, more := uint64(frame[1]), 0
	switch size {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	if more > 0 {
		long := make([]byte, 8)
		if _, err := io.ReadFull(from, long[8-more:]); err != nil {
			return nil, nil, err
		}
		size = binary.BigEndian.Uint64(long)
		frame = append(frame, long[8-more:]...)
	}
	head := len(frame)
	frame = append(frame, make([]byte, size)...)
	_, err = io.ReadFull(from, frame[head:])
	return frame, frame[head:], err
}
