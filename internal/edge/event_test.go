// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// emitWithAcks asks all sockets of a namespace and gives what came.
func (w *world) emitWithAcks(ns sio.Namespace, name string, timeout time.Duration) <-chan sio.Acks {
	result := make(chan sio.Acks, 1)
	go func() { // ends with its timeout
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_, collect := w.hub.AskEveryone(ctx, &sio.Emit{Target: sio.Target{Namespace: ns}, Event: sio.Event{Name: name}})
		acks, err := collect()
		if err != nil {
			w.t.Error(err)
		}
		result <- acks
	}()
	synctest.Wait()
	return result
}

// The answer of a handler must reach the browser with the id of the event, whatever it holds. (A1,
// A7, X20)
func TestSocket_Ack(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		s := w.Open(o).Connect("/", nil)
		for _, args := range [][]any{
			{},
			{nil},
			{"a", 1.0, true, map[string]any{"b": []any{nil, "é€😀"}}},
			{[]byte{1, 2, 3}},
			{[]byte{}, "x", map[string]any{"deep": []any{[]byte("two")}}},
			{strings.Repeat("long ", 50_000)},
			{bytes.Repeat([]byte{0, 0xff}, 100_000)},
		} {
			if got := s.EmitWithAck("echo", args...); !reflect.DeepEqual(got, args) {
				t.Errorf("got %.100q, want %.100q", got, args)
			}
		}
		if n := value(w.metrics.AcksSent); n != 7 {
			t.Errorf("%v acks counted", n)
		}
	})
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.Connect("/admin", nil)
		const args = `[12345678901234567890,1e999,1.0,-0,{"b":1,"a":2,"__proto__":{}},"<>&` + "\u2028" + `\ud800\u0000"]`
		b.Send(`2/admin,9007199254740991["echo",` + args[1:])
		if got, want := b.Receive().Text, `3/admin,9007199254740991`+args; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// All receivers of an emit get one ack id, their answers go to who asked, and a second answer is
// ignored. (A1, A2, A7)
func TestSocket_AckOfBrowser(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		first, second := w.Open(o), w.Open(edgetest.Options{})
		a, b := first.Connect("/", nil), second.Connect("/", nil)
		acks := w.emitWithAcks("/", "question", time.Minute)
		toA, toB := a.Expect("question"), b.Expect("question")
		if !toA.WantsAck || !toB.WantsAck || toA.ID != toB.ID {
			t.Errorf("ids %d and %d", toA.ID, toB.ID)
		}
		a.Ack(toA, "one")
		a.Ack(toA, "again")
		b.Ack(toB, []byte{7}, "two")
		got := <-acks
		if got.Missing != 0 || len(got.Came) != 2 {
			t.Fatalf("got %+v", got)
		}
		slices.SortFunc(got.Came, func(x, y sio.SocketAck) int { return len(x.Ack.Attachments) - len(y.Ack.Attachments) })
		if got.Came[0].Socket != a.ID || string(got.Came[0].Ack.Args) != `["one"]` {
			t.Errorf("got %+v", got.Came[0])
		}
		if ack := got.Came[1].Ack; got.Came[1].Socket != b.ID || len(ack.Attachments) != 1 || ack.Attachments[0][0] != 7 {
			t.Errorf("got %+v", got.Came[1])
		}
		synctest.Wait()
		if value(w.metrics.AcksUnknown) != 1 || value(w.metrics.AcksReceived) != 2 {
			t.Errorf("%v unknown, %v received", value(w.metrics.AcksUnknown), value(w.metrics.AcksReceived))
		}
	})
}

// Acks to which nobody waits are ignored and counted. (X12)
func TestSocket_UnknownAck(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		s := b.Connect("/", nil)
		for _, packet := range []string{`399[1]`, `399`, `3[1]`, `39007199254740991[]`} {
			b.Send(packet)
		}
		s.EmitWithAck("still here")
		if n := value(w.metrics.AcksUnknown); n != 4 {
			t.Errorf("%v counted", n)
		}
	})
}

// When a socket leaves, an emit that waits for its ack must be notified at once, however it leaves.
func TestSocket_LeavesWithoutAck(t *testing.T) {
	leave := map[string]func(*world, *edgetest.Browser, *edgetest.Socket){
		"client disconnect": func(_ *world, _ *edgetest.Browser, s *edgetest.Socket) { s.Disconnect() },
		"server disconnect": func(w *world, _ *edgetest.Browser, _ *edgetest.Socket) { w.disconnect("/", false) },
		"transport close":   func(_ *world, b *edgetest.Browser, _ *edgetest.Socket) { b.Cut() },
		"breach":            func(_ *world, b *edgetest.Browser, _ *edgetest.Socket) { b.Send("9") },
	}
	for name, do := range leave {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				b := w.Open(edgetest.Options{})
				s := b.Connect("/", nil)
				acks := w.emitWithAcks("/", "question", time.Hour)
				s.Expect("question")
				begin := time.Now()
				do(w, b, s)
				if got := <-acks; got.Missing != 1 || time.Since(begin) > time.Second {
					t.Errorf("got %+v after %v", got, time.Since(begin))
				}
			})
		})
	}
}

// A browser that never answers must not make the edge remember without end.
func TestSocket_TooManyOutstandingAcks(t *testing.T) {
	inBubble(t, func(s *setup) { s.edge.MaxOutstandingAcks = 2 }, func(t *testing.T, w *world) {
		s := w.Open(edgetest.Options{}).Connect("/", nil)
		first := w.emitWithAcks("/", "first", time.Minute)
		second := w.emitWithAcks("/", "second", time.Minute)
		third := w.emitWithAcks("/", "third", time.Minute)
		if got := <-first; got.Missing != 1 {
			t.Errorf("first: %+v", got)
		}
		s.Expect("first")
		s.Ack(s.Expect("second"), 2)
		s.Ack(s.Expect("third"), 3)
		if a, b := <-second, <-third; a.Missing != 0 || b.Missing != 0 {
			t.Errorf("second %+v, third %+v", a, b)
		}
		if value(w.metrics.AcksEvicted) != 1 {
			t.Error("not counted")
		}
	})
}

// Packets that were on their way when the server disconnected the socket must be dropped, and the
// rest of the session live on. (A8)
func TestSocket_PacketsAfterDisconnect(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		root, admin := b.Connect("/", nil), b.Connect("/admin", nil)
		w.disconnect("/admin", false)
		admin.Emit("late", []byte("with attachment"))
		admin.Disconnect()
		admin.ExpectDisconnect()
		root.EmitWithAck("still here")
		if got := w.service.names(); !slices.Equal(got, []string{"still here"}) || value(w.metrics.LatePackets) < 2 {
			t.Errorf("got %q, %v late", got, value(w.metrics.LatePackets))
		}
		b.Connect("/admin", nil).Disconnect()
		admin.Emit("not late") // the browser has left by itself
		b.ExpectClosed()
	})
}

// Events for a socket that is gone must vanish.
func TestSocket_DeliverAfterLeave(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		s := b.Connect("/", nil)
		socket := w.socketOf("/")
		s.Disconnect()
		synctest.Wait()
		w.hub.Add("/", socket) // as if the emit had looked before
		w.emit("/", "late", "")
		if got := <-w.emitWithAcks("/", "late", time.Hour); got.Missing != 1 {
			t.Errorf("got %+v", got)
		}
		socket.Acknowledge(1, sio.Ack{})
		socket.Disconnect(false)
		w.hub.Remove("/", socket.ID())
		b.ExpectQuiet(moment)
		if value(w.metrics.DeliveriesTooLate) != 2 || value(w.metrics.AcksTooLate) != 1 {
			t.Error("not counted")
		}
	})
}

// A volatile event must be dropped when the browser is not reading, whole with its attachments, and
// what is not volatile still come. (2.5)
func TestSocket_Volatile(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		client := w.Client()
		request := func(method, query, body string) string {
			r, _ := http.NewRequest(method, w.URL("/socket.io/?EIO=4&transport=polling"+query), strings.NewReader(body))
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answer, _ := io.ReadAll(response.Body)
			return string(answer)
		}
		open := request("GET", "", "")
		_, sid, _ := strings.Cut(open, `"sid":"`)
		sid = "&sid=" + sid[:strings.IndexByte(sid, '"')]
		request("POST", sid, "40")
		synctest.Wait()
		if got := request("GET", sid, ""); !strings.HasPrefix(got, `40{"sid":"`) {
			t.Fatalf("got %q", got)
		}
		// No GET waits now.
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "v1"}, EmitFlags: sio.EmitFlags{Volatile: true}})
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/"}, EmitFlags: sio.EmitFlags{Volatile: true}, Event: sio.Event{
			Name: "v2", Args: []byte(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}},
		}})
		w.emit("/", "firm", "")
		if got := request("GET", sid, ""); got != `42["firm"]` {
			t.Errorf("got %q", got)
		}
		if n := value(w.metrics.VolatileDropped); n != 2 {
			t.Errorf("%v counted", n)
		}
		request("POST", sid, "1")
	})
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		s := w.Open(o).Connect("/", nil)
		for range 10 {
			synctest.Wait() // the browser is reading again
			w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "v"}, EmitFlags: sio.EmitFlags{Volatile: true}})
			s.Expect("v")
		}
	})
}

// The reason of a session's end must reach the services of each socket, once. (2.6)
func TestSocket_Reasons(t *testing.T) {
	for want, end := range map[sio.Reason]func(*world, *edgetest.Browser){
		sio.ReasonTransportClose:     func(_ *world, b *edgetest.Browser) { b.SendPacket("1") },
		sio.ReasonForcedClose:        func(_ *world, b *edgetest.Browser) { b.Send("9") },
		sio.ReasonParseError:         func(_ *world, b *edgetest.Browser) { b.SendPacket("x") },
		sio.ReasonServerShuttingDown: func(w *world, _ *edgetest.Browser) { w.drain() },
	} {
		t.Run(string(want), func(t *testing.T) {
			bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
				b := w.Open(o)
				b.Connect("/", nil)
				b.Connect("/admin", nil)
				end(w, b)
				b.ExpectClosed()
				synctest.Wait()
				if got := w.service.reasons(); !slices.Equal(got, []sio.Reason{want, want}) {
					t.Errorf("got %q", got)
				}
				if value(w.metrics.Disconnects.With(string(want))) != 2 {
					t.Error("not counted")
				}
			})
		})
	}
}

// A service that does not answer must make the edge stop reading, not fill memory; and the end of
// the session must free it.
func TestSocket_BackPressure(t *testing.T) {
	bothTransports(t, func(s *setup) {
		s.register.Window = 4
		s.dispatch.QueueEvents = 8
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Event {
				return nil
			}
			return echo(c)
		}
	}, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		s := b.Connect("/", nil)
		sent := make(chan struct{})
		go func() { // ends when the session does
			defer close(sent)
			for i := range 100 {
				s.Emit(fmt.Sprint("event", i))
			}
		}()
		synctest.Wait()
		if n := value(w.metrics.Events); n < 4 || n > 20 {
			t.Errorf("%v events were read", n)
		}
		w.emit("/", "the other way", "")
		s.Expect("the other way")
		w.drain()
		b.ExpectClosed()
		<-sent
		synctest.Wait()
		if got := value(w.metrics.EventsFailed); got != 1 {
			t.Errorf("%v events failed", got)
		}
	})
}
