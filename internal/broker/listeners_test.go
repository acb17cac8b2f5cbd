// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// raw dials the browsers' entry point and writes bytes as they are.
func raw(t *testing.T, b *broker.Broker, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.HTTPAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, text) // the server may have answered before it has read all
	return conn
}

// answered is the status of the first answer.
func answered(t *testing.T, conn net.Conn) int {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

const open = "GET /socket.io/?EIO=4&transport=polling"

// Requests that no browser sends must be refused, and large ones only within the limit. (H8, H14,
// H22)
func TestBrowsers_OddRequests(t *testing.T) {
	b := brokertest.Start(t)
	const host = " HTTP/1.1\r\nHost: x\r\n"
	post := "POST /socket.io/?EIO=4&transport=polling&sid=x" + host
	for name, c := range map[string]struct {
		request string
		want    int
	}{
		"H14 control character in the origin": {open + host + "Origin: http://a\x01b\r\n\r\n", 400},
		"H14 line folded":                     {open + host + "Origin: http://a\r\n b\r\n\r\n", 403},
		"H14 2,100 headers":                   {open + host + strings.Repeat("A: b\r\n", 2100) + "\r\n", 200},
		"H14 headers of 200 kB":               {open + host + strings.Repeat("A: "+strings.Repeat("b", 100)+"\r\n", 2000) + "\r\n", 431},
		"H14 cookie of 32 kB":                 {open + host + "Cookie: a=" + strings.Repeat("b", 32<<10) + "\r\n\r\n", 200},
		"H14 cookie of 80 kB":                 {open + host + "Cookie: a=" + strings.Repeat("b", 80<<10) + "\r\n\r\n", 431},
		"H14 URL of 80 kB":                    {open + "&x=" + strings.Repeat("b", 80<<10) + host + "\r\n", 431},
		"H8 sid of 1 MB":                      {open + "&sid=" + strings.Repeat("b", 1<<20) + host + "\r\n", 431},
		"H22 two lengths":                     {post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n4ab", 400},
		"H22 length twice in one line":        {post + "Content-Length: 2, 3\r\n\r\n4ab", 400},
		"H22 length with a sign":              {post + "Content-Length: +2\r\n\r\n4a", 400},
		"H22 unknown coding":                  {post + "Transfer-Encoding: xchunked\r\n\r\n4a", 501},
		"H22 two codings":                     {post + "Transfer-Encoding: gzip, chunked\r\n\r\n4a", 501},
		"no host":                             {open + " HTTP/1.1\r\n\r\n", 400},
		"two hosts":                           {open + host + "Host: y\r\n\r\n", 400},
		"rubbish":                             {"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answered(t, raw(t, b, c.request)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// Where a body with both a length and chunks ends is a matter of opinion, so that its request is
// the last on its connection, whatever a proxy in front believes. (H22)
func TestBrowsers_LengthAndChunks(t *testing.T) {
	b := brokertest.Start(t)
	for _, length := range []int{0, 5, 60} {
		conn := raw(t, b, fmt.Sprintf("POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"2\r\n4a\r\n0\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", length))
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(all), "HTTP/1.1 "); n != 1 || !strings.HasPrefix(string(all), "HTTP/1.1 400") || !strings.Contains(string(all), "Connection: close") {
			t.Errorf("length %d: %d answers: %s", length, n, all)
		}
	}
}

// A header that does not come must not hold a connection, and one that is too large not be read.
// (H4)
func TestBrowsers_HeaderSettings(t *testing.T) {
	b := brokertest.Start(t, func(c *broker.Config) { c.Listen.HeaderTimeout = 50 * time.Millisecond })
	conn := raw(t, b, open+" HTTP/1.1\r\nHost: x\r\nA: ")
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
	b = brokertest.Start(t, func(c *broker.Config) { c.Listen.MaxHeader = 8 << 10 })
	for length, want := range map[int]int{6 << 10: 200, 14 << 10: 431} {
		if got := answered(t, raw(t, b, fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nCookie: a=%s\r\n\r\n", open, strings.Repeat("b", length)))); got != want {
			t.Errorf("cookie of %d bytes: got %d, want %d", length, got, want)
		}
	}
}

// Every path of the setting leads to the browsers' entry point, with and without a slash at its
// end, and nothing else does.
func TestBrowsers_Paths(t *testing.T) {
	b := brokertest.Start(t, func(c *broker.Config) { c.Edge.Engine.Paths = []string{"/socket.io/", "/chat"} })
	for path, want := range map[string]string{
		"/socket.io/?EIO=4&transport=polling": `0{"sid":`, "/chat?EIO=4&transport=polling": `0{"sid":`, "/chat/socket.io.min.js": "/*!",
		"/chat/?EIO=4&transport=polling": `{"code":3,"message":"Nothing is served at this path, see the setting path"}`, "/chats": "Nothing is served at /chats",
		"/": "Nothing is served at /",
	} {
		if _, body := get(t, "http://"+b.HTTPAddress()+path); !strings.HasPrefix(body, want) {
			t.Errorf("%s: got %.100s, want %s", path, body, want)
		}
	}
}
