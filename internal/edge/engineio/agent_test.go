// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// Clients in Python must be known by what their HTTP libraries send, or by the cache buster; all
// others must not be taken for them.
func TestServer_PacketLimited(t *testing.T) {
	libraries := DefaultOptions().PacketLimitedAgents
	for _, c := range []struct {
		limited []string
		agent   string
		query   string
		want    bool
	}{
		{libraries, "python-requests/2.34.2", "t=x", true},
		{libraries, "Python/3.11 aiohttp/3.14.5", "", true},
		{libraries, "OurApp", "t=1764535370.1234567", true},
		{libraries, "", "t=1764535370.1", true},
		{libraries, "", "", false},
		{libraries, "python-httpx/0.28", "", false}, // no client of Socket.IO
		{libraries, "Python-urllib/3.11", "", false},
		{libraries, "Mozilla/5.0", "t=PfX0abc", false},
		{libraries, "Mozilla/5.0", "t=PfX0abc.1", false},
		{libraries, "okhttp/4", "t=1764535370", false},
		{libraries, "okhttp/4", "t=.1", false},
		{libraries, "okhttp/4", "t=1.", false},
		{libraries, "okhttp/4", "t=1.2.3", false},
		{[]string{"OurApp"}, "the ourapp/2", "", true},
		{[]string{"OurApp"}, "python-requests/2", "", false},
		{[]string{"*"}, "", "", true},
		{nil, "python-requests/2", "t=1.1", false},
	} {
		s := &Server{o: Options{MaxPacketsPerAnswer: 2, PacketLimitedAgents: c.limited}}
		r := httptest.NewRequest("GET", "/?"+c.query, nil)
		r.Header.Set("User-Agent", c.agent)
		if got := s.packetLimited(r); got != c.want {
			t.Errorf("%q with %q and %q: %v", c.limited, c.agent, c.query, got)
		}
		for waiting, want := range map[int]int{0: 0, 2: 2, 3: 2} {
			if !c.want {
				want = waiting
			}
			if got := s.mostPackets(r, waiting); got != want {
				t.Errorf("%q with %q: %d of %d packets", c.limited, c.agent, got, waiting)
			}
		}
	}
}

// Everything that waits must come in one answer, up to MaxPayload bytes as they are written: base64
// counts as such.
func TestSession_P1_WholeQueue(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPayload = 10_000 })
	p := w.polling()
	queue := func(m Message, n int) {
		for range n {
			p.rec.session.Queue(m)
		}
		p.rec.session.Flush()
	}
	queue(Message{Data: []byte("123")}, 500)
	if n := len(strings.Split(p.get().body, "\x1e")); n != 500 {
		t.Errorf("%d of 500 packets came in one answer", n)
	}
	queue(Message{Data: make([]byte, 900), Binary: true}, 20)
	for got := 0; got < 20; {
		body := p.get().body
		if len(body) > 10_000 {
			t.Errorf("an answer of %d bytes", len(body))
		}
		got += strings.Count(body, "b")
	}
	queue(Message{Data: make([]byte, 20_000)}, 2)
	for range 2 {
		if n := len(p.get().body); n != 20_001 {
			t.Errorf("a large packet came in an answer of %d bytes", n)
		}
	}
}
