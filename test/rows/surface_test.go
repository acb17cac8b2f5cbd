// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"strings"
	"testing"
)

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
