// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noDeadline time.Time

const patience = 10 * time.Second // for what must happen at all

// serve gives each connection to handle and returns the server's address.
func serve(t testing.TB, o Options, handle func(*Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, o, handle)
	return l.Addr().String()
}

func serveOn(t testing.TB, l net.Listener, o Options, handle func(*Conn)) {
	u := NewUpgrader(o)
	var (
		mu      sync.Mutex
		over    bool
		running sync.WaitGroup
	)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if over {
			c.Abort()
			return
		}
		c.Flush()
		running.Go(func() {
			handle(c)
			c.Finish()
		})
	})}
	served := make(chan struct{})
	go func() {
		s.Serve(l)
		close(served)
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
		mu.Lock()
		over = true
		mu.Unlock()
		running.Wait()
	})
}

// echo is the server of most tests.
func echo(c *Conn) {
	for {
		data, binary, err := c.Read()
		if err != nil {
			return
		}
		c.Queue(data, binary)
		c.Flush()
	}
}

// peer is a client that writes what a test wants, right or wrong.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

const upgradeRequest = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func dial(t testing.TB, address string, headers ...string) (*peer, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return handshake(t, conn, headers...)
}

func handshake(t testing.TB, conn net.Conn, headers ...string) (*peer, *http.Response) {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	request := upgradeRequest
	for _, h := range headers {
		request += h + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols &&
		response.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("wrong accept key: %v", response.Header)
	}
	return p, response
}

// frame is one masked frame with any first byte.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 65535:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := []byte{0xa1, 0xb2, 0xc3, 0xd4}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

func (p *peer) send(raw ...[]byte) {
	p.t.Helper()
	for _, b := range raw {
		if _, err := p.conn.Write(b); err != nil {
			// the server may have hung up already; what it said is read below
			p.t.Logf("write: %v", err)
		}
	}
}

// next reads one frame of the server.
func (p *peer) next() (first byte, payload string, err error) {
	var h [10]byte
	if _, err := io.ReadFull(p.in, h[:2]); err != nil {
		return 0, "", err
	}
	n := int(h[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(p.in, h[2:4]); err != nil {
			return 0, "", err
		}
		n = int(binary.BigEndian.Uint16(h[2:4]))
	case 127:
		if _, err := io.ReadFull(p.in, h[2:10]); err != nil {
			return 0, "", err
		}
		n = int(binary.BigEndian.Uint64(h[2:10]))
	}
	b := make([]byte, n)
	_, err = io.ReadFull(p.in, b)
	return h[0], string(b), err
}

// want reads frames, each "opcode payload", and then, when the list ends in "eof", the end of the
// connection.
func (p *peer) want(frames ...string) {
	p.t.Helper()
	for i, want := range frames {
		first, payload, err := p.next()
		if want == "eof" {
			if err != io.EOF {
				p.t.Errorf("frame %d: got %#x %.80q, %v; want the end", i, first, payload, err)
			}
			return
		}
		if err != nil {
			p.t.Fatalf("frame %d: %v, want %.80q", i, err, want)
		}
		if got := describe(first, payload); got != want {
			p.t.Fatalf("frame %d: got %.80q, want %.80q", i, got, want)
		}
	}
}

func describe(first byte, payload string) string {
	switch first {
	case textFrame:
		return "text " + payload
	case binaryFrame:
		return "binary " + payload
	case pongFrame:
		return "pong " + payload
	case closeFrame:
		if len(payload) < 2 {
			return strings.TrimSpace("close " + payload)
		}
		return "close " + codeText(binary.BigEndian.Uint16([]byte(payload)))
	}
	return "other " + payload
}

func codeText(code uint16) string {
	const digits = "0123456789"
	return string([]byte{digits[code/1000], digits[code/100%10], digits[code/10%10], digits[code%10]})
}
