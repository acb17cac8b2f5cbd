// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/test/process"
)

const (
	budget = 64 << 20
	// slack is what the process may need besides: what comes in meanwhile, and garbage.
	slack = 128 << 20
	// returned is how much more than before the process may hold when all is over.
	returned = 48 << 20
	// outbound is what the broker holds for browsers.
	outbound     = "spanwire_engine_outbound_bytes"
	slowSessions = "spanwire_engine_slow_sessions_total"
)

// Many browsers ask for large acks and do not read them. What the broker holds for them stays
// within its budget: those that take nothing are closed, the largest first. A browser that reads
// notices nothing, even one for which as much waits as for each of them; and when all is over, the
// memory goes back to the system.
func TestO10_AcksNotRead(t *testing.T) {
	const browsers, rounds, size = 150, 8, 900_000
	w := newMemoryWorld(t, "--max-outbound-total", fmt.Sprint(budget))
	before := w.resident()
	watch := w.watchMemory()
	bystander := w.bystand()
	crowd := w.deafBrowsers(browsers)
	packet := []byte(fmt.Sprintf(`421["echo",%q]`, strings.Repeat("x", size)))
	// A few at a time: it is what goes out that is to fill the memory, and not what comes in.
	for i := range rounds * browsers {
		_ = crowd[i%browsers].WriteMessage(websocket.TextMessage, packet) // it may have been closed
		if i%8 == 0 {
			w.until("the handler to keep up", func() bool {
				return w.metric(w.front, "spanwire_dispatch_open_dispatches")+w.metric(w.front, "spanwire_dispatch_queued_dispatches") < 8
			})
		}
	}
	w.until("sessions to be closed for the memory of all", func() bool { return w.metric(w.front, slowSessions, `reason="max_outbound_total"`) > 0 })
	heavy := w.burst(20_000, 500)
	w.until("the last acks to be queued", func() bool { return w.metric(w.front, "spanwire_dispatch_open_dispatches") == 0 })
	peak := watch.stop()
	t.Logf("%d MiB before, %d MiB at most; %d MiB held for browsers; %d sessions closed; %d acks of the bystander", before>>20, peak>>20,
		w.metric(w.front, outbound)>>20, w.metric(w.front, slowSessions), bystander.stop())
	if peak-before > 2*budget+slack {
		t.Errorf("the broker took %d MiB more", (peak-before)>>20)
	}
	if held := w.metric(w.front, outbound); held > budget {
		t.Errorf("%d bytes are held for browsers", held)
	}
	if !strings.Contains(w.front.Log(), "setting=max-outbound-total") {
		t.Error("no line names the setting")
	}
	heavy.done()
	closeAll(crowd)
	w.givenBack(before)
}

// Many members of a room read nothing of large broadcasts. Their queues hold the same bytes, which
// count once, so that nobody is closed for what costs little. When the broadcasts alone are more
// than the budget, those that take nothing are closed, and one that reads gets them all.
func TestO10_BroadcastsNotRead(t *testing.T) {
	const members, size, few = 200, 300_000, 60
	w := newMemoryWorld(t, "--max-outbound-total", fmt.Sprint(budget))
	before := w.resident()
	watch := w.watchMemory()
	bystander := w.bystand()
	reader := w.member()
	crowd := w.deafBrowsers(members)
	emit := w.emitter()
	payload := fmt.Sprintf(`[%q]`, strings.Repeat("x", size))
	for range few {
		emit("news", payload)
	}
	if held := w.metric(w.front, outbound); held > few*(size+1000) {
		t.Errorf("%d bytes are held of %d broadcasts of %d bytes", held, few, size)
	}
	shared := watch.peak.Load()
	if shared-before > 2*few*size+slack {
		t.Errorf("the broker took %d MiB more for %d MiB of broadcasts", (shared-before)>>20, few*size>>20)
	}
	if n := w.metric(w.front, slowSessions); n > 0 {
		t.Errorf("%d sessions were closed", n)
	}
	sent := few
	for ; w.metric(w.front, slowSessions, `reason="max_outbound_total"`) == 0; sent++ {
		if sent > 10*budget/size {
			t.Fatalf("after %d broadcasts no session was closed", sent)
		}
		emit("news", payload)
	}
	w.until("the members that do not read to be closed", func() bool { return w.metric(w.front, slowSessions) >= members*9/10 })
	peak := watch.stop()
	t.Logf("%d MiB before, %d MiB with %d broadcasts, %d MiB at most; %d sessions closed; %d acks of the bystander", before>>20, shared>>20, few,
		peak>>20, w.metric(w.front, slowSessions), bystander.stop())
	if peak-before > 2*budget+slack {
		t.Errorf("the broker took %d MiB more", (peak-before)>>20)
	}
	reader.wants("news", sent)
	closeAll(crowd)
	w.givenBack(before)
}

// The runtime's memory limit is the setting's, and the log says at the start which one it is and
// where it comes from.
func TestO10_MemoryLimit(t *testing.T) {
	for _, c := range []struct{ flags, says []string }{
		{[]string{"--memory-limit", "300MiB"}, []string{"reason=setting", "bytes=314572800"}},
		{nil, []string{"reason="}}, // the container's, or none
	} {
		b, err := process.StartBroker(built.broker, "broker", c.flags...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Kill)
		for _, text := range append(c.says, `msg="memory limit set"`, "setting=memory-limit") {
			if !strings.Contains(b.Log(), text) {
				t.Errorf("%v: the log does not say %q:\n%s", c.flags, text, b.Log())
			}
		}
	}
}

// newMemoryWorld is one broker with the service of the suites of clients.
func newMemoryWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := newWorld(t, place{language: "go"}, flags...)
	handler, err := process.BuildGo(built.repository, w.folder, "interop", "./test/interop/handlers/go")
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start("interop", "", []string{"SPANWIRE_ADDRESS=" + w.back.Services}, handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	w.serving(1)
	return w
}

// browser opens a session and joins the main namespace. Its system takes no more than a little that
// it does not read, when small is set.
func (w *world) browser(small bool) *websocket.Conn {
	w.t.Helper()
	d := &net.Dialer{}
	if small {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			controlled := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
			if controlled != nil {
				return controlled
			}
			return err
		}
	}
	dialer := &websocket.Dialer{NetDialContext: d.DialContext, HandshakeTimeout: limit}
	c, response, err := dialer.Dial("ws://"+w.front.HTTP+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	w.t.Cleanup(func() { _ = c.Close() })
	if err := c.WriteMessage(websocket.TextMessage, []byte("40")); err != nil {
		w.t.Fatal(err)
	}
	for range 2 { // the open packet, and the answer to the connect
		if _, _, err := c.ReadMessage(); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// deafBrowsers read nothing from now on.
func (w *world) deafBrowsers(count int) []*websocket.Conn {
	w.t.Helper()
	all := make([]*websocket.Conn, count)
	for i := range all {
		all[i] = w.browser(true)
	}
	return all
}

func closeAll(all []*websocket.Conn) {
	for _, c := range all {
		_ = c.Close()
	}
}

// reader is a browser that reads, and answers pings.
type reader struct {
	w      *world
	conn   *websocket.Conn
	mu     sync.Mutex // guards events, and the writing
	events map[string]int
	lost   error // guarded by mu
}

// member is a browser that reads whatever comes and counts it.
func (w *world) member() *reader {
	w.t.Helper()
	r := &reader{w: w, conn: w.browser(false), events: map[string]int{}}
	go r.read() // ends with the connection, which ends with the test
	return r
}

func (r *reader) read() {
	for {
		_, data, err := r.conn.ReadMessage()
		if err != nil {
			r.mu.Lock()
			r.lost = err
			r.mu.Unlock()
			return
		}
		text := string(data[:min(len(data), 40)])
		if text == "2" {
			r.send("3")
			continue
		}
		name := text[:2]
		if parts := strings.SplitN(text, `"`, 3); name == "42" && len(parts) == 3 {
			name = parts[1]
		}
		r.mu.Lock()
		r.events[name]++
		r.mu.Unlock()
	}
}

func (r *reader) send(packet string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// a connection that is lost shows when reading
	_ = r.conn.WriteMessage(websocket.TextMessage, []byte(packet))
}

func (r *reader) count(name string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[name], r.lost
}

// wants waits until so many events of a name came.
func (r *reader) wants(name string, count int) {
	r.w.t.Helper()
	r.w.until(fmt.Sprintf("%d events %q", count, name), func() bool {
		n, err := r.count(name)
		if err != nil {
			r.w.t.Fatalf("the browser that reads was closed after %d of %d events: %v", n, count, err)
		}
		return n >= count
	})
}

// bystander emits one event after the other and expects the ack of each.
type bystander struct {
	*reader
	ended chan int
	quit  chan struct{}
}

func (w *world) bystand() *bystander {
	w.t.Helper()
	b := &bystander{reader: w.member(), ended: make(chan int, 1), quit: make(chan struct{})}
	go func() { // ends with stop, or with the limit
		sent := 0
		defer func() { b.ended <- sent }()
		for end := time.Now().Add(2 * limit); time.Now().Before(end); {
			select {
			case <-b.quit:
				return
			default:
			}
			b.send(fmt.Sprintf(`42%d["echo",%d]`, sent, sent))
			sent++
			for n := 0; n < sent && time.Now().Before(end); {
				var err error
				// Acks begin with "43".
				if n, err = b.count("43"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return b
}

// stop expects that every ack came, and tells how many.
func (b *bystander) stop() int {
	b.w.t.Helper()
	close(b.quit)
	sent := <-b.ended
	if got, err := b.count("43"); got != sent || err != nil || sent == 0 {
		b.w.t.Errorf("the bystander got %d acks of %d: %v", got, sent, err)
	}
	return sent
}

// burst is asked for by a browser that reads it.
type burst struct {
	*reader
	events int
}

func (w *world) burst(events, size int) *burst {
	w.t.Helper()
	b := &burst{w.member(), events}
	b.send(fmt.Sprintf(`42["burst",%d,%q]`, events, strings.Repeat("x", size)))
	return b
}

func (b *burst) done() {
	b.w.t.Helper()
	b.wants("burst", b.events)
}

// emitter gives a way to emit to everyone.
func (w *world) emitter() func(name, args string) {
	w.t.Helper()
	conn, err := grpc.NewClient(w.front.Services, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	client := spanwirev1.NewEmitterServiceClient(conn)
	return func(name, args string) {
		w.t.Helper()
		ctx, cancel := context.WithTimeout(w.t.Context(), limit)
		defer cancel()
		if _, err := client.Emit(ctx, &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
			Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: name, Args: []byte(args)},
		}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// memoryWatch sees how much memory the replicas take at most.
type memoryWatch struct {
	peak  atomic.Int64
	quit  chan struct{}
	ended sync.WaitGroup
}

func (w *world) watchMemory() *memoryWatch {
	m := &memoryWatch{quit: make(chan struct{})}
	pid := w.front.PID()
	m.ended.Go(func() { // ends with stop
		for {
			if n, err := process.Resident(pid); err == nil {
				m.peak.Store(max(m.peak.Load(), n))
			}
			select {
			case <-m.quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	w.t.Cleanup(func() { m.stop() })
	return m
}

func (m *memoryWatch) stop() int64 {
	select {
	case <-m.quit:
	default:
		close(m.quit)
	}
	m.ended.Wait()
	return m.peak.Load()
}

// givenBack waits until the broker holds about as much memory as before.
func (w *world) givenBack(before int64) {
	w.t.Helper()
	begin := time.Now()
	w.until("nothing to be held for browsers", func() bool { return w.metric(w.front, outbound) == 0 })
	w.until("the memory to go back", func() bool { return w.resident()-before < returned })
	w.t.Logf("%d MiB after %v", w.resident()>>20, time.Since(begin).Round(time.Second))
}
