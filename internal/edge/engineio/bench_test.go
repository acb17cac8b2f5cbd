// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// echoer is the plainest Receiver.
type echoer struct{ session *Session }

func (e echoer) Message(data []byte, binary bool) {
	e.session.Queue(Message{Data: data, Binary: binary})
	e.session.Flush()
}
func (echoer) Drain() []<-chan struct{} { return nil }
func (echoer) Closed(sio.Reason)        {}

func benchServer(tb testing.TB) (address string, sessions chan *Session) {
	sessions = make(chan *Session, 100_000)
	o := DefaultOptions()
	engine := NewServer(o, func(s *Session) Receiver {
		sessions <- s
		return echoer{s}
	}, NopObserver{}, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: engine}
	served := make(chan struct{})
	go func() {
		server.Serve(l)
		close(served)
	}()
	tb.Cleanup(func() {
		server.Close()
		<-served
		engine.Drain(tb.Context())
	})
	return l.Addr().String(), sessions
}

func benchDial(tb testing.TB, address string) net.Conn {
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		tb.Fatal(err)
	}
	conn.ReadMessage()
	tb.Cleanup(func() { conn.Close() })
	return conn.NetConn()
}

// maskedText is a frame of a client with a key of zeros.
func maskedText(payload string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// An echo on WebSocket allocates the message and gorilla's reader, and nothing of ours; queueing a
// shared message nothing.
func TestSession_Allocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop at random under the race detector")
	}
	address, sessions := benchServer(t)
	conn := benchDial(t, address)
	session := <-sessions
	request, answer := maskedText("4"+strings.Repeat("x", 99)), make([]byte, 1000)
	if got := testing.AllocsPerRun(500, func() {
		conn.Write(request)
		conn.Read(answer)
	}); got > 2 {
		t.Errorf("echo: %v allocations, at most 2", got)
	}
	shared := NewShared(Message{Data: bytes.Repeat([]byte("x"), 100)})
	if got := testing.AllocsPerRun(500, func() {
		session.QueueShared(shared)
		session.Flush()
		conn.Read(answer)
	}); got > 0 {
		t.Errorf("shared: %v allocations", got)
	}
}

func BenchmarkSession_Echo(b *testing.B) {
	address, _ := benchServer(b)
	conn := benchDial(b, address)
	request, answer := maskedText("4"+strings.Repeat("x", 99)), make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		conn.Write(request)
		conn.Read(answer)
	}
}

func BenchmarkSession_Queue(b *testing.B) {
	address, sessions := benchServer(b)
	conn := benchDial(b, address)
	session := <-sessions
	data := []byte(strings.Repeat("x", 100))
	sink := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		for range 16 {
			session.Queue(Message{Data: data})
		}
		session.Flush()
		for n := 0; n < 16*103; {
			m, _ := conn.Read(sink)
			n += m
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(16*b.N), "ns/message")
}

// BenchmarkIdle reports the resident memory per idle WebSocket session, of which the clients in
// this process are a part: they are bare descriptors without buffers or goroutines.
func BenchmarkIdle(b *testing.B) {
	const n = 4000
	address, _ := benchServer(b)
	before := resident()
	conns := make([]net.Conn, 0, n)
	request := "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\n" +
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	answer := make([]byte, 4096)
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		conn.Write([]byte(request))
		for got := 0; !bytes.Contains(answer[:got], []byte("maxPayload")); {
			m, err := conn.Read(answer[got:])
			if err != nil {
				b.Fatal(err)
			}
			got += m
		}
		conns = append(conns, conn)
	}
	for b.Loop() {
		runtime.GC()
	}
	debug.FreeOSMemory()
	time.Sleep(100 * time.Millisecond)
	b.ReportMetric(float64(resident()-before)/n, "KiB/session")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.StackInuse)/n/1024, "KiB-stack/session")
	b.ReportMetric(float64(m.HeapInuse)/n/1024, "KiB-heap/session")
	for _, conn := range conns {
		conn.Close()
	}
}

func resident() (kib int) {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fmt.Sscan(rest, &kib)
	return kib
}
