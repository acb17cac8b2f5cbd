// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
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
	// the rows use no characters beyond the first plane, but where they say so
	units := []rune(payload)
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
