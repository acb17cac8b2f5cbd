// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
	"github.com/spanwire/spanwire/internal/sio"
)

// wantExplained reads the close with its code and text.
func (s *socket) wantExplained(code int, text string) {
	s.t.Helper()
	_, data, err := s.conn.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Text != text {
		s.t.Fatalf("got %.200q %v, want %d %s", data, err, code, text)
	}
}

func explaining(o *Options) { o.ExplainTooLarge = true }

// Unless it is asked for, sizes are not explained: clients' suites expect an empty body and an
// empty text.
func TestSession_CloseWith_Size(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPayload = 1000 })
	s := w.websocket()
	s.rec.session.CloseWith(sio.ReasonForcedClose, LimitSize, "more than the setting allows", nil)
	s.wantExplained(1009, "")
	s = w.websocket()
	s.send("4" + strings.Repeat("x", 1000))
	s.wantExplained(1009, "")
	s.wantClosed(s.rec, sio.ReasonPayloadTooLarge)
	p := w.polling()
	p.want(p.post("4"+strings.Repeat("x", 1000)), 413, "")
	p.wantClosed(p.rec, sio.ReasonPayloadTooLarge)
	p = w.polling()
	p.rec.hold = func(string) { p.rec.session.CloseWith(sio.ReasonForcedClose, LimitSize, "too much", nil) }
	r := p.post("4x")
	p.want(r, 413, "")
	if r.header.Get("Content-Type") != "" || r.header.Get("Content-Length") != "0" {
		t.Errorf("the empty answer has the header %v", r.header)
	}
}

// On WebSocket the close frame carries the explanation after what was queued, with the code of the
// kind of limit.
func TestSession_CloseWith_WebSocket(t *testing.T) {
	w := newWorld(t, explaining)
	for limit, code := range map[Limit]int{LimitCount: 1008, LimitRate: 1008, LimitSize: 1009} {
		s := w.websocket()
		s.rec.session.Queue(Message{Data: []byte("last")})
		s.rec.session.CloseWith(sio.ReasonForcedClose, limit, "more than the setting allows", nil)
		s.wantPackets("4last")
		s.wantExplained(code, "more than the setting allows")
		s.wantClosed(s.rec, sio.ReasonForcedClose)
	}
	long := strings.Repeat("x", 122) + "€"
	s := w.websocket()
	s.rec.session.CloseWith(sio.ReasonForcedClose, LimitCount, long, nil)
	s.wantExplained(1008, long[:122])
}

// A text that fits is left alone, another is cut between characters.
func TestCloseText(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", 123), strings.Repeat("x", 200), strings.Repeat("€", 100)} {
		got := closeText(text)
		if !utf8.ValidString(got) || len(got) > 123 || !strings.HasPrefix(text, got) || len(text) <= 123 && got != text {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

// The POST whose packet passed the limit is answered with the explanation, and a GET that waits
// ends after it.
func TestSession_CloseWith_Post(t *testing.T) {
	for limit, status := range map[Limit]int{LimitCount: 400, LimitRate: 429, LimitSize: 413} {
		w := newWorld(t, explaining)
		p := w.polling()
		answer := p.begin()
		p.rec.hold = func(string) {
			p.rec.session.CloseWith(sio.ReasonForcedClose, limit, "too much", nil)
			select {
			case r := <-answer:
				t.Errorf("the GET was answered before the POST: %+v", r)
			default:
			}
		}
		p.want(p.post("4a\x1e4b"), status, refused(3, "too much"))
		p.want(<-answer, 200, "1")
		p.wantClosed(p.rec, sio.ReasonForcedClose)
		if got := p.rec.got(); len(got) != 1 {
			t.Errorf("delivered %q", got)
		}
		p.want(p.get(), 400, refused(1, "Session ID unknown"))
	}
}

// A GET that comes between the end and the moment after the POST's answer ends after it, too,
// which side ended the session.
func TestSession_CloseWith_LateGet(t *testing.T) {
	inBubble(t, func(o *Options) { o.MaxPayload, o.ExplainTooLarge = 100, true }, func(t *testing.T, w *world) {
		p := w.polling()
		p.rec.hold = func(string) { p.rec.session.CloseWith(sio.ReasonForcedClose, LimitCount, "too much", nil) }
		p.want(p.post("4a"), 400, refused(3, "too much"))
		begin := time.Now()
		p.want(p.get(), 200, "1")
		if took := time.Since(begin); took != closeGrace {
			t.Errorf("after %v", took)
		}
		p.want(p.get(), 400, refused(1, "Session ID unknown"))

		p = w.polling()
		p.want(p.post("4"+strings.Repeat("x", 100)), 413, refused(3, "The body or message is larger than the setting max-payload allows (100 bytes)"))
		p.want(p.get(), 200, "1")
		p.want(p.get(), 400, refused(1, "Session ID unknown"))

		p = w.polling()
		p.post("4" + strings.Repeat("x", 100))
		time.Sleep(2 * closeGrace)
		p.want(p.get(), 400, refused(1, "Session ID unknown"))
	})
}

// Without a POST the GET is answered with the explanation, whether it waits or comes later, but not
// in place of packets.
func TestSession_CloseWith_Get(t *testing.T) {
	w := newWorld(t, nil)
	waits := w.polling()
	answer := waits.begin()
	waits.rec.session.CloseWith(sio.ReasonForcedClose, LimitCount, "too much", nil)
	w.want(<-answer, 400, refused(3, "too much"))

	later := w.polling()
	later.rec.session.CloseWith(sio.ReasonForcedClose, LimitCount, "too much", nil)
	w.want(later.get(), 400, refused(3, "too much"))
	w.want(later.get(), 400, refused(1, "Session ID unknown"))

	full := w.polling()
	full.rec.session.Queue(Message{Data: []byte("last")})
	full.rec.session.CloseWith(sio.ReasonForcedClose, LimitCount, "too much", nil)
	w.want(full.get(), 200, "4last")
	w.want(full.get(), 400, refused(3, "too much"))
}

// A session that is probing a WebSocket ends as one on polling.
func TestSession_CloseWith_DuringUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	s := p.probing()
	s.send("2probe")
	s.wantPackets("3probe")
	p.rec.session.CloseWith(sio.ReasonForcedClose, LimitCount, "too much", nil)
	s.wantClose(1005)
	p.want(p.get(), 400, refused(3, "too much"))
}

// A session may send twice the rate at once and then as much as the rate; one more closes it, and
// says why.
func TestSession_PacketRate(t *testing.T) {
	const text = "more packets per second than the setting max-packet-rate allows"
	inBubble(t, func(o *Options) { o.MaxPacketRate = 10 }, func(t *testing.T, w *world) {
		p := w.polling()
		for range 3 {
			p.want(p.post(strings.Repeat("\x1e6", 20)[1:]), 200, "ok")
			time.Sleep(2 * time.Second)
		}
		p.want(p.post(strings.Repeat("\x1e6", 21)[1:]), 429, refused(3, text))
		p.wantClosed(p.rec, sio.ReasonTooManyPackets)

		s := w.websocket()
		for range 20 {
			s.send("6")
		}
		time.Sleep(100 * time.Millisecond)
		s.send("6", "6")
		s.wantExplained(wsconn.CodePolicy, text)
		s.wantClosed(s.rec, sio.ReasonTooManyPackets)
	})
}

// A replica with all its sessions tells new ones to come later, by HTTP on both transports; one
// that ends makes room.
func TestServer_MaxSessions(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxSessions = 2 })
	p, s := w.polling(), w.websocket()
	full := "This server has as many sessions as its setting max-sessions allows"
	r := w.do("GET", "EIO=4&transport=polling", "")
	w.want(r, 503, refused(4, full))
	if r.header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After in %v", r.header)
	}
	_, response, err := w.dialSocket("EIO=4&transport=websocket", nil)
	if err == nil || response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("got %v %v", response, err)
	}
	if w.obs.refused["sessions"] != 2 {
		t.Errorf("counted %v", w.obs.refused)
	}
	p.wantUsable()
	s.conn.Close()
	s.wantClosed(s.rec, sio.ReasonTransportClose)
	w.until("there is room", func() bool { return w.do("GET", "EIO=4&transport=polling", "").status == 200 })
}

// A handshake that fails takes no room.
func TestServer_MaxSessions_FailedHandshake(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxSessions, o.MaxSessionsPerAddress = 1, 1 })
	for range 3 {
		response, _ := w.raw("GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: " + w.address +
			"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n\r\n")
		if response.StatusCode != 400 {
			t.Fatal(response.Status)
		}
	}
	w.websocket()
}

// The bound for one address leaves others alone; an IPv6 network of 64 bits counts as one address.
func TestServer_MaxSessionsPerAddress(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.MaxSessionsPerAddress, o.TrustedProxies = 1, prefixes("127.0.0.0/8")
	})
	for _, c := range []struct {
		address string
		status  int
	}{
		{"192.0.2.1", 200}, {"192.0.2.1", 503}, {"::ffff:192.0.2.1", 503}, {"192.0.2.2", 200},
		{"2001:db8::1", 200}, {"2001:db8::2", 503}, {"2001:db8:0:1::1", 200},
	} {
		if r := w.do("GET", "EIO=4&transport=polling", "", "X-Forwarded-For: "+c.address); r.status != c.status {
			t.Errorf("%s: got %+v", c.address, r)
		}
	}
	if w.obs.refused["sessions of address"] != 3 {
		t.Errorf("counted %v", w.obs.refused)
	}
	w.recorders.Range(func(_, r any) bool {
		r.(*recorder).session.end(sio.ReasonTransportClose, endAbort)
		return true
	})
	if r := w.do("GET", "EIO=4&transport=polling", "", "X-Forwarded-For: 192.0.2.1"); r.status != 200 {
		t.Errorf("after the end: got %+v", r)
	}
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	if len(w.engine.room.addresses) != 1 || w.engine.room.opening != 0 {
		t.Errorf("left: %+v", w.engine.room)
	}
}

// A cookie is on the first answer of a session alone, on both transports, and is the session's id.
func TestServer_C6_Cookie(t *testing.T) {
	w := newWorld(t, nil)
	if r := w.do("GET", "EIO=4&transport=polling", ""); r.header.Get("Set-Cookie") != "" {
		t.Errorf("without a name: %v", r.header)
	}
	for want, change := range map[string]func(*Cookie){
		"io=SID; Path=/; HttpOnly; SameSite=Lax": func(*Cookie) {},
		"io=SID; Path=/x; Domain=a.test; Max-Age=60; Secure; SameSite=None": func(c *Cookie) {
			c.Path, c.Domain, c.MaxAge, c.Secure, c.SameSite, c.HTTPOnly = "/x", "a.test", time.Minute, true, http.SameSiteNoneMode, false
		},
		"io=SID; SameSite=Strict": func(c *Cookie) { c.Path, c.SameSite, c.HTTPOnly = "", http.SameSiteStrictMode, false },
		"io=SID":                  func(c *Cookie) { c.Path, c.SameSite, c.HTTPOnly = "", 0, false },
	} {
		w := newWorld(t, func(o *Options) {
			o.Cookie.Name = "io"
			change(&o.Cookie)
		})
		r := w.do("GET", "EIO=4&transport=polling", "")
		sid := parseOpen(t, r.body).SID
		if got := r.header["Set-Cookie"]; len(got) != 1 || got[0] != strings.Replace(want, "SID", sid, 1) {
			t.Errorf("got %q, want %q", got, want)
		}
		p := &poller{w, sid, w.recorder(sid), "EIO=4&transport=polling"}
		if r := p.post("4x"); r.header.Get("Set-Cookie") != "" {
			t.Errorf("on a later answer: %v", r.header)
		}
		s, response, err := w.dialSocket("EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, data, _ := s.conn.ReadMessage()
		sid = parseOpen(t, string(data)).SID
		if got := response.Header["Set-Cookie"]; len(got) != 1 || got[0] != strings.Replace(want, "SID", sid, 1) {
			t.Errorf("websocket: got %q, want %q", got, want)
		}
		if r := w.do("GET", "EIO=4&transport=websocket", "", "Connection: Upgrade", "Upgrade: websocket"); r.status != 400 || r.header.Get("Set-Cookie") != "" {
			t.Errorf("refused: %+v", r)
		}
	}
}

// H21: what would let a value out of its place is no cookie, nor is what browsers throw away.
func TestCookie_H21_Validate(t *testing.T) {
	for name, change := range map[string]func(*Cookie){
		"line end in the name":   func(c *Cookie) { c.Name = "io\r\nX-Evil: 1" },
		"space in the name":      func(c *Cookie) { c.Name = "i o" },
		"line end in the path":   func(c *Cookie) { c.Path = "/\r\nX-Evil: 1" },
		"semicolon in the path":  func(c *Cookie) { c.Path = "/;Secure" },
		"line end in the domain": func(c *Cookie) { c.Domain = "a.test\r\n" },
		"no domain":              func(c *Cookie) { c.Domain = "-" },
		"negative age":           func(c *Cookie) { c.MaxAge = -time.Second },
		"half a second":          func(c *Cookie) { c.MaxAge = time.Second / 2 },
		"none without secure":    func(c *Cookie) { c.SameSite = http.SameSiteNoneMode },
	} {
		o := DefaultOptions()
		o.Cookie.Name = "io"
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&o.Cookie)
		if o.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
