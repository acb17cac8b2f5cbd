// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var never = time.Now().Add(24 * time.Hour)

// revision3 lets clients of Socket.IO 2 in, with all that they can do.
var revision3 = []string{"--allow-eio3", "--allow-jsonp"}

const polling3 = "EIO=3&transport=polling&b64=1"

// old is a session of revision 3 on polling, with packets as base64.
func (s *server) old(t *testing.T) *poller {
	t.Helper()
	a := s.do(t, "GET", polling3, "")
	packets := split3(t, a.body)
	open := parseOpen(t, packets[0])
	return &poller{t, s, polling3 + "&sid=" + open.SID, open}
}

// split3 cuts a payload of revision 3 into packets: each has its length in UTF-16 units before it.
func split3(t *testing.T, payload string) (packets []string) {
	t.Helper()
	units := []rune(payload) // the rows use no characters beyond the first plane, but where they say so
	for len(units) > 0 {
		n, i := 0, 0
		for ; i < len(units) && units[i] != ':'; i++ {
			n = n*10 + int(units[i]-'0')
		}
		if i == 0 || i >= len(units) {
			t.Fatalf("%q is no payload", payload)
		}
		units = units[i+1:]
		end := 0
		for n > 0 && end < len(units) {
			n--
			if units[end] > 0xffff {
				n--
			}
			end++
		}
		if n != 0 {
			t.Fatalf("%q has a wrong length", payload)
		}
		packets = append(packets, string(units[:end]))
		units = units[end:]
	}
	return packets
}

func (p *poller) want3(packets ...string) {
	p.t.Helper()
	var got []string
	for len(got) < len(packets) {
		a := p.get()
		if a.status != 200 {
			p.t.Fatalf("answered %d %s", a.status, a.body)
		}
		got = append(got, split3(p.t, a.body)...)
	}
	for i, want := range packets {
		if !matches(got[i], want) {
			p.t.Fatalf("got %q, want %q", got, packets)
		}
	}
}

const websocket3 = "EIO=3&transport=websocket"

var revision3Rows = []row{
	{"H3", "in revision 3 the browser pings, and is ended when it does not", func(t *testing.T, w *world) {
		s := w.with(t, append(revision3, "--ping-interval", "1s", "--ping-timeout", "1s")...)
		c := s.mustDial(t, websocket3)
		c.want("0{*", "40")
		for range 3 {
			c.send("2")
			c.want("3")
			time.Sleep(700 * time.Millisecond)
		}
		c.closed()
	}},
	{"V3-1", "lengths count UTF-16 units", func(t *testing.T, w *world) {
		p := w.with(t, revision3...).old(t)
		p.want3("40")
		packet := `421["echo","€😀"]`
		if a := p.post(fmt.Sprintf("%d:%s", len([]rune(packet))+1, packet)); a.status != 200 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		p.want3(`431["€😀"]`)
	}},
	{"V3-2", "a browser that takes bytes gets them", func(t *testing.T, w *world) {
		s := w.with(t, revision3...)
		a := s.do(t, "GET", "EIO=3&transport=polling", "")
		if a.status != 200 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		at := strings.Index(a.body, `{"sid`)
		var open openData
		if at < 0 || json.NewDecoder(strings.NewReader(a.body[at:])).Decode(&open) != nil {
			t.Fatalf("the handshake is %q", a.body)
		}
		p := &poller{t, s, "EIO=3&transport=polling&sid=" + open.SID, open}
		p.get()
		text := `451-1["echo",{"_placeholder":true,"num":0}]`
		body := "\x00" + digits(len(text)) + "\xff" + text + "\x01\x04\xff\x04\x01\x02\xfe"
		if a := p.post(body, "Content-Type", "application/octet-stream"); a.status != 200 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		a = p.get()
		if a.header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(a.body, "\x01\x04\xff\x04\x01\x02\xfe") ||
			!strings.HasPrefix(a.body, "\x00") {
			t.Errorf("answered %q %q", a.header.Get("Content-Type"), a.body)
		}
	}},
	{"V3-3", "a browser that takes no bytes gets base64, on WebSocket too", func(t *testing.T, w *world) {
		s := w.with(t, revision3...)
		p := s.old(t)
		p.want3("40")
		text := `451-1["echo",{"_placeholder":true,"num":0}]`
		p.post(fmt.Sprintf("%d:%s10:b4AQIDBA==", len(text), text))
		p.want3(`461-1[{"_placeholder":true,"num":0}]`, "b4AQIDBA==")
		c := s.mustDial(t, websocket3+"&b64=1")
		c.want("0{*", "40")
		c.send(text, "b4AQIDBA==")
		c.want(`461-1[{"_placeholder":true,"num":0}]`, "b4AQIDBA==")
	}},
	{"V3-4", "a binary frame begins with its type", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send(`451-1["echo",{"_placeholder":true,"num":0}]`)
		c.sendBinary("\x04\x01\x02")
		c.want(`461-1[{"_placeholder":true,"num":0}]`, "\x00\x04\x01\x02")
	}},
	{"V3-5", "scripts carry packets where nothing else does", func(t *testing.T, w *world) {
		s := w.with(t, revision3...)
		a := s.do(t, "GET", "EIO=3&transport=polling&j=3", "")
		m := regexp.MustCompile(`^___eio\[3\]\((".*")\);$`).FindStringSubmatch(a.body)
		var payload string
		if m == nil || json.Unmarshal([]byte(m[1]), &payload) != nil {
			t.Fatalf("the handshake is %q", a.body)
		}
		open := parseOpen(t, split3(t, payload)[0])
		query := "EIO=3&transport=polling&j=3&sid=" + open.SID
		s.do(t, "GET", query, "")
		if a := s.do(t, "POST", query, "d=16%3A421%5B%22echo%22%2C%22ab%22%5D", "Content-Type", "application/x-www-form-urlencoded"); a.status != 200 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		if a := s.do(t, "GET", query, ""); !strings.HasPrefix(a.body, `___eio[3]("`) || !strings.Contains(a.body, `431[`) {
			t.Errorf("answered %q", a.body)
		}
	}},
	{"V3-6", "a payload that cannot be read ends the session", func(t *testing.T, w *world) {
		for _, body := range []string{"", "x:4", "5:40", "-1:4", "99999999999:4", "1:40"} {
			p := w.with(t, revision3...).old(t)
			p.want3("40")
			if a := p.post(body); a.status != 400 {
				t.Errorf("%q was answered %d", body, a.status)
			}
		}
	}},
	{"V3-7", "a server's heartbeat is not for revision 3", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send("3")
		c.closed()
	}},
	{"B12", "a binary frame of revision 3 without its type is never shifted", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send(`451-1["echo",{"_placeholder":true,"num":0}]`)
		c.sendBinary("\x07\x01\x02")
		if got, err := c.read(); err == nil && strings.Contains(got, "46") {
			t.Errorf("delivered: %q", got)
		}
	}},
}

// digits are those of a length in a binary payload: bytes of 0 to 9.
func digits(n int) string {
	text := []byte(fmt.Sprint(n))
	for i := range text {
		text[i] -= '0'
	}
	return string(text)
}

var protocol4Rows = []row{
	{"O1", "an old client is connected to the main namespace by itself", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.echo()
	}},
	{"O2", "an old client names a namespace with a query, which is its auth", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send("40/room-5?token=abc&x=1,")
		c.want("40/room-5,*")
		c.send(`42/room-5,1["auth"]`)
		c.want(`43/room-5,1[{"token":"abc","x":"1"}]`)
	}},
	{"O3", "an old client is refused in its own words", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send("40/admin,")
		c.want(`44/admin,"admins only"`)
		c.send("40/nope,")
		c.want("44/nope,*")
		c.echo()
	}},
}

var msgpackRows = []row{
	{"M1", "a first message of bytes means msgpack, for the whole session", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.sendBinary("\x83\xa4type\x00\xa4data\x80\xa3nsp\xa1/")
		got := c.next()
		if !strings.HasPrefix(got, "\x00") || !strings.Contains(got, "\xa3sid") {
			t.Fatalf("the connect was answered %q", got)
		}
		// {type: 2, data: ["echo", bytes 01 02], nsp: "/", id: 7}
		c.sendBinary("\x84\xa4type\x02\xa4data\x92\xa4echo\xc4\x02\x01\x02\xa3nsp\xa1/\xa2id\x07")
		if got := c.next(); !strings.Contains(got, "\xc4\x02\x01\x02") || !strings.Contains(got, "\xa2id\x07") {
			t.Errorf("the ack is %q", got)
		}
		if err := c.WriteMessage(websocket.TextMessage, []byte(`42["echo"]`)); err != nil {
			t.Fatal(err)
		}
		c.closed()
	}},
	{"M2", "msgpack that makes no sense ends the session", func(t *testing.T, w *world) {
		for name, packet := range map[string]string{
			"no map":           "\x01",
			"cut":              "\x84\xa4type\x02",
			"unknown type":     "\x83\xa4type\x09\xa4data\x91\xa1a\xa3nsp\xa1/",
			"type is text":     "\x83\xa4type\xa12\xa4data\x91\xa1a\xa3nsp\xa1/",
			"data is a map":    "\x83\xa4type\x02\xa4data\x80\xa3nsp\xa1/",
			"reserved":         "\x83\xa4type\x02\xa4data\x91\xaadisconnect\xa3nsp\xa1/",
			"length that lies": "\x83\xa4type\x02\xa4data\xdd\xff\xff\xff\xff\xa3nsp\xa1/",
		} {
			t.Run(name, func(t *testing.T) {
				c := w.with(t).websocket(t)
				c.sendBinary("\x83\xa4type\x00\xa4data\x80\xa3nsp\xa1/")
				c.next()
				c.sendBinary(packet)
				c.closed()
			})
		}
	}},
}

var recovery = []string{"--recovery", "1m"}

// recoverable is what the answer to a connect tells when sockets can be resumed.
type recoverable struct{ SID, PID string }

func (c *conn) connectRecoverable(auth string) recoverable {
	c.t.Helper()
	c.send("40" + auth)
	for {
		got := c.next()
		if rest, ok := strings.CutPrefix(got, "40"); ok {
			var r recoverable
			if err := json.Unmarshal([]byte(rest), &r); err != nil {
				c.t.Fatalf("the connect was answered %s", got)
			}
			return r
		}
	}
}

var offsetOf = regexp.MustCompile(`,"([^"]+)"\]$`)

var recoveryRows = []row{
	{"R1", "recovery is off unless it is asked for", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		if r := c.connectRecoverable(""); r.PID != "" {
			t.Errorf("answered with pid %q", r.PID)
		}
	}},
	{"R2", "when on, a connect tells a secret and each event its offset", func(t *testing.T, w *world) {
		c := w.with(t, recovery...).websocket(t)
		r := c.connectRecoverable("")
		if r.PID == "" || r.PID == r.SID {
			t.Fatalf("answered %+v", r)
		}
		c.send(`42["reflect",1]`)
		if got := c.next(); !offsetOf.MatchString(got) || !strings.HasPrefix(got, `42["reflected",1,"`) {
			t.Errorf("got %s", got)
		}
	}},
	{"R3", "a client that comes back is what it was and has missed nothing", func(t *testing.T, w *world) {
		s := w.with(t, recovery...)
		room := t.Name()
		c, other := s.websocket(t), s.websocket(t)
		other.connectRecoverable("")
		r := c.connectRecoverable("")
		c.send(`421["join","`+room+`"]`, `42["reflect",0]`)
		c.want("431[]")
		first := c.next()
		offset := offsetOf.FindStringSubmatch(first)[1]
		_ = c.NetConn().Close()
		for i := range 3 {
			other.send(fmt.Sprintf(`42["broadcast",{"event":"missed","args":[%d],"to":["%s"]}]`, i, room))
		}
		other.send(`42["broadcast",{"event":"foreign","to":["elsewhere"]}]`)
		other.send(`42["broadcast",{"event":"direct","to":["`+r.SID+`"]}]`, `421["echo",1]`)
		other.want("431[1]")
		back := s.websocket(t)
		back.send(fmt.Sprintf(`40{"pid":%q,"offset":%q}`, r.PID, offset))
		back.want(`42["missed",0,"*`, `42["missed",1,"*`, `42["missed",2,"*`, `42["direct","*`)
		got := back.next()
		if !strings.Contains(got, `"sid":"`+r.SID+`"`) {
			t.Fatalf("answered %s, was %+v", got, r)
		}
		other.send(`42["broadcast",{"event":"live","to":["` + room + `"]}]`)
		back.want(`42["live","*`)
	}},
	{"R4", "who was disconnected on purpose is not resumed", func(t *testing.T, w *world) {
		s := w.with(t, recovery...)
		c := s.websocket(t)
		r := c.connectRecoverable("")
		c.send(`42["reflect",0]`)
		offset := offsetOf.FindStringSubmatch(c.next())[1]
		c.send("41")
		if got := c.connectRecoverable(fmt.Sprintf(`{"pid":%q,"offset":%q}`, r.PID, offset)); got.SID == r.SID {
			t.Error("resumed")
		}
	}},
	{"R6", "what cannot be resumed is a new connect, not an error", func(t *testing.T, w *world) {
		c := w.with(t, recovery...).websocket(t)
		if r := c.connectRecoverable(`{"pid":"unknown","offset":"1"}`); r.SID == "" || r.PID == "unknown" {
			t.Errorf("answered %+v", r)
		}
	}},
	{"R7", "a quiet client, a quick one, and a secret that is used twice", func(t *testing.T, w *world) {
		s := w.with(t, recovery...)
		c := s.websocket(t)
		r := c.connectRecoverable("")
		// It got no event yet, and its connection is still there.
		back := s.websocket(t)
		if got := back.connectRecoverable(fmt.Sprintf(`{"pid":%q}`, r.PID)); got.SID != r.SID {
			t.Fatalf("resumed as %+v, was %+v", got, r)
		}
		c.closed()
		back.echo()
		// There is never more than one with the same id.
		third := s.websocket(t)
		third.connectRecoverable(fmt.Sprintf(`{"pid":%q}`, r.PID))
		back.closed()
		third.echo()
	}},
	{"R8", "clients that know nothing of it are not told offsets where recovery is off", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`42["reflect",1]`)
		c.want(`42["reflected",1]`)
	}},
}

var surfaceRows = []row{
	{"S1", "handlers see the sockets of a room", func(t *testing.T, w *world) {
		s, room := w.with(t), t.Name()
		a, b := s.connected(t), s.connected(t)
		for _, c := range []*conn{a, b} {
			c.send(`421["join","` + room + `"]`)
			c.want("431[]")
		}
		a.send(`422["fetch","` + room + `"]`)
		got := a.next()
		for _, c := range []*conn{a, b} {
			if id := socketOf(t, c); !strings.Contains(got, id) {
				t.Errorf("%s lacks %s", got, id)
			}
		}
		if strings.Count(got, `"id"`) != 2 || strings.Count(got, room) != 2 {
			t.Errorf("fetched %s", got)
		}
	}},
	{"S2", "sockets keep data, which others see", func(t *testing.T, w *world) {
		s := w.with(t)
		a, b := s.connected(t), s.connected(t)
		a.send(`421["set data",{"name":"Ann"}]`)
		a.want(`431[{"name":"Ann"}]`)
		b.send(`422["fetch","` + socketOf(t, a) + `"]`)
		if got := b.next(); !strings.Contains(got, `{"name":"Ann"}`) {
			t.Errorf("fetched %s", got)
		}
	}},
	{"S3", "sockets know their rooms, handlers the namespace's", func(t *testing.T, w *world) {
		c, room := w.with(t).connected(t), t.Name()
		id := socketOf(t, c)
		c.send(`421["join","`+room+`"]`, `422["rooms"]`, `423["all rooms"]`)
		c.want("431[]", fmt.Sprintf(`432[%q,%q]`, id, room))
		if got := c.next(); !strings.Contains(got, room) || strings.Contains(got, id) {
			t.Errorf("all rooms are %s", got)
		}
	}},
	{"S4", "many sockets join, leave and are ended at once", func(t *testing.T, w *world) {
		s, room := w.with(t), t.Name()
		a, b, c := s.connected(t), s.connected(t), s.connected(t)
		for _, x := range []*conn{a, b} {
			x.send(`421["join","` + room + `"]`)
			x.want("431[]")
		}
		c.send(`42["move",{"to":"`+room+`","join":"`+room+`2","leave":"`+room+`"}]`, `42["broadcast",{"event":"old","to":["`+room+`"]}]`,
			`42["broadcast",{"event":"new","to":["`+room+`2"]}]`, `42["kick other","`+room+`2"]`)
		for _, x := range []*conn{a, b} {
			x.want(`42["new"]`, "41")
		}
	}},
	{"S5", "handlers hear what happens to rooms", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.send("40/rooms,")
		c.want("40/rooms,{*")
		room := t.Name()
		c.send(`42/rooms,["join","`+room+`"]`, `42/rooms,["leave","`+room+`"]`)
		want := []string{"created", "joined", "left", "deleted"}
		for len(want) > 0 {
			got := c.next()
			if !strings.Contains(got, room) {
				continue // of the socket's own room
			}
			if got != fmt.Sprintf(`42/rooms,["room",%q,%q]`, want[0], room) {
				t.Fatalf("got %s, want %s", got, want[0])
			}
			want = want[1:]
		}
	}},
	{"S6", "instances send each other messages and get answers", func(t *testing.T, w *world) {
		s := w.with(t, "--log-level", "warn") // a broker of its own
		second := w.another(t, s)
		c := s.connected(t)
		c.send(`421["server side","hi"]`)
		c.want(`431[{"answers":[["hi"]],"missing":0}]`)
		second.Kill()
	}},
}
