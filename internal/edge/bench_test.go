// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// inline is an instance that resolves every dispatch when it is flushed, in the calling goroutine.
type inline struct {
	attachment *dispatch.Attachment
	result     sio.Result
	ids        []sio.DispatchID
	socket     *Socket
}

// Release implements dispatch.Instance.
func (i *inline) Release(sio.SocketID) {}

// Queue implements dispatch.Instance.
func (i *inline) Queue(d *dispatch.Dispatch) {
	i.ids = append(i.ids, d.ID)
	i.socket = d.Socket.(*Socket)
}

// Flush implements dispatch.Instance.
func (i *inline) Flush() {
	for _, id := range i.ids {
		i.attachment.Resolve(id, i.result)
	}
	i.ids = i.ids[:0]
	i.attachment.Flush()
}

// benchWorld is an edge with one browser that is connected over TCP.
func benchWorld(b testing.TB) (*hub.Hub, *inline) {
	log := slog.New(slog.DiscardHandler)
	o := DefaultOptions()
	o.Engine.Replica = replica
	h := hub.New(replica, hub.Alone{}, metrics.NewHub(nil))
	d := dispatch.New(dispatch.Options{Replica: replica}, metrics.NewDispatch(nil), log)
	i := &inline{result: sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: []byte(`[{"text":"hello"}]`)}}}
	var err error
	i.attachment, err = d.Attach(&sio.Register{Service: "s", Instance: "i", Namespaces: []sio.Registration{
		{Namespace: "/", CatchAll: true, Connect: true},
	}}, i, dispatch.Local)
	if err != nil {
		b.Fatal(err)
	}
	m := metrics.NewEdge(nil)
	s := New(o, h, d, m, metrics.NewEngine(prometheus.NewRegistry()), log)
	server := edgetest.ServeTCP(b, s)
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL("/socket.io/?EIO=4&transport=websocket"), "http", "ws", 1), nil)
	if err != nil {
		b.Fatal(err)
	}
	conn.WriteMessage(websocket.TextMessage, []byte("40"))
	conn.ReadMessage() // open
	conn.ReadMessage() // connected
	// When the ack that nobody waits for is counted, the reader is through with all before, and the
	// benchmark may take its place.
	conn.WriteMessage(websocket.TextMessage, []byte(`421["event"]`))
	conn.WriteMessage(websocket.TextMessage, []byte(`431[]`))
	conn.ReadMessage()
	for value(m.AcksUnknown) == 0 {
		runtime.Gosched()
	}
	read := make(chan struct{})
	go func() { // ends when the connection does
		defer close(read)
		io.Copy(io.Discard, conn.NetConn())
	}()
	b.Cleanup(func() {
		if i.socket.state.Load() != connected {
			b.Error("the socket was lost on the way")
		}
		conn.Close()
		<-read
		s.Drain(context.Background())
		i.attachment.Detach()
	})
	return h, i
}

// BenchmarkClient_Event is an event from the message to the instance, and its result without an
// ack.
func BenchmarkClient_Event(b *testing.B) {
	_, i := benchWorld(b)
	c := i.socket.client
	event := []byte(`2["message",{"text":"hello world","n":[1,2,3],"ok":true},"more"]`)
	buffer := make([]byte, len(event))
	b.ReportAllocs()
	for b.Loop() {
		copy(buffer, event)
		c.Message(buffer, false)
	}
}

// BenchmarkSocket_Acknowledge is an ack from the dispatcher to the socket's system call.
func BenchmarkSocket_Acknowledge(b *testing.B) {
	_, i := benchWorld(b)
	ack := sio.Ack{Args: []byte(`[{"text":"hello world"},1]`)}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		i.socket.Acknowledge(sio.AckID(n), ack)
		i.socket.Flush()
	}
}

// BenchmarkSocket_Deliver is an emit to one socket.
func BenchmarkSocket_Deliver(b *testing.B) {
	h, i := benchWorld(b)
	emit := &sio.Emit{
		Target: sio.Target{Namespace: "/", Rooms: []sio.Room{i.socket.ID().Room()}},
		Event:  sio.Event{Name: "message", Args: []byte(`[{"text":"hello world"},1]`)},
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Deliver(emit)
	}
}

// BenchmarkClient_Memory tells what a client with one socket holds here, beside its session.
func BenchmarkClient_Memory(b *testing.B) {
	_, i := benchWorld(b)
	session := i.socket.client.session
	server := i.socket.client.server
	const n = 10_000
	var clients []*client
	var before, after runtime.MemStats
	for b.Loop() {
		clients = nil
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			c := newClient(server, session)
			s := &Socket{client: c, id: server.newSocketID(), namespace: "/", auth: nil}
			c.mu.Lock()
			c.sockets = append(c.sockets, s)
			disarmLocked(&c.lonely)
			c.mu.Unlock()
			clients = append(clients, c)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/client")
	runtime.KeepAlive(clients)
}
