// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// What a browser of msgpack sends, in the bytes of the standard parser.
const (
	msgpackConnect = "\x83\xa4type\x00\xa4data\x81\xa5token\xa6secret\xa3nsp\xa1/"
	msgpackNope    = "\x82\xa4type\x00\xa3nsp\xa5/nope"
	msgpackEvent   = "\x84\xa4type\x02\xa4data\x93\xa1a\xc4\x02\x01\x02\x81\xa1x\x07\xa2id\x05\xa3nsp\xa1/"
	msgpackLeave   = "\x82\xa4type\x01\xa3nsp\xa1/"
)

// receiveMsgpack reads one packet, which must be one binary message.
func receiveMsgpack(t *testing.T, b *edgetest.Browser) socketio.Packet {
	t.Helper()
	m := b.Receive()
	limits := socketio.DefaultLimits()
	p, err := socketio.ParseMsgpack(m.Binary, &limits)
	if m.Binary == nil || err != nil {
		t.Fatalf("got %q, %v", m, err)
	}
	return p
}

func connectMsgpack(t *testing.T, w *world, o edgetest.Options) (*edgetest.Browser, sio.SocketID) {
	t.Helper()
	b := w.Open(o)
	b.SendBinary([]byte(msgpackConnect))
	p := receiveMsgpack(t, b)
	var answer struct{ SID sio.SocketID }
	if err := json.Unmarshal(p.Payload, &answer); p.Type != socketio.Connect || err != nil || answer.SID == "" || string(answer.SID) == b.SessionID {
		t.Fatalf("got %v %s", p.Type, p.Payload)
	}
	return b, answer.SID
}

// A browser whose first message is binary must be served in msgpack, and handlers must see what
// they see of any other browser.
func TestProtocol_Msgpack(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b, id := connectMsgpack(t, w, o)
		if calls := w.service.of("/"); calls[0].socket.ID() != id || string(calls[0].socket.Introduction().Auth) != `{"token":"secret"}` {
			t.Errorf("the service met %q with %s", calls[0].socket.ID(), calls[0].socket.Introduction().Auth)
		}
		b.SendBinary([]byte(msgpackEvent))
		p := receiveMsgpack(t, b)
		const args = `[` + attachment + `,{"x":7}]`
		if p.Type != socketio.BinaryAck || p.ID != 5 || string(p.Event.Args) != args || !bytes.Equal(p.Event.Attachments[0], []byte{1, 2}) {
			t.Errorf("got %+v", p)
		}
		ev := w.service.calls(dispatch.Event)[0].event
		if ev.Name != "a" || string(ev.Args) != args || len(ev.Attachments) != 1 {
			t.Errorf("the service got %q %s", ev.Name, ev.Args)
		}
		b.SendBinary([]byte(msgpackNope))
		if p = receiveMsgpack(t, b); p.Type != socketio.ConnectError || p.Namespace != "/nope" || string(p.Payload) != `{"message":"Invalid namespace"}` {
			t.Errorf("got %+v", p)
		}
		b.SendBinary([]byte(msgpackLeave))
		synctest.Wait()
		if got := w.service.reasons(); !slices.Equal(got, []sio.Reason{sio.ReasonClientDisconnect}) || b.Closed() {
			t.Errorf("reasons %q", got)
		}
	})
}

// A broadcast must reach browsers of both formats with the same name, arguments and attachments,
// and acks of both must come back.
func TestProtocol_Broadcast(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		text := w.Open(o)
		s := text.Connect("/", nil)
		var packed []*edgetest.Browser
		for range 2 {
			b, _ := connectMsgpack(t, w, o)
			packed = append(packed, b)
		}
		const args = `[{"b":` + attachment + `},1]`
		collection := make(chan sio.Acks, 1)
		go func() { // ends when all acks have come
			_, collect := w.hub.AskEveryone(t.Context(), &sio.Emit{
				Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "news", Args: []byte(args), Attachments: [][]byte{{9}}},
			})
			acks, _ := collect()
			collection <- acks
		}()
		ev := s.Expect("news")
		if ev.Raw != args || !bytes.Equal(ev.Attachments[0], []byte{9}) {
			t.Errorf("got %+v", ev)
		}
		s.Ack(ev, "text")
		for _, b := range packed {
			p := receiveMsgpack(t, b)
			if p.Type != socketio.BinaryEvent || !p.HasID || p.Event.Name != "news" || string(p.Event.Args) != args || !bytes.Equal(p.Event.Attachments[0], []byte{9}) {
				t.Errorf("got %+v", p)
			}
			b.SendBinary(socketio.AppendMsgpackAck(nil, "/", p.ID, &sio.Ack{Args: []byte(`["packed"]`)}))
		}
		if acks := <-collection; len(acks.Came) != 3 || acks.Missing != 0 {
			t.Errorf("got %+v", acks)
		}
		w.disconnect("/", false)
		s.ExpectDisconnect()
		if p := receiveMsgpack(t, packed[0]); p.Type != socketio.Disconnect {
			t.Errorf("got %+v", p)
		}
	})
}

// Breaches in msgpack must close the session as those in JSON do, and the log must not show what
// may be credentials.
func TestProtocol_MsgpackBreaches(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		binary string
		cause  string
	}{
		"text":                 {text: `2["a"]`, cause: "text_expected_binary"},
		"no msgpack":           {binary: "\xc1", cause: "msgpack"},
		"second connect":       {binary: msgpackConnect, cause: causeConnectTwice},
		"not joined":           {binary: "\x83\xa4type\x02\xa4data\x91\xa1a\xa3nsp\xa6/admin", cause: causeState},
		"connect error":        {binary: "\x82\xa4type\x04\xa4data\xa4boom", cause: causeState},
		"reserved":             {binary: "\x82\xa4type\x02\xa4data\x91\xa7connect", cause: "reserved"},
		"connect with garbage": {binary: msgpackConnect + "\x00", cause: "msgpack"},
	} {
		t.Run(name, func(t *testing.T) {
			bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
				b, _ := connectMsgpack(t, w, o)
				if c.text != "" {
					b.Send(c.text)
				} else {
					b.SendBinary([]byte(c.binary))
				}
				b.ExpectClosed()
				synctest.Wait()
				if w.breaches(c.cause) != 1 || strings.Contains(w.log.String(), "secret") {
					t.Errorf("not counted as %q, or logged: %s", c.cause, w.log)
				}
				if got := w.service.names(); len(got) > 0 {
					t.Errorf("the service got %q", got)
				}
			})
		})
	}
}

// oldWorld is a world of clients of protocol 4.
func oldWorld(more func(*setup)) func(*setup) {
	return func(s *setup) {
		s.engine3 = true
		if more != nil {
			more(s)
		}
	}
}

func expectText(t *testing.T, b *edgetest.Browser, want string) {
	t.Helper()
	if m := b.Receive(); m.Text != want || m.Binary != nil {
		t.Errorf("got %q, want %q", m, want)
	}
}

// A client of protocol 4 must be in the main namespace unasked, be answered so without an id, and
// join others with a query as auth.
func TestProtocol4(t *testing.T) {
	bothTransports(t, oldWorld(nil), func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		expectText(t, b, `0`)
		b.Send(`21["a",{"x":1}]`)
		expectText(t, b, `31[{"x":1}]`)
		b.Send(`51-2["bin",` + attachment + `]`)
		b.SendBinary([]byte{7})
		expectText(t, b, `61-2[`+attachment+`]`)
		if m := b.Receive(); !bytes.Equal(m.Binary, []byte{7}) {
			t.Errorf("got %q", m)
		}
		b.Send(`0/admin?token=abc&n=1,`)
		expectText(t, b, `0/admin,`)
		calls := w.service.of("/admin")
		if got := string(calls[0].socket.Introduction().Auth); got != `{"n":"1","token":"abc"}` {
			t.Errorf("auth %s", got)
		}
		if id := calls[0].socket.ID(); string(id) == b.SessionID || strings.Contains(string(id), "#") {
			t.Errorf("the public id %q is the client's own", id)
		}
		w.emit("/admin", "news", `[1]`)
		expectText(t, b, `2/admin,["news",1]`)
		b.Send(`0/nope,`)
		expectText(t, b, `4/nope,{"message":"Invalid namespace"}`)
		b.Send(`1/admin,`)
		w.disconnect("/", false)
		expectText(t, b, `1`)
	})
}

// The refusal of a connect must be the data or else the message, without an object around it, and
// leave the session open.
func TestProtocol4_Refused(t *testing.T) {
	refuse := func(s *setup) {
		s.handle = func(c call) *sio.Result {
			if c.kind != dispatch.Connect {
				return echo(c)
			}
			r := &sio.Result{Outcome: sio.Refused, Message: `not "you"`}
			if c.socket.Namespace() == "/admin" {
				r.Data = []byte(`{"code":7}`)
			}
			return r
		}
	}
	bothTransports(t, oldWorld(refuse), func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		expectText(t, b, `4"not \"you\""`)
		b.Send(`0/admin,`)
		expectText(t, b, `4/admin,{"code":7}`)
		b.Send(`0/open,`)
		expectText(t, b, `0/open,`)
		if b.Closed() {
			t.Error("closed")
		}
	})
}

// A client may join another namespace before the main one has been decided, and although the main
// one is nobody's.
func TestProtocol4_OtherNamespace(t *testing.T) {
	hold := func(s *setup) {
		s.handle = func(c call) *sio.Result {
			if c.kind == dispatch.Connect && c.socket.Namespace() == "/" {
				return nil
			}
			return echo(c)
		}
	}
	bothTransports(t, oldWorld(hold), func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		held := w.heldConnect()
		b.Send(`0/admin,`)
		expectText(t, b, `0/admin,`)
		w.service.resolve(held, sio.Result{Outcome: sio.Handled})
		expectText(t, b, `0`)
	})
	nobodys := func(s *setup) { s.register.Namespaces = s.register.Namespaces[1:] }
	bothTransports(t, oldWorld(nobodys), func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.ExpectQuiet(moment)
		b.Send(`0/admin,`)
		expectText(t, b, `0/admin,`)
		b.Send(`2/admin,1["a"]`)
		expectText(t, b, `3/admin,1[]`)
		b.ExpectQuiet(2 * w.edge.options.ConnectTimeout)
		if b.Closed() || value(w.metrics.UnknownNamespace) != 1 {
			t.Errorf("closed, or not counted: %s", w.log)
		}
	})
}

// What nobody may do in protocol 5, nobody may in protocol 4.
func TestProtocol4_Breaches(t *testing.T) {
	for packet, cause := range map[string]string{
		`0`:                  causeConnectTwice,
		`2/admin,["a"]`:      causeState,
		`4"boom"`:            causeState,
		`2["connect"]`:       "reserved",
		`0/a?token=secret,}`: "json",
	} {
		inBubble(t, oldWorld(nil), func(t *testing.T, w *world) {
			b := w.Open(edgetest.Options{})
			expectText(t, b, `0`)
			b.Send(packet)
			b.ExpectClosed()
			if synctest.Wait(); w.breaches(cause) != 1 || strings.Contains(w.log.String(), "secret") {
				t.Errorf("%s was not counted as %q, or logged: %s", packet, cause, w.log)
			}
		})
	}
	inBubble(t, oldWorld(nil), func(t *testing.T, w *world) {
		b := w.Open(edgetest.Options{})
		expectText(t, b, `0`)
		b.SendBinary([]byte(msgpackConnect))
		b.ExpectClosed()
		if synctest.Wait(); w.breaches("binary_unexpected") != 1 {
			t.Errorf("the log: %s", w.log)
		}
	})
}
