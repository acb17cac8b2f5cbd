// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The first subprotocol that is offered is accepted, however many there are (W7 of the reference,
// H15).
func TestUpgrader_Subprotocol(t *testing.T) {
	address := serve(t, Options{}, echo)
	for offered, want := range map[string]string{
		"": "", "chat": "chat", "chat, superchat": "chat", " a ,b": "a", "v1," + strings.Repeat(" x ,", 5000): "v1",
	} {
		var headers []string
		if offered != "" {
			headers = []string{"Sec-WebSocket-Protocol: " + offered}
		}
		_, response := dial(t, address, headers...)
		if got := response.Header.Get("Sec-Websocket-Protocol"); response.StatusCode != 101 || got != want {
			t.Errorf("%.20q: got %d %q", offered, response.StatusCode, got)
		}
	}
}

// What is no proper handshake is refused before anything is taken over (H15).
func TestUpgrader_ErrHandshake(t *testing.T) {
	refused := make(chan int, 1)
	u := NewUpgrader(Options{Refuse: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
		refused <- status
		w.WriteHeader(http.StatusTeapot)
	}})
	for name, change := range map[string]func(http.Header){
		"no upgrade":   func(h http.Header) { h.Del("Upgrade") },
		"key":          func(h http.Header) { h.Set("Sec-WebSocket-Key", "abc") },
		"no version":   func(h http.Header) { h.Del("Sec-WebSocket-Version") },
		"version 8":    func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") },
		"no hijacking": func(http.Header) {},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
		change(r.Header)
		w := httptest.NewRecorder()
		if _, err := u.Upgrade(w, r); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if status := <-refused; w.Code != http.StatusTeapot || status < 400 {
			t.Errorf("%s: got %d %d", name, w.Code, status)
		}
	}
}

// Bytes that came together with the handshake have no place in the protocol: they are refused with
// an answer.
func TestUpgrader_ErrEarlyData(t *testing.T) {
	address := serve(t, Options{}, echo)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write(append([]byte(upgradeRequest+"\r\n"), frame(0x81, "early")...))
	if b, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 400 Bad Request\r\n")) || bytes.Contains(b, []byte("early")) {
		t.Errorf("got %q %v", b, err)
	}
}
