// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

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
	{"R8", "events carry no offsets where recovery is off", func(t *testing.T, w *world) {
		c := w.with(t).connected(t)
		c.send(`42["reflect",1]`)
		c.want(`42["reflected",1]`)
	}},
}
