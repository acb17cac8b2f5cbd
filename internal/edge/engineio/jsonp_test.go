// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

func allowJSONP(o *Options) { o.AllowEIO3, o.AllowJSONP = true, true }

// script reads what an answer by JSONP calls the function with.
func (w *world) script(r reply, index string) string {
	w.t.Helper()
	literal, found := strings.CutPrefix(r.body, "___eio["+index+"](")
	literal, ended := strings.CutSuffix(literal, ");")
	var payload string
	if err := json.Unmarshal([]byte(literal), &payload); r.status != 200 || !found || !ended || err != nil {
		w.t.Fatalf("no script: %+v, %v", r, err)
	}
	if h := r.header; h.Get("Content-Type") != "text/javascript; charset=UTF-8" || h.Get("X-Content-Type-Options") != "nosniff" {
		w.t.Fatalf("got %v", r.header)
	}
	return payload
}

// openJSONP opens a session by JSONP.
func (w *world) openJSONP(base string) *poller {
	w.t.Helper()
	payload := w.script(w.do("GET", base, ""), "7")
	if _, packet, found := strings.Cut(payload, ":0"); found && strings.Contains(base, "EIO=3") {
		payload = "0" + packet
	}
	sid := parseOpen(w.t, payload).SID
	return &poller{w, sid, w.recorder(sid), base}
}

// Both revisions go by scripts and forms, with binary messages as base64.
func TestSession_JSONP(t *testing.T) {
	for base, c := range map[string]struct{ body, answer string }{
		"EIO=4&transport=polling&j=7":       {"4a \u2028\u2029<&+%\x1ebAQI=", "4a \u2028\u2029<&+%\x1ebAQI="},
		"EIO=3&transport=polling&b64=1&j=7": {"9:4a \u2028\u2029<&+%6:b4AQI=", "9:4a \u2028\u2029<&+%6:b4AQI="},
		"EIO=3&transport=polling&j=7":       {"3:4😀6:b4AQI=", "3:4😀6:b4AQI="},
	} {
		t.Run(base, func(t *testing.T) {
			w := newWorld(t, allowJSONP)
			p := w.openJSONP(base)
			r := p.post("x=y&d="+url.QueryEscape(c.body), "Content-Type: application/x-www-form-urlencoded")
			p.want(r, 200, "ok")
			if got := r.header.Get("Content-Type"); got != "text/html" {
				t.Errorf("Content-Type %q", got)
			}
			r = p.get()
			if got := p.script(r, "7"); got != c.answer {
				t.Errorf("got %q, want %q", got, c.answer)
			}
			if strings.ContainsAny(r.body, "\u2028\u2029<") {
				t.Errorf("not escaped: %q", r.body)
			}
		})
	}
}

// Line ends come escaped, and what looks like an escaped one with one backslash more.
func TestSession_JSONPLineEnds(t *testing.T) {
	w := newWorld(t, allowJSONP)
	p := w.openJSONP("EIO=4&transport=polling&j=7")
	for sent, want := range map[string]string{
		`a\nb`: "a\nb", `a\\nb`: `a\nb`, `a\\\nb`: `a\\nb`, `\n\n`: "\n\n", `\\n\n`: "\\n\n", `n\`: `n\`, `\t\\`: `\t\\`, `\"n\`: `\"n\`, "a\nb": "a\nb",
	} {
		p.want(p.post("d="+url.QueryEscape("4"+sent)), 200, "ok")
		if got := p.script(p.get(), "7"); got != "4"+want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

// An escape that is none is text, as with the reference server.
func TestSession_JSONPWrongEscape(t *testing.T) {
	w := newWorld(t, allowJSONP)
	p := w.openJSONP("EIO=4&transport=polling&j=7")
	p.want(p.post("d=4100%25%+%zz"), 200, "ok")
	if got := p.script(p.get(), "7"); got != "4100%% %zz" {
		t.Errorf("got %q", got)
	}
}

// A body that is no form with one payload closes.
func TestSession_JSONPParseError(t *testing.T) {
	w := newWorld(t, allowJSONP)
	for body, header := range map[string]string{
		"": "X: y", "4a": "X: y", "d": "X: y", "d=": "X: y", "e=4a": "X: y", "d=4a&d=4b": "X: y", "d=4%ff": "X: y",
		"d=4a": "Content-Type: application/octet-stream",
	} {
		p := w.openJSONP("EIO=4&transport=polling&j=7")
		p.want(p.post(body, header), 400, refused(3, "Bad request"))
		p.wantClosed(p.rec, sio.ReasonParseError)
	}
}

// Only a number names the function, and only where JSONP is allowed; it never says what comes back
// in a page's name.
func TestServer_AllowJSONP(t *testing.T) {
	w := newWorld(t, allowJSONP)
	for _, index := range []string{"", "0;alert(1)", "0%3Balert(1)", "-1", "a", "0](alert(1));___eio[0", "12345678901", "1&j=2", "٣"} {
		w.want(w.do("GET", "EIO=4&transport=polling&j="+index, ""), 400, refused(3, "Bad request"))
	}
	off := newWorld(t, allowEIO3)
	for _, eio := range []string{"3", "4"} {
		off.want(off.do("GET", "EIO="+eio+"&transport=polling&j=0", ""), 400, refused(3, "Bad request"))
	}
	off.want(off.do("GET", "EIO=5&transport=polling&j=0", ""), 400, refused(5, "Unsupported protocol version"))
	if off.obs.refused["jsonp"] != 2 || w.obs.refused["jsonp"] != 9 {
		t.Errorf("counted %v and %v", off.obs.refused, w.obs.refused)
	}
}

// A session that began by JSONP moves to a WebSocket like any other.
func TestSession_JSONPUpgrade(t *testing.T) {
	w := newWorld(t, allowJSONP)
	p := w.openJSONP("EIO=3&transport=polling&b64=1&j=7")
	waiting := p.begin()
	s, _, err := p.dialSocket("EIO=3&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.send("2probe")
	s.wantPackets("3probe")
	if got := p.script(<-waiting, "7"); got != "1:6" {
		t.Errorf("got %q", got)
	}
	s.send("5")
	s.sendBinary("\x04a")
	s.wantPackets("binary:\x04a")
}
