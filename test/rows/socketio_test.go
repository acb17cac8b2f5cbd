// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

var connectReply = regexp.MustCompile(`^40\{"sid":"[A-Za-z0-9_-]{20,}"\}$`)

var namespaceRows = []row{
	{"N1", "a connect is answered with the socket's id and nothing else", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, packet := range []string{"40", "40{}", `40{"token":"x"}`} {
			c := s.websocket(t)
			c.send(packet)
			if got := c.next(); !connectReply.MatchString(got) {
				t.Errorf("%s was answered %s", packet, got)
			}
		}
	}},
	{"N2", "a packet for a namespace that is not joined ends the session, as does a second connect", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, packets := range [][]string{{`42["echo"]`}, {"40", `42/admin,["echo"]`}, {"40", "40"}, {"40", `44{"message":"x"}`}, {"41"}} {
			s.closes(t, packets...)
		}
		p := s.polling(t)
		p.must("40")
		p.want("40{*")
		p.post("40")
		if got := p.next(); got[len(got)-1] != "1" {
			t.Errorf("on polling the browser reads %q", got)
		}
	}},
	{"N3", "an unknown namespace is refused, the session goes on", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("40/nope,", "40/custom?token=1,{}")
		c.want(`44/nope,{"message":"Invalid namespace"}`, `44/custom?token=1,{"message":"Invalid namespace"}`)
		c.echo()
	}},
	{"N4", "a refusal carries message and data, and the socket may try again", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		for _, x := range [][2]string{
			{`40{"refuse":"not you","data":{"code":7}}`, `44{"message":"not you","data":{"code":7}}`},
			{`40{"refuse":"not you"}`, `44{"message":"not you"}`},
			{"40/admin,", `44/admin,{"message":"admins only"}`},
			{`40/admin,{"admin":true}`, "40/admin,{*"},
			{"40", "40{*"},
		} {
			c.send(x[0])
			c.want(x[1])
		}
		c.echo()
	}},
	{"N5", "a socket that is not accepted yet is in no room that others see", func(t *testing.T, w *world) {
		s := w.with(t)
		c, room := s.connected(t), t.Name()
		other := s.websocket(t)
		other.send(`40{"refuse":"no","rooms":["` + room + `"]}`)
		other.want(`44{"message":"no"}`)
		c.send(`421["poll","` + room + `"]`)
		c.want(`431[{"answers":[],"missing":0}]`)
	}},
	{"N6", "the answer comes before what handlers emit, and events sent at once come in order", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.send(`40{"hello":[1,2]}`)
		c.want("40{*", `42["hello",1]`, `42["hello",2]`)
		c.send(`40/admin,{"admin":true}`)
		c.want("40/admin,{*")
		for i := range 20 {
			c.send(fmt.Sprintf(`42/admin,%d["echo",%d]`, i, i))
		}
		for i := range 20 {
			c.want(fmt.Sprintf(`43/admin,%d[%d]`, i, i))
		}
	}},
	{"N7", "a session that joins no namespace is closed", func(t *testing.T, w *world) {
		w.with(t, impatient...).websocket(t).closed()
	}},
	{"N8", "a namespace that a pattern matches exists when a browser asks for it", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		for _, x := range [][2]string{
			{"40/room-7,", "40/room-7,{*"}, {"40/room-x,", `44/room-x,{"message":"Invalid namespace"}`}, {"40/room-8,", "40/room-8,{*"},
		} {
			c.send(x[0])
			c.want(x[1])
		}
		c.send(`42/room-7,1["where"]`, `42/room-8,2["where"]`, `42/room-8,["shout","hi"]`)
		c.want(`43/room-7,1["/room-7"]`, `43/room-8,2["/room-8"]`, `42/room-8,["shouted","hi"]`)
		c.send(`42/room-8,["shout to all","hey"]`)
		got := map[string]bool{c.next(): true, c.next(): true}
		if !got[`42/room-7,["shouted","hey"]`] || !got[`42/room-8,["shouted","hey"]`] {
			t.Errorf("an emit to the pattern brought %v", got)
		}
	}},
	{"N9", "the main namespace may be named", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.send("40/,{}")
		c.want("40{*")
		c.send(`42/,5["echo",1]`)
		c.want("435[1]")
	}},
	{"N10", "several namespaces share a session, and are left one by one or together", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.send("40", `40/admin,{"admin":true}`)
		first, second := c.next(), c.next()
		if !strings.Contains(first+second, "40{") || !strings.Contains(first+second, "40/admin,{") {
			t.Fatalf("got %s, %s", first, second)
		}
		c.send("41/admin,")
		c.echo()
		c.send(`40/admin,{"admin":true}`)
		c.want("40/admin,{*")
		c.send(`42["kick",true]`)
		got := []string{c.next(), c.next()}
		if !strings.Contains(strings.Join(got, " "), "41/admin,") {
			t.Errorf("got %q", got)
		}
		c.closed()
	}},
}

var decoderRows = []row{
	{"D1", "every packet of the vectors has its verdict", func(t *testing.T, w *world) {
		var file struct {
			Cases []struct {
				Name   string
				Frames []struct {
					Text   *string
					Binary *string
				}
				Verdict string
			}
		}
		vectors(t, "packets.json", &file)
		s := w.with(t)
		tried := 0
		for _, one := range file.Cases {
			if one.Verdict == "" {
				continue
			}
			tried++
			packets := []string{"40"}
			for _, f := range one.Frames {
				switch {
				case f.Text != nil:
					packets = append(packets, "4"+*f.Text)
				case f.Binary != nil:
					data, err := hex.DecodeString(*f.Binary)
					if err != nil {
						t.Fatal(err)
					}
					packets = append(packets, "\x00"+string(data))
				}
			}
			s.closes(t, packets...)
		}
		if tried < 20 {
			t.Errorf("only %d vectors were tried", tried)
		}
	}},
	{"D2", "a connect takes an object or nothing", func(t *testing.T, w *world) {
		for _, packet := range []string{"40[]", `40"s"`, "40null", "407"} {
			w.with(t).closes(t, packet)
		}
	}},
	{"D3", "an event is an array that begins with a name", func(t *testing.T, w *world) {
		for _, packet := range []string{"42", "42[]", "42{}", "42[null]", `42[{"toString":"foo"}]`} {
			w.with(t).closes(t, "40", packet)
		}
	}},
	{"D4", "a number as a name is its text", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`42[1,"x"]`)
		c.echo()
	}},
	{"D5", "names that Socket.IO keeps end the session", func(t *testing.T, w *world) {
		for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
			w.with(t).closes(t, "40", `42["`+name+`"]`)
		}
	}},
	{"D6", "names that only sound special are ordinary", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		for _, name := range []string{"error", "connection", "__proto__", "constructor", "hasOwnProperty", "toString", "prototype"} {
			c.send(`42["` + name + `",1]`)
		}
		c.echo()
	}},
	{"D7", "an ack that nobody waits for is nothing", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send("4399[1]", "4399", `4398["x"]`)
		c.echo()
	}},
	{"D8", "an ack id is echoed digit for digit, or the session ends", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`429007199254740991["echo",1]`)
		c.want("439007199254740991[1]")
		w.with(t).closes(t, "40", `4299999999999999999999["echo"]`)
		w.with(t).closes(t, "40", `42-1["echo"]`)
	}},
	{"D9", "a disconnect has no payload", func(t *testing.T, w *world) { w.with(t).closes(t, "40", `41{"a":1}`) }},
	{"D10", "unknown types end the session", func(t *testing.T, w *world) {
		for _, packet := range []string{"47[1]", "49", "4abc", "4"} {
			w.with(t).closes(t, "40", packet)
		}
	}},
	{"D11", "the number of attachments is there, and not too high", func(t *testing.T, w *world) {
		for _, packet := range []string{`45["a"]`, `450-["a"]`, `4511-["a"]`, `45999999999-["a"]`, `45-["a"]`} {
			w.with(t).closes(t, "40", packet)
		}
		c := w.with(t).connected(t)
		c.send(`4510-1["echo",{"_placeholder":true,"num":9}]`)
		for range 10 {
			c.sendBinary("x")
		}
		c.want(`461-1[{"_placeholder":true,"num":0}]`, "\x00x")
	}},
	{"D12", "a placeholder names an attachment that is there", func(t *testing.T, w *world) {
		for _, num := range []string{"10", "-1", `"splice"`, "0.5", "null"} {
			w.with(t).closes(t, "40", `451-["echo",{"_placeholder":true,"num":`+num+`}]`, "\x00x")
		}
	}},
	{"D13", "text and bytes come when they are due", func(t *testing.T, w *world) {
		w.with(t).closes(t, "40", `451-["echo",{"_placeholder":true,"num":0}]`, `42["echo"]`)
		w.with(t).closes(t, "40", "\x00x")
		w.with(t).closes(t, "40", `451-["echo",{"_placeholder":true,"num":0}]`, "\x00x", "\x00x")
	}},
	{"D14", "a namespace or id in the wrong place ends the session", func(t *testing.T, w *world) {
		for _, packet := range []string{`42abc["echo"]`, `427/admin,["echo"]`, `42["echo"]7`} {
			w.with(t).closes(t, "40", packet)
		}
	}},
}

var ackRows = []row{
	{"A1", "an ack has the event's id and any number of arguments", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`420["echo"]`, `421["echo",null]`, `422["echo",1,"a",[2],{"b":3}]`)
		c.want("430[]", "431[null]", `432[1,"a",[2],{"b":3}]`)
	}},
	{"A2", "a broadcast asks all its receivers under one id", func(t *testing.T, w *world) {
		s, room := w.with(t), t.Name()
		caller, a, b := s.connected(t), s.connected(t), s.connected(t)
		for _, c := range []*conn{a, b} {
			c.send(`421["join","` + room + `"]`)
			c.want("431[]")
		}
		caller.send(`425["poll","` + room + `"]`)
		question := regexp.MustCompile(`^42(\d+)\["question","all"\]$`)
		idA, idB := question.FindStringSubmatch(a.next()), question.FindStringSubmatch(b.next())
		if len(idA) != 2 || len(idB) != 2 || idA[1] != idB[1] {
			t.Fatalf("asked %q and %q", idA, idB)
		}
		a.send("43" + idA[1] + `["yes"]`)
		b.send("43" + idB[1] + `["yes"]`)
		caller.want(`435[{"answers":[["yes"],["yes"]],"missing":0}]`)
	}},
	{"A3", "an ask with a timeout settles, and a late answer is nothing", func(t *testing.T, w *world) {
		s, room := w.with(t), t.Name()
		caller, silent := s.connected(t), s.connected(t)
		silent.send(`421["join","` + room + `"]`)
		silent.want("431[]")
		caller.send(`425["poll","` + room + `",1000]`)
		question := silent.next()
		caller.want(`435[{"answers":[],"missing":1}]`)
		silent.send("43" + strings.TrimSuffix(strings.TrimPrefix(question, "42"), `["question","all"]`) + `["late"]`)
		silent.echo()
	}},
	{"A4", "an ask settles when the browser leaves", func(t *testing.T, w *world) {
		s, room := w.with(t), t.Name()
		caller, leaver := s.connected(t), s.connected(t)
		leaver.send(`421["join","` + room + `"]`)
		leaver.want("431[]")
		start := time.Now()
		caller.send(`425["poll","` + room + `"]`)
		leaver.want("42*")
		_ = leaver.Close()
		caller.want(`435[{"answers":[],"missing":1}]`)
		t.Logf("settled after %v", time.Since(start))
	}},
	{"A5", "an ask of nobody is answered at once", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`425["poll","nobody"]`)
		c.want(`435[{"answers":[],"missing":0}]`)
	}},
	{"A6", "an ask of one socket gives its one answer", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`425["ask","how"]`)
		question := c.next()
		id, ok := strings.CutSuffix(strings.TrimPrefix(question, "42"), `["question","how"]`)
		if !ok {
			t.Fatalf("asked %s", question)
		}
		c.send("43" + id + `["well",{"n":1}]`)
		c.want(`435["well",{"n":1}]`)
	}},
	{"A7", "bytes, nested and several, go in acks both ways", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`452-5["ask",{"a":[{"_placeholder":true,"num":0}]},"é😀",{"_placeholder":true,"num":1}]`)
		c.sendBinary("\x00\x01")
		c.sendBinary("")
		head := c.next()
		m := regexp.MustCompile(`^452-(\d+)\["question",\{"a":\[\{"_placeholder":true,"num":0\}\]\},"é😀",\{"_placeholder":true,"num":1\}\]$`).FindStringSubmatch(head)
		if m == nil {
			t.Fatalf("asked %s", head)
		}
		c.want("\x00\x00\x01", "\x00")
		c.send("461-" + m[1] + `[{"_placeholder":true,"num":0},null]`)
		c.sendBinary("answer")
		c.want(`461-5[{"_placeholder":true,"num":0},null]`, "\x00answer")
	}},
	{"A8", "packets behind a disconnect are dropped, and the session lives", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`42["kick",false]`, `421["echo",1]`)
		got := c.next()
		if got == "431[1]" { // it was quicker than the kick
			got = c.next()
		}
		if got != "41" {
			t.Fatalf("got %s", got)
		}
		c.send("40")
		c.want("40{*")
		c.echo()
	}},
	{"A9", "an event that is sent again is handled again", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`421["echo","again"]`, `422["echo","again"]`)
		c.want(`431["again"]`, `432["again"]`)
	}},
	{"A10", "an event that nobody handles is counted and not answered", func(t *testing.T, w *world) {
		s := w.with(t)
		before, err := s.broker.Metric("spanwire_dispatch_unhandled_events_total")
		if err != nil {
			t.Fatal(err)
		}
		c := s.connected(t)
		c.send(`421["nobody handles this"]`)
		c.echo()
		if after, err := s.broker.Metric("spanwire_dispatch_unhandled_events_total"); err != nil || after <= before {
			t.Errorf("counted %v, %v before: %v", after, before, err)
		}
	}},
	{"F1", "a volatile event reaches who can take it", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		id := socketOf(t, c)
		c.send(`42["broadcast",{"event":"v","args":[1],"to":["` + id + `"],"volatile":true}]`)
		c.want(`42["v",1]`)
	}},
	{"F2", "a volatile event for a browser that does not ask is dropped, the next one is not", func(t *testing.T, w *world) {
		s := w.with(t)
		p, c := s.polling(t), s.connected(t)
		p.must("40")
		p.want("40{*")
		room := t.Name()
		p.must(`421["join","` + room + `"]`)
		p.want("431[]")
		for i := range 3 {
			c.send(fmt.Sprintf(`42["broadcast",{"event":"v","args":[%d],"to":["%s"],"volatile":true}]`, i, room))
		}
		c.send(`42["broadcast",{"event":"sure","to":["` + room + `"]}]`)
		c.echo()
		p.want(`42["sure"]`)
	}},
	{"F3", "rooms unite, each browser gets an event once, and exceptions hold", func(t *testing.T, w *world) {
		s, r := w.with(t), t.Name()
		a, b, c := s.connected(t), s.connected(t), s.connected(t)
		join := func(c *conn, rooms ...string) {
			for _, room := range rooms {
				c.send(`421["join","` + r + room + `"]`)
				c.want("431[]")
			}
		}
		join(a, "1", "2")
		join(b, "2", "3")
		c.send(`42["broadcast",{"event":"e","args":[1],"to":["` + r + `1","` + r + `2"]}]`)
		c.send(`42["broadcast",{"event":"e","args":[2],"to":["` + r + `1","` + r + `2"],"except":["` + r + `3"]}]`)
		c.echo()
		a.want(`42["e",1]`, `42["e",2]`)
		b.want(`42["e",1]`)
		b.echo()
	}},
}

// socketOf asks the handler for the socket's id.
func socketOf(t *testing.T, c *conn) string {
	t.Helper()
	c.send(`42778["handshake"]`)
	var list []struct{ ID string }
	got := c.next()
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got, "43778")), &list); err != nil || len(list) != 1 {
		t.Fatalf("the handshake is %s", got)
	}
	return list[0].ID
}

// reasonOf returns the reason that the handler got when end had ended the socket.
func (s *server) reasonOf(t *testing.T, c *conn, end func()) string {
	t.Helper()
	watcher := s.connected(t)
	watcher.send(`421["join","watchers"]`)
	watcher.want("431[]")
	id := socketOf(t, c)
	end()
	for {
		got := watcher.next()
		if rest, ok := strings.CutPrefix(got, `42["left","`+id+`","`); ok {
			return strings.TrimSuffix(rest, `"]`)
		}
	}
}

var disconnectRows = []row{
	{"L1", "a browser that leaves a namespace keeps its session for a while", func(t *testing.T, w *world) {
		s := w.with(t)
		c := s.connected(t)
		if got := s.reasonOf(t, c, func() { c.send("41") }); got != "client namespace disconnect" {
			t.Errorf("reason %q", got)
		}
		c.send("40")
		c.want("40{*")
		c.echo()
	}},
	{"L2", "a session whose last namespace was left is closed in time", func(t *testing.T, w *world) {
		c := w.with(t, impatient...).connected(t)
		c.send("41")
		c.closed()
	}},
	{"L3", "a handler ends a socket, or the whole session", func(t *testing.T, w *world) {
		s := w.with(t)
		c := s.connected(t)
		if got := s.reasonOf(t, c, func() { c.send(`42["kick",false]`) }); got != "server namespace disconnect" {
			t.Errorf("reason %q", got)
		}
		c.want("41")
		c.send("40")
		c.want("40{*")
		c.send(`42["kick",true]`)
		c.want("41")
		c.closed()
	}},
	{"L4", "each end has its reason", func(t *testing.T, w *world) {
		s := w.with(t, small...)
		for want, end := range map[string]func(c *conn){
			"transport close":   func(c *conn) { _ = c.Close() },
			"forced close":      func(c *conn) { c.send("42") },
			"parse error":       func(c *conn) { c.send("abc") },
			"transport error":   func(c *conn) { c.send("2") },
			"payload too large": func(c *conn) { c.send("4" + strings.Repeat("x", 200_000)) },
		} {
			c := s.connected(t)
			if got := s.reasonOf(t, c, func() { end(c) }); got != want {
				t.Errorf("reason %q, want %q", got, want)
			}
		}
		s = w.with(t, pinging...)
		c := s.connected(t)
		if got := s.reasonOf(t, c, func() { c.heartbeat = false }); got != "ping timeout" {
			t.Errorf("reason %q, want a ping timeout", got)
		}
	}},
}
