// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// P1, P2: a GET waits until a packet is queued, and gets all that is queued in one payload.
func TestSession_P1_P2_Get(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	answer := p.begin()
	select {
	case r := <-answer:
		t.Fatalf("did not wait: %+v", r)
	default:
	}
	p.rec.session.Queue(Message{Data: []byte("a €")}, Message{Data: []byte{1, 2, 3, 4}, Binary: true})
	p.rec.session.Queue(Message{Data: []byte("b")})
	p.rec.session.Flush()
	r := <-answer
	p.want(r, 200, "4a €\x1ebAQIDBA==\x1e4b")
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=UTF-8", "Content-Length": fmt.Sprint(len(r.body)), "Cache-Control": "no-store",
	} {
		if r.header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, r.header.Get(name), want)
		}
	}
	p.rec.session.Queue(Message{Data: []byte("c")})
	r = p.do("GET", p.query(), "", "User-Agent: Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko")
	p.want(r, 200, "4c")
	if r.header.Get("X-XSS-Protection") != "0" {
		t.Errorf("got %v", r.header)
	}
}

// P2: shared messages look the same as own ones.
func TestSession_P2_Shared(t *testing.T) {
	w := newWorld(t, nil)
	p, s := w.polling(), w.websocket()
	m := NewShared(Message{Data: []byte("x")}, Message{Data: []byte{0xff}, Binary: true})
	for range 2 {
		for _, session := range []*Session{p.rec.session, s.rec.session} {
			session.QueueShared(m)
			session.Flush()
		}
		p.want(p.get(), 200, "4x\x1eb/w==")
		s.wantPackets("4x", "binary:\xff")
	}
}

// What is queued is put into answers of about MaxPayload.
func TestSession_P1_LimitedPayload(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPayload = 100 })
	p := w.polling()
	long := strings.Repeat("x", 200)
	for _, data := range []string{long[:60], long[:30], long[:30], long} {
		p.rec.session.Queue(Message{Data: []byte(data)})
	}
	p.want(p.get(), 200, "4"+long[:60]+"\x1e4"+long[:30])
	p.want(p.get(), 200, "4"+long[:30])
	p.want(p.get(), 200, "4"+long)
}

// P3: a POST is answered "ok" once its messages are delivered, in order.
func TestSession_P3_Post(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	r := p.post("4a\x1ebAQI=\x1e4€")
	p.want(r, 200, "ok")
	if r.header.Get("Content-Type") != "text/html" {
		t.Errorf("got %v", r.header)
	}
	if got := p.rec.got(); fmt.Sprintf("%q", got) != `["a" "\x01\x02" "€"]` {
		t.Errorf("got %q", got)
	}
	p.want(p.get(), 200, "4a\x1ebAQI=\x1e4€")
}

// P3: the body may come in chunks that split a character.
func TestSession_P3_Chunked(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	r, w2 := io.Pipe()
	go func() {
		for _, b := range []byte("4€😀") {
			w2.Write([]byte{b})
		}
		w2.Close()
	}()
	got, err := p.try("POST", p.query(), r)
	if err != nil {
		t.Fatal(err)
	}
	p.want(got, 200, "ok")
	p.want(p.get(), 200, "4€😀")
}

// P4, P6, H5, H6: what cannot be read is refused, nothing of it is delivered, and the session ends.
func TestSession_P4_P6_BadPayloads(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct{ body, header string }{
		"P4 H6 octet-stream":       {"4a", "Content-Type: application/octet-stream"},
		"P6 abc":                   {"abc", ""},
		"P6 empty":                 {"", ""},
		"P6 bad after good":        {"4a\x1eabc", ""},
		"H5 bad base64":            {"b****", ""},
		"H5 UTF-8":                 {"4\xff", ""},
		"H5 UTF-8 over a boundary": {"4\xc3\x1e4\xa9", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.polling()
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			p.want(p.post(c.body, headers...), 400, refused(3, "Bad request"))
			p.wantClosed(p.rec, sio.ReasonParseError)
			p.want(p.get(), 400, refused(1, "Session ID unknown"))
			if got := p.rec.got(); len(got) > 0 {
				t.Errorf("delivered %q", got)
			}
		})
	}
}

// P12: a GET that waits while the session ends by a fault is answered with a close packet.
func TestSession_P12_PendingGetOnFault(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	answer := p.begin()
	p.want(p.post("abc"), 400, refused(3, "Bad request"))
	p.want(<-answer, 200, "1")
}

// H1, H2: too many packets are refused before any is looked at, and the browser learns the
// limit; a GET that waits ends, too.
func TestSession_H1_H2_TooManyPackets(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPacketsPerPayload = 1000 })
	for name, body := range map[string]string{
		"H1 pings": strings.Repeat("\x1e2", 490_000)[1:], "H2 empty": strings.Repeat("\x1e", 900_000), "one more": strings.Repeat("\x1e6", 1001)[1:],
	} {
		t.Run(name, func(t *testing.T) {
			p := w.polling()
			answer := p.begin()
			p.want(p.post(body), 400, refused(3, "The body holds more packets than the setting max-packets-per-payload allows (1000)"))
			p.want(<-answer, 200, "1")
			p.wantClosed(p.rec, sio.ReasonParseError)
			p.want(p.get(), 400, refused(1, "Session ID unknown"))
		})
	}
	p := w.polling()
	p.want(p.post(strings.Repeat("\x1e6", 1000)[1:]), 200, "ok")
	p.wantUsable()
}

// P5, H3: a body over MaxPayload is refused before it is read, and the session ends with its own
// reason.
func TestSession_P5_H3_TooLarge(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPayload, o.ExplainTooLarge = 1000, true })
	p := w.polling()
	p.want(p.post("4"+strings.Repeat("x", 999)), 200, "ok")
	body := refused(3, "The body or message is larger than the setting max-payload allows (1000 bytes)")
	p.want(p.post("4"+strings.Repeat("x", 1000)), 413, body)
	p.wantClosed(p.rec, sio.ReasonPayloadTooLarge)

	p = w.polling()
	r, err := p.try("POST", p.query(), io.MultiReader(strings.NewReader("4"), bytes.NewReader(make([]byte, 1000))))
	if err != nil {
		t.Fatal(err)
	}
	p.want(r, 413, body)
	p.wantClosed(p.rec, sio.ReasonPayloadTooLarge)

	p = w.polling()
	response, _ := p.raw("POST /engine.io/?" + p.query() + " HTTP/1.1\r\nHost: " + p.address + "\r\nContent-Length: 100000000\r\n\r\n4")
	if response.StatusCode != 413 || !response.Close {
		t.Errorf("announced: got %v", response)
	}
	p.wantClosed(p.rec, sio.ReasonPayloadTooLarge)
}

// P7, H4 of heartbeats: in revision 4 only servers ping. H17: pongs that nobody asked for change
// nothing, nor do packets out of place.
func TestSession_P7_H17_Packets(t *testing.T) {
	w := newWorld(t, nil)
	for _, ping := range []string{"2", "2probe"} {
		p := w.polling()
		p.want(p.post(ping), 200, "ok")
		p.wantClosed(p.rec, sio.ReasonTransportError)
	}
	p := w.polling()
	p.want(p.post("3\x1e0{}\x1e5\x1e6\x1e3probe"+strings.Repeat("\x1e3", 900)), 200, "ok")
	p.wantUsable()
}

// P8, H7: of two GETs at once the first is answered with a close packet, the second refused.
func TestSession_P8_TwoGets(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	first := p.begin()
	p.want(p.get(), 400, "")
	p.want(<-first, 200, "1")
	p.wantClosed(p.rec, sio.ReasonTransportError)
	p.want(p.get(), 400, refused(1, "Session ID unknown"))
}

// P9, H7: two POSTs at once end the session; their packets do not mix.
func TestSession_P9_TwoPosts(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	inside, release := make(chan struct{}), make(chan struct{})
	p.rec.hold = func(string) {
		close(inside)
		<-release
	}
	first := make(chan reply, 1)
	go func() {
		r, _ := p.try("POST", p.query(), strings.NewReader("4a\x1e4b"))
		first <- r
	}()
	<-inside
	p.want(p.post("4c"), 400, "")
	close(release)
	<-first
	p.wantClosed(p.rec, sio.ReasonTransportError)
	if got := p.rec.got(); len(got) != 1 {
		t.Errorf("delivered %q", got)
	}
}

// P10: the browser's own close.
func TestSession_P10_ClientCloses(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	answer := p.begin()
	p.want(p.post("4bye\x1e1\x1e4late"), 200, "ok")
	r := <-answer
	for r.body != "6" {
		if r.body != "4bye" { // the echo may have left before
			t.Fatalf("got %+v", r)
		}
		break
	}
	p.wantClosed(p.rec, sio.ReasonTransportClose)
	p.want(p.get(), 400, refused(1, "Session ID unknown"))
	if got := p.rec.got(); fmt.Sprint(got) != "[bye]" {
		t.Errorf("delivered %q", got)
	}

	p = w.polling()
	answer = p.begin()
	p.want(p.post("1"), 200, "ok")
	p.want(<-answer, 200, "6")

	p = w.polling()
	p.want(p.post("1"), 200, "ok")
	p.want(p.get(), 400, refused(1, "Session ID unknown"))
}

// P10: a close that overtakes the GET that was sent before it waits for it a moment.
func TestSession_P10_Overtaken(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		p := w.polling()
		posted := make(chan reply, 1)
		go func() {
			r, _ := p.try("POST", p.query(), strings.NewReader("1"))
			posted <- r
		}()
		p.wantClosed(p.rec, sio.ReasonTransportClose)
		p.want(p.get(), 200, "6")
		p.want(<-posted, 200, "ok")
		p.want(p.get(), 400, refused(1, "Session ID unknown"))
	})
}

// P11: the browser goes while a GET waits. A header that says that the connection will close is no
// such thing.
func TestSession_P11_Drop(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /engine.io/?%s HTTP/1.1\r\nHost: %s\r\n\r\n", p.query(), p.address)
	p.until("a GET waits", func() bool { return p.rec.session.Writable() })
	conn.Close()
	p.wantClosed(p.rec, sio.ReasonTransportError)

	p = w.polling()
	p.post("4x")
	p.want(p.do("GET", p.query(), "", "Connection: close"), 200, "4x")
	p.wantUsable()
}

// P12, P13: a close of this side waits until GETs have got what was queued before, and has an
// answer of its own, since clients in JavaScript drop messages that come with it; then the session
// is gone.
func TestSession_P12_P13_ServerCloses(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	p.rec.session.Queue(Message{Data: []byte("last")})
	p.rec.session.Close(sio.ReasonForcedServerClose)
	p.rec.session.Close(sio.ReasonTransportError)
	p.wantClosed(p.rec, sio.ReasonForcedServerClose)
	p.rec.session.Queue(Message{Data: []byte("late")})
	p.want(p.post("4late"), 200, "ok")
	p.want(p.get(), 200, "4last")
	p.want(p.get(), 200, "1")
	p.want(p.get(), 400, refused(1, "Session ID unknown"))
	if got := p.rec.got(); len(got) > 0 {
		t.Errorf("delivered %q", got)
	}

	p = w.polling()
	answer := p.begin()
	p.rec.session.Close(sio.ReasonForcedServerClose)
	p.want(<-answer, 200, "1")
	p.want(p.get(), 400, refused(1, "Session ID unknown"))
}

// P12: nobody comes for the close: after CloseTimeout it is dropped.
func TestSession_P12_CloseTimeout(t *testing.T) {
	inBubble(t, func(o *Options) { o.CloseTimeout = 30 * time.Second }, func(t *testing.T, w *world) {
		p := w.polling()
		p.rec.session.Close(sio.ReasonForcedServerClose)
		time.Sleep(29 * time.Second)
		if w.engine.session(sio.SessionID(p.sid)) == nil {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Second)
		p.want(p.get(), 400, refused(1, "Session ID unknown"))
	})
}

// H4: a body that drips is given up after BodyTimeout.
func TestSession_H4_SlowBody(t *testing.T) {
	inBubble(t, func(o *Options) { o.BodyTimeout = 5 * time.Second }, func(t *testing.T, w *world) {
		p := w.polling()
		body, feed := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := feed.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		begin := time.Now()
		r, err := p.try("POST", p.query(), body)
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("took %v", took)
		}
		if err == nil {
			p.want(r, 408, refused(3, "The body did not come within the time of the setting body-timeout"))
		}
		body.Close()
		<-done
		p.wantClosed(p.rec, sio.ReasonTransportError)
	})
}

// H4: a browser that asks and never reads the answer loses its session after WriteTimeout, and its
// connection.
func TestSession_H4_NeverRead(t *testing.T) {
	inBubble(t, func(o *Options) { o.WriteTimeout = 5 * time.Second }, func(t *testing.T, w *world) {
		p := w.polling()
		p.rec.session.Queue(Message{Data: bytes.Repeat([]byte("x"), 100_000)})
		conn, err := w.dialer.NetDialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /engine.io/?"+p.query()+" HTTP/1.1\r\nHost: x\r\n\r\n")
		begin := time.Now()
		p.wantClosed(p.rec, sio.ReasonSlowConsumer)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A receiver that blocks is back-pressure: the POST is answered late.
func TestSession_BackPressure(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	release := make(chan struct{})
	p.rec.hold = func(string) { <-release }
	answered := make(chan reply, 1)
	go func() {
		r, _ := p.try("POST", p.query(), strings.NewReader("4a"))
		answered <- r
	}()
	p.until("the receiver is called", func() bool { return p.rec.session.receiving.Load() })
	select {
	case r := <-answered:
		t.Fatalf("answered early: %+v", r)
	default:
	}
	close(release)
	p.want(<-answered, 200, "ok")
}

// A polling browser that does not come for its packets costs MaxOutbound at most.
func TestSession_SlowPolling(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxOutbound = 10_000 })
	p := w.polling()
	for range 20 {
		p.rec.session.Queue(Message{Data: make([]byte, 1000), Binary: true})
	}
	p.wantClosed(p.rec, sio.ReasonSlowConsumer)
	p.want(p.get(), 400, refused(1, "Session ID unknown"))
}

// Done wakes a receiver that blocks, and Closed still comes after its Message has returned.
func TestSession_Done(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	p.rec.hold = func(string) { <-p.rec.session.Done() }
	go p.try("POST", p.query(), strings.NewReader("4a"))
	p.until("the receiver is called", func() bool { return p.rec.session.receiving.Load() })
	p.rec.session.Close(sio.ReasonForcedServerClose)
	p.wantClosed(p.rec, sio.ReasonForcedServerClose)
	<-p.rec.session.Done()
}

// A GET that waits is answered when its way is about to end, and loses nothing; one that does not
// wait is left alone.
func TestSession_Wake(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	w.engine.Wake("nobody")
	w.engine.Wake(p.rec.session.ID())
	answer := p.begin()
	w.engine.Wake(p.rec.session.ID())
	p.want(<-answer, 200, "6")
	p.rec.session.Queue(Message{Data: []byte("a")})
	w.engine.Wake(p.rec.session.ID())
	p.want(p.get(), 200, "4a")
	s := w.websocket()
	w.engine.Wake(s.rec.session.ID())
	s.rec.session.Queue(Message{Data: []byte("b")})
	s.rec.session.Flush()
	s.wantPackets("4b")
	w.wantOpen(p.rec)
}
