// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func upgradeHeader() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
}

// upgraded is an entry point that gives its connections to the test.
func upgraded(t *testing.T, into chan<- *websocket.Conn, came chan<- *http.Request) http.HandlerFunc {
	u := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	return func(w http.ResponseWriter, r *http.Request) {
		if came != nil {
			came <- r
		}
		ws, err := u.Upgrade(w, r, http.Header{"Set-Cookie": {"a=b"}})
		if err != nil {
			t.Error(err)
			return
		}
		into <- ws
	}
}

// open opens a WebSocket through near to far.
func open(t *testing.T, near, far *replica) *websocket.Conn {
	t.Helper()
	url := "ws" + strings.TrimPrefix(near.url(far.session), "http")
	ws, answer, err := websocket.DefaultDialer.DialContext(t.Context(), url, http.Header{"Origin": {"http://a"}, "Cookie": {"c=d"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	if answer.Header.Get("Set-Cookie") != "a=b" || answer.Header.Get(answerHeader) != "" {
		t.Errorf("the handshake was answered with %v", answer.Header)
	}
	return ws
}

// idle waits until nothing is forwarded any more, and the gauge tells so.
func (r *replica) idle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); r.open.Load() != 0 || testutil.ToFloat64(r.metrics.Open) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are open still, the gauge says %v", r.open.Load(), testutil.ToFloat64(r.metrics.Open))
		}
	}
}

// A WebSocket must carry messages of all sizes both ways, and its end.
func TestForwarder_WebSocket(t *testing.T) {
	conns, came := make(chan *websocket.Conn, 1), make(chan *http.Request, 1)
	near, far := pair(t, upgraded(t, conns, came))
	browser := open(t, near, far)
	r, owner := await(t, came, "the handshake"), await(t, conns, "the WebSocket")
	defer owner.Close()
	if r.Header.Get("Origin") != "http://a" || r.Header.Get("Cookie") != "c=d" || r.RemoteAddr != browser.LocalAddr().String() || r.Header.Get(requestHeader) != "" {
		t.Errorf("the handshake came from %s with %v", r.RemoteAddr, r.Header)
	}
	for _, way := range [][2]*websocket.Conn{{browser, owner}, {owner, browser}} {
		from, to := way[0], way[1]
		sizes := []int{0, 1, smallBuffer - 4, smallBuffer, largeBuffer, largeBuffer + 1, 1 << 20, 3}
		written := make(chan struct{})
		go func() { // ends when all is written
			defer close(written)
			for _, size := range sizes {
				if err := from.WriteMessage(websocket.BinaryMessage, bytes.Repeat([]byte{byte(size)}, size)); err != nil {
					t.Error(err)
				}
			}
		}()
		for _, size := range sizes {
			if _, data, err := to.ReadMessage(); err != nil || !bytes.Equal(data, bytes.Repeat([]byte{byte(size)}, size)) {
				t.Fatalf("%d bytes came as %d (%v)", size, len(data), err)
			}
		}
		await(t, written, "the end of the writing")
	}
	if n := testutil.ToFloat64(near.metrics.WebSocket); n != 1 || near.open.Load() != 1 {
		t.Errorf("counted %v, %d open", n, near.open.Load())
	}
	browser.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"))
	var closed *websocket.CloseError
	if _, _, err := owner.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4000 {
		t.Errorf("the owner saw %v", err)
	}
	owner.Close()
	if _, _, err := browser.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4000 {
		t.Errorf("the browser saw %v", err)
	}
	browser.Close()
	near.idle(t)
}

// handshake is a WebSocket handshake as bytes.
func handshake(far *replica) string {
	return "GET /socket.io/?EIO=4&transport=websocket&sid=" + string(far.session) + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

// raw is an entry point that takes connections over and answers with what may as well be WebSocket.
func raw(t *testing.T, conns chan<- net.Conn, beginning string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+beginning)
		conns <- conn
	}
}

// rawPair is the two ends of a WebSocket that is forwarded.
func rawPair(t *testing.T, beginning string) (near *replica, browser *net.TCPConn, in *bufio.Reader, owner *net.TCPConn) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	near, far := pair(t, raw(t, conns, beginning))
	browser = dial(t, near.public, handshake(far))
	in = bufio.NewReader(browser)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer, err)
	}
	owner = await(t, conns, "the handshake").(*net.TCPConn)
	t.Cleanup(func() { owner.Close() })
	return near, browser, in, owner
}

// reads reads until the end and compares.
func reads(t *testing.T, who string, in io.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(in); string(got) != want || err != nil {
		t.Errorf("%s read %q (%v), not %q", who, got, err, want)
	}
}

// What comes along with the answer must not be lost, and each side may speak on when the other has
// said all.
func TestForwarder_HalfClose(t *testing.T) {
	t.Run("browser", func(t *testing.T) {
		near, browser, in, owner := rawPair(t, "early ")
		io.WriteString(browser, "last words")
		browser.CloseWrite()
		reads(t, "the owner", owner, "last words")
		io.WriteString(owner, "and mine")
		owner.Close()
		reads(t, "the browser", in, "early and mine")
		near.idle(t)
	})
	t.Run("owner", func(t *testing.T) {
		near, browser, in, owner := rawPair(t, "")
		io.WriteString(owner, "last words")
		owner.CloseWrite()
		reads(t, "the browser", in, "last words")
		io.WriteString(browser, "and mine")
		browser.Close()
		reads(t, "the owner", owner, "and mine")
		near.idle(t)
	})
}

// The owner must see that a browser's connection broke.
func TestForwarder_Reset(t *testing.T) {
	near, browser, _, owner := rawPair(t, "")
	browser.SetLinger(0)
	browser.Close()
	if _, err := owner.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the owner saw %v", err)
	}
	near.idle(t)
}

// The browser must get what the owner said before it broke off or went without reading.
func TestForwarder_OwnerGone(t *testing.T) {
	near, browser, in, owner := rawPair(t, "")
	text := strings.Repeat("good bye ", 1000)
	io.WriteString(browser, "unread")
	io.WriteString(owner, text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != text {
		t.Errorf("the browser read %d bytes (%v)", len(got), err)
	}
	owner.Close() // with bytes unread, so it is reset
	reads(t, "the browser", in, "")
	io.WriteString(browser, "to nobody")
	browser.Close()
	near.idle(t)
}

// A side that takes nothing for too long must be given up, and the other side be notified.
func TestForwarder_Stalled(t *testing.T) {
	conns := make(chan net.Conn, 1)
	near, far := pair(t, raw(t, conns, ""), func(o *Options) { o.WriteTimeout = 300 * time.Millisecond })
	browser := dial(t, near.public, handshake(far))
	owner := await(t, conns, "the handshake")
	defer owner.Close()
	const much = 64 << 20 // more than the system buffers
	if n, err := owner.Write(make([]byte, much)); err == nil {
		t.Errorf("%d bytes were taken by nobody", n)
	}
	near.idle(t)
	if n := testutil.ToFloat64(near.metrics.Stalled); n != 1 {
		t.Errorf("%v stalled connections were counted", n)
	}
	browser.Close()
}

// A browser that takes nothing of a polling answer must be noticed too.
func TestForwarder_PollStalled(t *testing.T) {
	near, far := pair(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 64<<20)) // more than the system buffers
	}, func(o *Options) { o.WriteTimeout = 300 * time.Millisecond })
	browser := dial(t, near.public, "GET /socket.io/?EIO=4&transport=polling&sid="+string(far.session)+" HTTP/1.1\r\nHost: x\r\n\r\n")
	for end := time.Now().Add(patience); testutil.ToFloat64(near.metrics.Stalled) != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v stalled connections were counted", testutil.ToFloat64(near.metrics.Stalled))
		}
	}
	browser.Close()
}

// A handshake that the owner refuses must be answered as it answered.
func TestForwarder_WebSocketRefused(t *testing.T) {
	near, far := pair(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "no", http.StatusForbidden)
	})
	r := request(t, "GET", near.url(far.session), "")
	r.Header = upgradeHeader()
	if answer, text := do(t, r); answer.StatusCode != http.StatusForbidden || text != "no\n" || !answer.Close || answer.Header.Get(answerHeader) != "" {
		t.Errorf("answered %s %q %v", answer.Status, text, answer.Header)
	}
	near.idle(t)
}

// A program at a wrong address that speaks WebSocket must not get a browser's.
func TestForwarder_WebSocketWrongReplica(t *testing.T) {
	conns := make(chan *websocket.Conn, 1)
	near, far := pair(t, upgraded(t, conns, nil))
	other := (&cluster{}).add(t, unknown)
	far.announced = other.public.Listener.Addr().String() // a browsers' entry point
	r := request(t, "GET", near.url(far.session), "")
	r.Header = upgradeHeader()
	if answer, text := do(t, r); answer.StatusCode != http.StatusBadRequest || text != "unknown here" || testutil.ToFloat64(near.metrics.WrongReplica) != 1 {
		t.Errorf("answered %s %q", answer.Status, text)
	}
}

// A link that would be made after the end is not.
func TestForwarder_Closed(t *testing.T) {
	conns := make(chan net.Conn, 1)
	near, far := pair(t, raw(t, conns, ""))
	near.Close()
	browser := dial(t, near.public, handshake(far))
	io.ReadAll(browser) // the answer may come first
	await(t, conns, "the handshake").Close()
	near.idle(t)
}
