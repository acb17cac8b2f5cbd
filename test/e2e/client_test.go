// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const path = "/socket.io/?EIO=4&transport="

// client is a WebSocket client that sends what a test wants.
type client struct{ *websocket.Conn }

// open opens a session without a socket in it.
func open(t *testing.T) *client {
	t.Helper()
	conn, response, err := (&websocket.Dialer{HandshakeTimeout: limit}).Dial("ws://"+shared.broker.HTTP+path+"websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{conn}
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, "0{") {
		t.Fatalf("the open packet is %q, %v", got, err)
	}
	return c
}

// connect opens a session and joins the main namespace.
func connect(t *testing.T) *client {
	t.Helper()
	c := open(t)
	c.send("40")
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, "40{") {
		t.Fatalf("the answer to the connect is %q, %v", got, err)
	}
	return c
}

// send sends one text message. A connection that is gone shows when reading.
func (c *client) send(text string) { _ = c.WriteMessage(websocket.TextMessage, []byte(text)) }

// next reads one message, heartbeats left out.
func (c *client) next() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	for {
		_, data, err := c.ReadMessage()
		if err != nil {
			return "", err
		}
		if string(data) != "2" {
			return string(data), nil
		}
		c.send("3")
	}
}

// echo asks for one ack.
func (c *client) echo(n int) error {
	c.send(fmt.Sprintf(`42%d["echo",%d]`, n, n))
	got, err := c.next()
	if want := fmt.Sprintf(`43%d[%d]`, n, n); err == nil && got != want {
		err = fmt.Errorf("got %q, not %q", got, want)
	}
	return err
}

// closed reads until the connection is closed, and gives the close code, 1006 when there was none.
func (c *client) closed(t *testing.T) int {
	t.Helper()
	for {
		_, err := c.next()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			return ce.Code
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the session is still open")
		}
		return websocket.CloseAbnormalClosure
	}
}

// get and post are polling requests.
func get(t *testing.T, query string) (int, string) {
	t.Helper()
	return do(t, http.MethodGet, query, "", nil)
}

func do(t *testing.T, method, query, contentType string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+shared.broker.HTTP+"/socket.io/?"+query, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

var httpClient = &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}

func post(t *testing.T, sid, body string) (int, string) {
	t.Helper()
	return do(t, http.MethodPost, "EIO=4&transport=polling&sid="+sid, "text/plain;charset=UTF-8", strings.NewReader(body))
}

// poll opens a polling session in the main namespace and gives its id.
func poll(t *testing.T) string {
	t.Helper()
	status, body := get(t, "EIO=4&transport=polling")
	_, rest, ok := strings.Cut(body, `"sid":"`)
	if status != http.StatusOK || !ok {
		t.Fatalf("the handshake was answered %d %s", status, body)
	}
	sid, _, _ := strings.Cut(rest, `"`)
	if status, body := post(t, sid, "40"); status != http.StatusOK {
		t.Fatalf("the connect was answered %d %s", status, body)
	}
	if status, body := get(t, "EIO=4&transport=polling&sid="+sid); status != http.StatusOK || !strings.HasPrefix(body, "40{") {
		t.Fatalf("the poll was answered %d %s", status, body)
	}
	return sid
}

// dial opens a bare connection to the browsers' entry point, or another.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// raw writes bytes and gives all that comes until the end.
func raw(t *testing.T, address string, data []byte) string {
	t.Helper()
	conn := dial(t, address)
	if _, err := conn.Write(data); err != nil {
		return "" // it was closed before it had all
	}
	var got bytes.Buffer
	_, err := io.Copy(&got, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the connection is still open after %v; it got %q", limit, got.String())
	}
	return got.String()
}
