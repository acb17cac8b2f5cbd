// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// version2 is a header in binary.
func version2(command, family byte, from, to string, extension int) string {
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	var body []byte
	if from != "" {
		a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
		body = append(append(body, a.Addr().AsSlice()...), b.Addr().AsSlice()...)
		body = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(body, a.Port()), b.Port())
	}
	body = append(body, make([]byte, extension)...)
	return string(append(binary.BigEndian.AppendUint16(head, uint16(len(body))), body...))
}

// behindLoadBalancer starts a broker that trusts this machine, and an application that answers with
// the address that it hears of.
func behindLoadBalancer(t *testing.T, proxies string) (address string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["X-Forwarded-For"]) }))
	t.Cleanup(app.Close)
	return brokertest.Start(t, func(c *broker.Config) {
		c.Listen.Upstream.URL, c.Listen.TrustedProxies, c.Listen.ProxyProtocol = app.URL, []string{proxies}, true
		c.Listen.HeaderTimeout = time.Second
	}).HTTPAddress()
}

// exchange writes, and gives all that is answered until the end.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, text)
	answer, _ := io.ReadAll(conn) // a reset is an end, too
	return string(answer)
}

const ask = "GET /whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// The address of a header in either version must become the client's; a proxy that speaks for
// itself keeps its own.
func TestProxyProtocol(t *testing.T) {
	address := behindLoadBalancer(t, "127.0.0.0/8")
	for name, c := range map[string]struct{ header, want string }{
		"text, IPv4":                {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", "192.0.2.1"},
		"text, IPv6":                {"PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n", "2001:db8::1"},
		"text, unknown":             {"PROXY UNKNOWN\r\n", "127.0.0.1"},
		"text, unknown, with words": {"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "127.0.0.1"},
		"binary, IPv4":              {version2(0x21, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 0), "192.0.2.1"},
		"binary, IPv6":              {version2(0x21, 0x21, "[2001:db8::1]:4711", "[2001:db8::2]:80", 0), "2001:db8::1"},
		"binary, with extensions":   {version2(0x21, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 300), "192.0.2.1"},
		"binary, local":             {version2(0x20, 0x00, "", "", 0), "127.0.0.1"},
		"binary, unspecified":       {version2(0x21, 0x00, "", "", 7), "127.0.0.1"},
	} {
		if got := exchange(t, address, c.header+ask); !strings.HasSuffix(got, "["+c.want+"]") {
			t.Errorf("%s: got %q, want %s", name, got, c.want)
		}
	}
}

// A connection of a trusted proxy without a proper header must end unanswered.
func TestProxyProtocol_Err(t *testing.T) {
	address := behindLoadBalancer(t, "127.0.0.0/8")
	for name, text := range map[string]string{
		"none":                ask,
		"nothing":             "",
		"half a line":         "PROXY TCP4 192.0.2.1 192.0.2.2",
		"endless line":        "PROXY TCP4 " + strings.Repeat("1", 200),
		"no address":          "PROXY TCP4 x 192.0.2.2 4711 80\r\n" + ask,
		"other family":        "PROXY TCP4 2001:db8::1 2001:db8::2 4711 80\r\n" + ask,
		"no port":             "PROXY TCP4 192.0.2.1 192.0.2.2 70000 80\r\n" + ask,
		"too many words":      "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80 90\r\n" + ask,
		"UDP":                 "PROXY UDP4 192.0.2.1 192.0.2.2 4711 80\r\n" + ask,
		"binary, version 1":   version2(0x11, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 0) + ask,
		"binary, odd command": version2(0x22, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 0) + ask,
		"binary, too few":     version2(0x21, 0x21, "192.0.2.1:4711", "192.0.2.2:80", 0) + ask,
		"binary, half":        version2(0x21, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 0)[:20],
		"binary, too long":    version2(0x21, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 5000) + ask,
	} {
		if got := exchange(t, address, text); strings.Contains(got, "200 OK") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A header that comes in several pieces must be read whole, and nothing behind it be lost.
func TestProxyProtocol_Pieces(t *testing.T) {
	address := behindLoadBalancer(t, "127.0.0.0/8")
	for name, header := range map[string]string{
		"text": "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", "binary": version2(0x21, 0x11, "192.0.2.1:4711", "192.0.2.2:80", 300),
	} {
		for _, cut := range []int{1, 7, len(header) - 1, len(header), len(header) + 3} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			text := header + ask
			io.WriteString(conn, text[:cut])
			time.Sleep(20 * time.Millisecond) // so that the pieces are segments of their own
			io.WriteString(conn, text[cut:])
			answer, _ := io.ReadAll(conn)
			conn.Close()
			if !strings.HasSuffix(string(answer), "[192.0.2.1]") {
				t.Errorf("%s, cut at %d: got %q", name, cut, answer)
			}
		}
	}
}

// Anybody else's header must not be believed, and without one all is as ever.
func TestProxyProtocol_Untrusted(t *testing.T) {
	address := behindLoadBalancer(t, "192.0.2.0/24")
	if got := exchange(t, address, ask); !strings.HasSuffix(got, "[127.0.0.1]") {
		t.Errorf("got %q", got)
	}
	if got := exchange(t, address, "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"+ask); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("got %q", got)
	}
}

// A WebSocket works behind the header.
func TestProxyProtocol_WebSocket(t *testing.T) {
	address := behindLoadBalancer(t, "127.0.0.0/8")
	dialer := websocket.Dialer{NetDial: func(_, _ string) (net.Conn, error) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_, err = io.WriteString(conn, "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n")
		}
		return conn, err
	}}
	conn, _, err := dialer.Dial("ws://"+address+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, data, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(data), `0{"sid"`) {
		t.Errorf("got %q %v", data, err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNoStatusReceived) {
		t.Errorf("got %q %v", data, err)
	}
}
