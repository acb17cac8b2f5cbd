// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// emit sends an event as a program does that is no handler, with its arguments as they are.
func (s *server) emit(t *testing.T, room, name, args string, change ...func(*spanwirev1.Emit)) {
	t.Helper()
	conn, err := grpc.NewClient(s.broker.Services, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	e := &spanwirev1.Emit{Target: &spanwirev1.Target{Rooms: []string{room}}, Event: &spanwirev1.Event{Name: name, Args: []byte(args)}}
	for _, c := range change {
		c(e)
	}
	if _, err := spanwirev1.NewEmitterServiceClient(conn).Emit(ctx, &spanwirev1.EmitRequest{Emit: e}); err != nil {
		t.Fatal(err)
	}
}

// passes expects that a session takes packets without harm.
func (w *world) passes(t *testing.T, packets ...string) {
	t.Helper()
	c := w.with(t).connected(t)
	c.send(packets...)
	c.echo()
}

// sameAs is a row that stands elsewhere under another number.
func sameAs(name string) func(t *testing.T, w *world) {
	for _, r := range slices.Concat(pollingRows, decoderRows) {
		if r.name == name {
			return r.test
		}
	}
	panic("there is no row " + name)
}

var flagRows = []row{
	{"F4", "an event that opts out of compression is not compressed", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		p.must(`42["broadcast",{"event":"ready","to":["nobody"]}]`)
		p.must(`427["handshake"]`)
		id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(p.next()[0])[1]
		args := `["` + strings.Repeat("compress me ", 500) + `"]`
		p.s.emit(t, id, "plain", args, func(e *spanwirev1.Emit) { e.NoCompress = true })
		if a := p.get("Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" || !strings.Contains(a.body, "plain") {
			t.Errorf("answered %q with %d bytes", a.header.Get("Content-Encoding"), len(a.body))
		}
		p.s.emit(t, id, "packed", args)
		if a := p.get("Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("answered %q with %d bytes", a.header.Get("Content-Encoding"), len(a.body))
		}
	}},
	{"F5", "an emit to the sockets of one replica reaches them", func(t *testing.T, w *world) {
		s := w.with(t)
		c := s.connected(t)
		s.emit(t, socketOf(t, c), "here", "[1]", func(e *spanwirev1.Emit) { e.Target.Local = true })
		c.want(`42["here",1]`)
	}},
	{"3.4", "programs that are no handlers move, see and end sockets", func(t *testing.T, w *world) {
		s := w.with(t)
		m, err := spanwire.NewEmitter(spanwire.Options{Address: s.broker.Services})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		c, room := s.connected(t), t.Name()
		id := socketOf(t, c)
		if err := m.To(id).Join(room); err != nil {
			t.Fatal(err)
		}
		found, err := m.To(room).FetchSockets(t.Context())
		if err != nil || len(found.Sockets) != 1 || found.Sockets[0].ID != id {
			t.Errorf("found %+v, %v", found, err)
		}
		rooms, err := m.Namespace("/").Rooms(t.Context(), spanwire.RoomsOptions{})
		if err != nil || rooms.Sockets[room] != 1 {
			t.Errorf("rooms %+v, %v", rooms, err)
		}
		if err := m.To(room).Disconnect(false); err != nil {
			t.Error(err)
		}
		c.want("41")
	}},
	{"R5", "only what concerned the session's rooms is made up for", func(t *testing.T, w *world) {
		s := w.with(t, recovery...)
		mine, other := t.Name()+" mine", t.Name()+" other"
		c := s.websocket(t)
		r := c.connectRecoverable("")
		c.send(`421["join","` + mine + `"]`)
		c.want("431[]")
		_ = c.NetConn().Close()
		for _, room := range []string{mine, other, r.SID} {
			s.emit(t, room, "e", `["`+room+`"]`)
		}
		s.emit(t, mine, "e", `["not me"]`, func(e *spanwirev1.Emit) { e.Target.Except = []string{r.SID} })
		back := s.websocket(t)
		back.send(fmt.Sprintf(`40{"pid":%q}`, r.PID))
		back.want(`42["e","`+mine+`","*`, `42["e","`+r.SID+`","*`, "40{*")
	}},
}
