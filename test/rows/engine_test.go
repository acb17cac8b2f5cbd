// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refusedWith expects an answer of the table of errors.
func refusedWith(t *testing.T, a answer, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("answered %d %q %s, want %d %s", a.status, a.header.Get("Content-Type"), a.body, status, body)
	}
}

const (
	unknownTransport = `{"code":0,"message":"Transport unknown"}`
	unknownSession   = `{"code":1,"message":"Session ID unknown"}`
	badMethod        = `{"code":2,"message":"Bad handshake method"}`
	badRequest       = `{"code":3,"message":"Bad request"}`
	badVersion       = `{"code":5,"message":"Unsupported protocol version"}`
)

var sessionID = regexp.MustCompile(`^[A-Za-z0-9_-]{20,}$`)

var handshakeRows = []row{
	{"E1", "only the configured paths are served, exactly", func(t *testing.T, w *world) {
		s := w.with(t, "--path", "/socket.io/,/chat/")
		for path, want := range map[string]int{
			"/socket.io/?": 200, "/chat/?": 200, "/socket.io/anything?": 404, "/other/?": 404, "/socket.io?": 404,
		} {
			if a := s.doAt(t, "GET", path+polling4, nil); a.status != want {
				t.Errorf("%s was answered %d, want %d", path, a.status, want)
			}
		}
	}},
	{"E2", "further query keys reach the handler, the cache buster does no harm", func(t *testing.T, w *world) {
		c := w.with(t).mustDial(t, websocket4+"&token=abc&t=x1")
		c.send("40")
		c.want("0{*", "40{*")
		c.send(`421["handshake"]`)
		if got := c.next(); !strings.Contains(got, "token=abc") {
			t.Errorf("the handler sees %s", got)
		}
	}},
	{"E3", "any revision but 4 is refused unless it is allowed, an absent one counts as 3", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, query := range []string{"EIO=3&transport=polling", "transport=polling", "EIO=5&transport=polling", "EIO=x&transport=polling"} {
			refusedWith(t, s.do(t, "GET", query, ""), 400, badVersion)
		}
	}},
	{"E4", "the open packet has all five keys", func(t *testing.T, w *world) {
		s := w.with(t)
		for transport, upgrades := range map[string]int{"polling": 1, "websocket": 0} {
			var open openData
			if transport == "polling" {
				open = s.polling(t).open
			} else {
				open = s.websocket(t).open
			}
			if len(open.Upgrades) != upgrades || open.PingInterval == nil || *open.PingInterval != 25000 ||
				*open.PingTimeout != 20000 || *open.MaxPayload != 1000000 {
				t.Errorf("%s: %+v", transport, open)
			}
		}
	}},
	{"E5", "session ids cannot be guessed and tell nothing of the socket's", func(t *testing.T, w *world) {
		s := w.with(t)
		seen := map[string]bool{}
		for range 20 {
			sid := s.polling(t).open.SID
			if !sessionID.MatchString(sid) || seen[sid] {
				t.Errorf("session id %q", sid)
			}
			seen[sid] = true
		}
		c := s.websocket(t)
		c.send("40")
		if got := c.next(); strings.Contains(got, c.open.SID) {
			t.Errorf("the socket's id is the session's: %s", got)
		}
	}},
	{"E6", "what is wrong is said in the order of the protocol", func(t *testing.T, w *world) {
		s := w.with(t)
		refusedWith(t, s.do(t, "POST", "EIO=3&transport=pigeon&sid=nope", ""), 400, unknownTransport)
		refusedWith(t, s.do(t, "POST", "EIO=3&transport=polling&sid=nope", ""), 400, unknownSession)
		refusedWith(t, s.do(t, "GET", "EIO=4&transport=websocket&sid="+s.polling(t).open.SID, ""), 400, badRequest)
		refusedWith(t, s.do(t, "POST", "EIO=3&transport=polling", ""), 400, badMethod)
		refusedWith(t, s.do(t, "GET", "EIO=3&transport=websocket", ""), 400, badRequest)
		refusedWith(t, s.do(t, "GET", "EIO=3&transport=polling", ""), 400, badVersion)
	}},
	{"E7", "a handshake is a GET", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			refusedWith(t, s.do(t, method, polling4, ""), 400, badMethod)
		}
		if a := s.do(t, "HEAD", polling4, ""); a.status != 400 {
			t.Errorf("HEAD was answered %d", a.status)
		}
	}},
	{"E8", "a session takes GET and POST only", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			if a := p.s.do(t, method, p.query, ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
				t.Errorf("%s was answered %d", method, a.status)
			}
		}
		p.alive()
	}},
	{"E9", "names that objects have are nothing special", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, name := range []string{"__proto__", "constructor", "toString"} {
			refusedWith(t, s.do(t, "GET", "EIO=4&transport="+name, ""), 400, unknownTransport)
			refusedWith(t, s.do(t, "GET", polling4+"&sid="+name, ""), 400, unknownSession)
		}
	}},
	{"E10", "no message comes with the open packet", func(t *testing.T, w *world) {
		if a := w.with(t).do(t, "GET", polling4, ""); strings.Contains(a.body, "\x1e") {
			t.Errorf("the handshake is %q", a.body)
		}
	}},
}

// waiting is a GET that has arrived and waits. The broker does not show it, but the system shows
// that it has read the request.
func (p *poller) waiting() chan answer {
	p.t.Helper()
	var client net.Addr
	wrote := make(chan struct{})
	trace := &httptrace.ClientTrace{
		GotConn:      func(info httptrace.GotConnInfo) { client = info.Conn.LocalAddr() },
		WroteRequest: func(httptrace.WroteRequestInfo) { close(wrote) },
	}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(p.t.Context(), trace), "GET", "http://"+p.s.broker.HTTP+"/socket.io/?"+p.query, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan answer, 1)
	go func() { // ends with the answer, or with the test
		a, err := send(r)
		if err != nil {
			a.body = err.Error()
		}
		done <- a
	}()
	select {
	case <-wrote:
	case a := <-done:
		p.t.Fatalf("answered before it was sent: %+v", a)
	}
	p.s.hasRead(p.t, client)
	time.Sleep(50 * time.Millisecond) // from there to where it waits
	return done
}

// hasRead waits until the broker has read what a client has written on its connection: then nothing
// is left in the system's queue.
func (s *server) hasRead(t *testing.T, client net.Addr) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.broker.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	local, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	// 127.0.0.1 of the broker and of the client, the state ESTABLISHED, bytes to be sent and to be
	// read.
	read := fmt.Sprintf(": 0100007F:%04X 0100007F:%04X 01 00000000:00000000 ", local, client.(*net.TCPAddr).Port)
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), read) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the broker does not read what %s sent", client)
		}
	}
}

// slowly gives its parts with a pause between them.
func slowly(parts ...string) io.Reader {
	r, w := io.Pipe()
	go func() { // ends when the parts are read, or the reader is closed
		for _, part := range parts {
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		_ = w.Close()
	}()
	return r
}

var pollingRows = []row{
	{"P1", "a GET waits for packets and takes all of them at once", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		get := p.waiting()
		select {
		case a := <-get:
			t.Fatalf("answered without a packet: %+v", a)
		default:
		}
		p.must("40")
		a := <-get
		h := a.header
		if a.status != 200 || !strings.HasPrefix(a.body, "40{") || h.Get("Content-Type") != "text/plain; charset=UTF-8" ||
			h.Get("Content-Length") != fmt.Sprint(len(a.body)) || h.Get("Cache-Control") != "no-store" {
			t.Errorf("answered %+v", a)
		}
		p.must("421[\"echo\",1]\x1e422[\"echo\",2]\x1e423[\"echo\",3]")
		p.want("431[1]", "432[2]", "433[3]")
		if a := p.s.do(t, "GET", polling4, "", "User-Agent", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0)"); a.header.Get("X-XSS-Protection") != "0" {
			t.Error("the old browser's filter is on")
		}
	}},
	{"P2", "packets are joined by a separator, binary ones are base64", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		p.must("451-7[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1ebAQIDBA==")
		p.want(`461-7[{"_placeholder":true,"num":0}]`, "bAQIDBA==")
	}},
	{"P3", "a POST is answered ok, however its body is cut", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		a := p.s.doAt(t, "POST", "/socket.io/?"+p.query, slowly("427[\"echo\",\"\xe2", "\x82\xac\xf0\x9f", "\x98\x80\"]"), "Content-Type", "text/plain")
		if a.status != 200 || a.body != "ok" || a.header.Get("Content-Type") != "text/html" {
			t.Errorf("answered %+v", a)
		}
		p.want(`437["€😀"]`)
	}},
	{"P4", "bytes are no body of revision 4", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		if a := p.post("40", "Content-Type", "application/octet-stream"); a.status != 400 {
			t.Errorf("answered %d", a.status)
		}
		p.get()
		p.gone()
	}},
	{"P5", "a body that is too large is refused, announced or not, and ends the session", func(t *testing.T, w *world) {
		s := w.with(t, small...)
		body := strings.Repeat("x", 200_000)
		p := s.polling(t)
		if a := p.post(body); a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("announced: answered %d", a.status)
		}
		p.get()
		p.gone()
		p = s.polling(t)
		a, err := s.try("POST", "/socket.io/?"+p.query, io.MultiReader(strings.NewReader(body)), "Content-Type", "text/plain")
		if err == nil && a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("chunked: answered %d", a.status)
		}
		p.get()
		p.gone()
	}},
	{"P6", "a packet that cannot be read ends the session", func(t *testing.T, w *world) {
		for _, body := range []string{"abc", "", "40\x1e"} {
			p := w.with(t).polling(t)
			if a := p.post(body); a.status != 400 {
				t.Errorf("%q was answered %d", body, a.status)
			}
			p.get()
			p.gone()
		}
	}},
	{"P7", "a browser does not ping; a pong that nobody asked for is nothing", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("3")
		p.alive()
		p.post("2")
		p.get()
		p.gone()
	}},
	{"P8", "two GETs at once end the session", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		first := p.waiting()
		if a := p.get(); a.status != 400 {
			t.Errorf("the second was answered %d", a.status)
		}
		if a := <-first; a.status != 200 || a.body != "1" {
			t.Errorf("the first was answered %d %q", a.status, a.body)
		}
		p.gone()
	}},
	{"P9", "two POSTs at once end the session", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		r, body := io.Pipe()
		first := make(chan int, 1)
		go func() { // ends with the body, or when it is refused
			a, _ := p.s.try("POST", "/socket.io/?"+p.query, r, "Content-Type", "text/plain")
			first <- a.status
		}()
		_, _ = io.WriteString(body, "40")
		// Before the first has arrived, a pong is taken that nobody asked for.
		a := p.post("3")
		for end := time.Now().Add(limit); a.status == 200 && time.Now().Before(end); {
			a = p.post("3")
		}
		if a.status != 400 {
			t.Errorf("the second was answered %d", a.status)
		}
		_ = body.Close()
		<-first
		p.get()
		p.gone()
	}},
	{"P10", "a browser's close ends the session, a GET that waits gets a noop", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		get := p.waiting()
		p.must("1")
		if a := <-get; a.status != 200 || a.body != "6" {
			t.Errorf("the GET was answered %d %q", a.status, a.body)
		}
		p.gone()
	}},
	{"P11", "a connection that breaks while a GET waits ends the session; a header alone does not", func(t *testing.T, w *world) {
		s := w.with(t)
		p := s.polling(t, "Connection", "close")
		p.must("40")
		p.want("40{*")
		raw := s.bare(t, "GET", p.query)
		time.Sleep(100 * time.Millisecond)
		_ = raw.Close()
		p.gone()
	}},
	{"P12", "a close without a GET waits for one", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		p.must(`42["kick",true]`)
		// mostly the handler has closed it then; if not, a GET waits, and the row proves less
		time.Sleep(100 * time.Millisecond)
		var got []string
		for !slices.Contains(got, "1") {
			got = append(got, p.next()...)
		}
		p.gone()
	}},
	{"P13", "what was sent before the server closes still arrives", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		p.must("42[\"burst\",5]\x1e42[\"kick\",true]")
		var got []string
		for len(got) == 0 || got[len(got)-1] != "1" {
			got = append(got, p.next()...)
		}
		want := []string{`42["burst",0]`, `42["burst",1]`, `42["burst",2]`, `42["burst",3]`, `42["burst",4]`, "41", "1"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	}},
	{"P14", "a body of exactly the announced size is taken", func(t *testing.T, w *world) {
		p := w.with(t, small...).polling(t)
		head, tail := `421["echo","`, `"]`
		p.must("40")
		p.want("40{*")
		p.must(head + strings.Repeat("x", *p.open.MaxPayload-len(head)-len(tail)) + tail)
		p.want("431[*")
	}},
	{"P15", "large answers are compressed for who takes that", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		text := strings.Repeat("compress me ", 500)
		for _, encoding := range []string{"gzip", "deflate", "gzip, deflate, br", "identity", "gzip;q=0"} {
			p.must(`421["echo","` + text + `"]`)
			a := p.get("Accept-Encoding", encoding)
			want := map[string]string{"gzip": "gzip", "deflate": "deflate", "gzip, deflate, br": "gzip"}[encoding]
			if a.header.Get("Content-Encoding") != want || (want != "") != (len(a.body) < len(text)/2) {
				t.Errorf("%s: answered %q with %d bytes", encoding, a.header.Get("Content-Encoding"), len(a.body))
			}
		}
		p.must(`421["echo","small"]`)
		if a := p.get("Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" {
			t.Error("a small answer is compressed")
		}
	}},
	{"P16", "many packets in one body are fine", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		p.must("40")
		p.want("40{*")
		packets := make([]string, 300)
		for i := range packets {
			packets[i] = fmt.Sprintf(`42%d["echo"]`, i)
		}
		p.must(strings.Join(packets, "\x1e"))
		for i := 0; i < len(packets); {
			for _, got := range p.next() {
				if want := fmt.Sprintf(`43%d[]`, i); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
				i++
			}
		}
	}},
}

var upgradeRows = []row{
	{"U1", "a probe is answered, and the upgrade moves the session", func(t *testing.T, w *world) {
		p, c := w.upgrading(t)
		c.send("5", "40")
		c.want("40{*")
		c.echo()
		_ = p
	}},
	{"U2", "a GET that waits while the browser tries the WebSocket gets a noop", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		get := p.waiting()
		c := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
		c.send("2probe")
		c.want("3probe")
		if a := <-get; a.status != 200 || a.body != "6" {
			t.Errorf("the GET was answered %d %q", a.status, a.body)
		}
	}},
	{"U3", "what is sent during the upgrade comes once and in order", func(t *testing.T, w *world) {
		p, c := w.upgrading(t)
		p.must("40")
		p.want("40{*")
		p.must(`42["burst",3]`)
		time.Sleep(100 * time.Millisecond)
		c.send("5", `421["echo",1]`)
		c.want(`42["burst",0]`, `42["burst",1]`, `42["burst",2]`, "431[1]")
	}},
	{"U4", "after the upgrade polling is over, and another WebSocket is closed", func(t *testing.T, w *world) {
		p, c := w.upgrading(t)
		second := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
		second.closed()
		c.send("5", "40")
		c.want("40{*")
		refusedWith(t, p.get(), 400, badRequest)
		refusedWith(t, p.post("3"), 400, badRequest)
		p.s.mustDial(t, websocket4+"&sid="+p.open.SID).closed()
		c.echo()
	}},
	{"U5", "a WebSocket that does not begin with a probe is closed, the session lives", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		c := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
		c.send("4hello")
		c.closed()
		p.alive()
	}},
	{"U6", "an upgrade that is not finished in time is given up, the session lives", func(t *testing.T, w *world) {
		p := w.with(t, "--upgrade-timeout", "1500ms").polling(t)
		c := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
		c.send("2probe")
		c.want("3probe")
		c.closed()
		p.alive()
	}},
	{"U7", "an upgrade without a probe is taken", func(t *testing.T, w *world) {
		p := w.with(t).polling(t)
		c := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
		c.send("5", "40")
		c.want("40{*")
	}},
	{"U8", "a session that ends takes the WebSocket that it tries along", func(t *testing.T, w *world) {
		p, c := w.upgrading(t)
		p.must("1")
		c.closed()
	}},
	{"U9", "without upgrades none is offered nor taken", func(t *testing.T, w *world) {
		p := w.with(t, "--allow-upgrades=false").polling(t)
		if len(p.open.Upgrades) != 0 {
			t.Errorf("offered %q", p.open.Upgrades)
		}
		if c, _, err := p.s.dial(t, websocket4+"&sid="+p.open.SID); err == nil {
			c.send("2probe")
			c.closed()
		}
		p.alive()
	}},
}

// upgrading is a session on polling whose WebSocket has been probed.
func (w *world) upgrading(t *testing.T) (*poller, *conn) {
	t.Helper()
	p := w.with(t).polling(t)
	c := p.s.mustDial(t, websocket4+"&sid="+p.open.SID)
	c.send("2probe")
	c.want("3probe")
	return p, c
}
