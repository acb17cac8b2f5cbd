// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// A connect must be answered with a socket id that is not the session's, and the service must learn
// handshake and auth. (N1)
func TestClient_Connect(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		o.Query = "color=red"
		b := w.Open(o)
		s := b.Connect("/", map[string]any{"token": "a"})
		if string(s.ID) == b.SessionID {
			t.Error("the socket has the session's id")
		}
		if r, ok := s.ID.Replica(); !ok || r != replica {
			t.Errorf("socket id %q names replica %q", s.ID, r)
		}
		c := w.heldConnect()
		intro := c.socket.Introduction()
		if string(intro.Auth) != `{"token":"a"}` || !c.introduce || c.socket.ID() != s.ID {
			t.Errorf("introduced %v as %s with auth %s", c.introduce, c.socket.ID(), intro.Auth)
		}
		if !strings.Contains(intro.Handshake.URL, "color=red") {
			t.Errorf("handshake URL %q", intro.Handshake.URL)
		}
		admin := b.Connect("/admin", nil)
		if c := w.heldConnect(); c.socket.Introduction().Auth != nil || c.socket.ID() != admin.ID || admin.ID == s.ID {
			t.Errorf("second connect: %s with auth %s", c.socket.ID(), c.socket.Introduction().Auth)
		}
		if n := value(w.metrics.Connected); n != 2 {
			t.Errorf("%v sockets counted", n)
		}
	})
}

// A packet for a namespace that is not joined must close the session, and nothing of it reach a
// service. (N2, X1)
func TestClient_NotJoined(t *testing.T) {
	for _, packet := range []string{`2["a"]`, `2/admin,["a"]`, `20["a"]`, `31["a"]`, `1`, `1/admin,`, `51-["a",{"_placeholder":true,"num":0}]`, `4"boom"`} {
		bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
			b := w.Open(o)
			b.Send(packet)
			b.ExpectClosed()
			synctest.Wait()
			if got := w.service.seen; len(got) > 0 || w.breaches(causeState) != 1 {
				t.Errorf("%s: the service got %v, %v breaches", packet, got, w.breaches(causeState))
			}
		})
	}
}

// The same holds while the connect is pending, and in another namespace than the one that is
// joined; the joined sockets then end with forced close. (N2)
func TestClient_BreachEndsAllSockets(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.Connect("/", nil)
		// a service that is not asked is notified of sockets that it got events of
		b.Connect("/open", nil).EmitWithAck("hi")
		b.Send(`2/admin,["a"]`)
		b.ExpectClosed()
		synctest.Wait()
		if got := w.service.reasons(); !slices.Equal(got, []sio.Reason{sio.ReasonForcedClose, sio.ReasonForcedClose}) {
			t.Errorf("reasons %q", got)
		}
		if w.sockets("/") != 0 || w.sockets("/open") != 0 || value(w.metrics.Connected) != 0 {
			t.Error("sockets are left")
		}
	})
}

// An event while the connect is pending must close the session, and the connect be given up. (N2)
func TestClient_EventWhilePending(t *testing.T) {
	inBubble(t, holdConnects, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		b.SendConnect("/", nil)
		w.heldConnect()
		b.Send(`2["a"]`)
		b.ExpectClosed()
		synctest.Wait()
		if value(w.metrics.Abandoned) != 1 || value(w.metrics.Pending) != 0 || w.sockets("/") != 0 {
			t.Error("the connect is still pending")
		}
	})
}

// A second connect to a namespace must close the session, whether the first is pending or joined.
// (N2, X2)
func TestClient_ConnectTwice(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.Connect("/", nil)
		b.SendConnect("/", nil)
		b.ExpectClosed()
		if w.breaches(causeConnectTwice) != 1 {
			t.Error("not counted")
		}
	})
	inBubble(t, holdConnects, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		b.SendConnect("/", nil)
		w.heldConnect()
		b.SendConnect("/", nil)
		b.ExpectClosed()
	})
}

// A connect to a namespace that no service has must be refused, and the session stay. A query is
// part of the name. (N3, X9, X21)
func TestClient_UnknownNamespace(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		for _, ns := range []sio.Namespace{"/nope", "/admin?token=1", "/__proto__", "/constructor"} {
			b.SendConnect(ns, map[string]any{})
			if message, data := b.Refused(ns); message != "Invalid namespace" || data != nil {
				t.Errorf("%s: refused with %q, %s", ns, message, data)
			}
		}
		b.Connect("/", nil)
		if n := value(w.metrics.UnknownNamespace); n != 4 {
			t.Errorf("counted %v", n)
		}
	})
}

// A socket that is refused must leave the rooms that a handler put it in, and what failed in a
// handler must not reach the browser. (N4, X22)
func TestClient_RefusedInRoom(t *testing.T) {
	for name, c := range map[string]struct {
		result sio.Result
		want   string
	}{
		"refused": {sio.Result{Outcome: sio.Refused, Message: "no"}, "no"},
		"failed":  {sio.Result{Outcome: sio.Failed, Message: "password of 10.0.0.7 at main.go:12"}, "Connection failed"},
	} {
		t.Run(name, func(t *testing.T) {
			bothTransports(t, holdConnects, func(t *testing.T, w *world, o edgetest.Options) {
				b := w.Open(o)
				b.SendConnect("/", nil)
				held := w.heldConnect()
				id := held.socket.ID()
				w.hub.Apply(&sio.Join{Target: sio.Target{Namespace: "/", Rooms: []sio.Room{id.Room()}}, Rooms: []sio.Room{"vip"}})
				if rooms := w.hub.Rooms("/", id); !slices.Contains(rooms, "vip") {
					t.Fatalf("rooms %q", rooms)
				}
				w.service.resolve(held, c.result)
				if message, data := b.Refused("/"); message != c.want || data != nil {
					t.Errorf("refused with %q, %s", message, data)
				}
				if rooms := w.hub.Rooms("/", id); rooms != nil || w.sockets("/") != 0 {
					t.Errorf("still in %q", rooms)
				}
			})
		})
	}
}

// A refusal must reach the browser with its data, the session stay, and the socket be nowhere. (N4)
func TestClient_Refused(t *testing.T) {
	refuse := func(s *setup) {
		s.handle = func(c call) *sio.Result {
			if c.kind != dispatch.Connect || string(c.socket.Introduction().Auth) != `{}` {
				return echo(c)
			}
			data := []byte(nil)
			if c.socket.Namespace() == "/admin" {
				data = []byte(`{"code":7}`)
			}
			return &sio.Result{Outcome: sio.Refused, Message: `not "you"`, Data: data}
		}
	}
	bothTransports(t, refuse, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		for ns, want := range map[sio.Namespace]string{"/": "", "/admin": `{"code":7}`} {
			b.SendConnect(ns, map[string]any{})
			if message, data := b.Refused(ns); message != `not "you"` || string(data) != want {
				t.Errorf("refused with %q, %s", message, data)
			}
			if w.sockets(ns) != 0 {
				t.Error("the socket is still reachable")
			}
		}
		b.Connect("/", nil) // with other credentials
		if value(w.metrics.Refused) != 2 || value(w.metrics.Pending) != 0 {
			t.Error("not counted")
		}
	})
}

// When the session ends while a connect is pending, the socket must vanish, and a late decision do
// nothing. (N5)
func TestClient_EndWhilePending(t *testing.T) {
	bothTransports(t, holdConnects, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.SendConnect("/", nil)
		c := w.heldConnect()
		if w.sockets("/") != 1 {
			t.Error("a pending socket cannot be emitted to")
		}
		b.Cut()
		synctest.Wait()
		if w.sockets("/") != 0 || value(w.metrics.Abandoned) != 1 {
			t.Error("the socket is still there")
		}
		w.service.late(c, sio.Result{Outcome: sio.Handled})
		synctest.Wait()
		if value(w.metrics.Connected) != 0 || value(w.metrics.Accepted) != 0 {
			t.Error("the socket came back")
		}
	})
}

// Events sent right behind the connect's answer must be dispatched in order. (N6)
func TestSocket_EventsInOrder(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		s := b.Connect("/", nil)
		var want []string
		for i := range 50 {
			name := fmt.Sprint("event", i)
			want = append(want, name)
			s.Emit(name, i)
		}
		synctest.Wait()
		if got := w.service.names(); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

// A session without a joined namespace must be closed after the connect timeout, not before, and
// not once one is joined. When the last is left, the time begins again. (N7, and better than the
// reference server)
func TestClient_ConnectTimeout(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		timeout := w.edge.options.ConnectTimeout
		begin := time.Now()
		b := w.Open(o)
		time.Sleep(timeout - time.Second)
		synctest.Wait()
		if b.Closed() {
			t.Fatal("closed too soon")
		}
		b.ExpectClosed()
		if passed := time.Since(begin); passed < timeout || passed > timeout+time.Second {
			t.Errorf("closed after %v", passed)
		}
		if value(w.metrics.ConnectTimeouts) != 1 {
			t.Error("not counted")
		}
	})
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		timeout := w.edge.options.ConnectTimeout
		b := w.Open(o)
		time.Sleep(timeout / 2)
		root, admin := b.Connect("/", nil), b.Connect("/admin", nil)
		time.Sleep(3 * timeout)
		root.Disconnect()
		time.Sleep(3 * timeout)
		if b.Closed() {
			t.Fatal("closed although a namespace is joined")
		}
		admin.Disconnect()
		time.Sleep(timeout - time.Second)
		again := b.Connect("/", nil)
		time.Sleep(2 * timeout)
		if b.Closed() {
			t.Fatal("closed although a namespace was joined again")
		}
		again.Disconnect()
		time.Sleep(timeout - 5*time.Second)
		if b.Closed() {
			t.Fatal("closed too soon")
		}
		b.ExpectClosed()
	})
}

// Refused and pending connects do not keep a session open.
func TestClient_ConnectTimeoutWhilePending(t *testing.T) {
	inBubble(t, func(s *setup) {
		holdConnects(s)
		s.edge.ConnectTimeout = 5 * time.Second
	}, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		b.SendConnect("/nope", nil)
		b.Refused("/nope")
		b.SendConnect("/", nil)
		b.ExpectClosed()
		synctest.Wait()
		if value(w.metrics.Abandoned) != 1 || w.sockets("/") != 0 {
			t.Error("the connect is still pending")
		}
	})
}

// When the services stay away the transport must be closed, since standard clients then try again.
func TestClient_Away(t *testing.T) {
	inBubble(t, func(s *setup) {
		s.absent = true
		s.dispatch.ConnectHold = 3 * time.Second
	}, func(t *testing.T, w *world) {
		begin := time.Now()
		b := w.Open(edgetest.Options{})
		b.SendConnect("/", nil)
		b.ExpectClosed()
		if passed := time.Since(begin); passed < 3*time.Second || value(w.metrics.Absent) != 1 || value(w.metrics.Abandoned) != 0 {
			t.Errorf("closed after %v, counted %v", passed, value(w.metrics.Absent))
		}
	})
}

// Namespaces share a session and are left one by one. (N10)
func TestClient_Namespaces(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		root, admin, open := b.Connect("/", nil), b.Connect("/admin", nil), b.Connect("/open", nil)
		w.emit("/admin", "a", "")
		w.emit("/", "b", "")
		root.Expect("b")
		admin.Expect("a")
		open.EmitWithAck("hi")
		if got := admin.EmitWithAck("x", 1.0); len(got) != 1 || got[0] != 1.0 {
			t.Errorf("got %v", got)
		}
		admin.Disconnect()
		synctest.Wait()
		if got := w.service.reasons(); !slices.Equal(got, []sio.Reason{sio.ReasonClientDisconnect}) || w.sockets("/admin") != 0 {
			t.Errorf("reasons %q, %d sockets", got, w.sockets("/admin"))
		}
		root.EmitWithAck("still here")
		w.disconnect("/open", false)
		open.ExpectDisconnect()
		again := b.Connect("/admin", nil)
		if again.ID == admin.ID {
			t.Error("the socket has the id of the former")
		}
		w.disconnect("/", true)
		root.ExpectDisconnect()
		again.ExpectDisconnect()
		b.ExpectClosed()
		synctest.Wait()
		want := []sio.Reason{
			sio.ReasonClientDisconnect, sio.ReasonServerDisconnect, sio.ReasonServerDisconnect, sio.ReasonServerDisconnect,
		}
		if got := w.service.reasons(); !slices.Equal(got, want) {
			t.Errorf("reasons %q", got)
		}
	})
}

// Namespaces of one session are bounded, and so are its connects in a time; more close it. (X10)
func TestClient_ConnectLimits(t *testing.T) {
	inBubble(t, func(s *setup) {
		s.edge.MaxNamespaces = 3
		s.edge.ConnectRate = 1
		for i := range 5 {
			s.register.Namespaces = append(s.register.Namespaces, sio.Registration{Namespace: sio.Namespace(fmt.Sprint("/n", i))})
		}
	}, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		for i := range 3 {
			b.Connect(sio.Namespace(fmt.Sprint("/n", i)), nil)
		}
		time.Sleep(time.Minute)
		b.SendConnect("/n3", nil)
		b.ExpectClosed()
		if w.breaches(causeNamespaces) != 1 {
			t.Error("not counted")
		}
	})
	inBubble(t, nil, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		sent := 0
		for ; !b.Closed() && sent < 1000; sent++ {
			b.SendConnect(sio.Namespace(fmt.Sprint("/nope", sent)), nil)
			synctest.Wait()
		}
		if o := w.edge.options; sent != o.MaxNamespaces+1 || w.breaches(causeConnectRate) != 1 {
			t.Errorf("closed after %d connects", sent)
		}
	})
	inBubble(t, nil, func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		b.Connect("/", nil)
		for i := range 500 { // slowly
			ns := sio.Namespace(fmt.Sprint("/nope", i))
			b.SendConnect(ns, nil)
			b.Refused(ns)
			time.Sleep(time.Second / 40)
		}
	})
}
