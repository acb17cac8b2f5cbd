// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// visitor is a browser that keeps what it needs to come back after the loss of its connection, as
// the standard client does, and the numbers that it was sent.
type visitor struct {
	address string

	// what it shows when it comes back
	pid, offset string

	conn  *websocket.Conn
	ended chan struct{} // closed when nothing more is read

	mu  sync.Mutex // guards what follows
	got map[int]bool
}

// visit connects a page to a replica.
func visit(t *testing.T, address string) *visitor {
	t.Helper()
	p := &visitor{address: address, got: make(map[int]bool)}
	p.connect(t)
	t.Cleanup(p.cut)
	return p
}

// connect opens a session, and tells whether it is the old socket that came back.
func (p *visitor) connect(t *testing.T) (recovered bool) {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: limit}
	conn, response, err := dialer.Dial("ws://"+p.address+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	hello := "40"
	if p.pid != "" {
		hello = fmt.Sprintf(`40{"pid":%q,"offset":%q}`, p.pid, p.offset)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(hello)); err != nil {
		t.Fatal(err)
	}
	let := make(chan string, 1)
	p.conn, p.ended = conn, make(chan struct{})
	go p.read(conn, let, p.ended) // ends with the connection
	select {
	case pid := <-let:
		recovered = p.pid != "" && pid == p.pid
		p.pid = pid
		return recovered
	case <-time.After(limit):
		t.Fatal("the page was not accepted")
	}
	return false
}

// read takes what comes until the connection ends. What a recovered socket missed comes before the
// answer to its connect.
func (p *visitor) read(conn *websocket.Conn, let chan<- string, ended chan<- struct{}) {
	defer close(ended)
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		switch text := string(data); {
		case text == "2":
			_ = conn.WriteMessage(websocket.TextMessage, []byte("3"))
		case strings.HasPrefix(text, "40"):
			var answer struct{ Pid string }
			_ = json.Unmarshal(data[2:], &answer)
			let <- answer.Pid
		case strings.HasPrefix(text, "42"):
			p.take(data[2:])
		}
	}
}

func (p *visitor) take(data []byte) {
	var parts []any
	if json.Unmarshal(data, &parts) != nil || len(parts) < 3 {
		return
	}
	n, _ := parts[1].(float64)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got[int(n)] = true
	p.offset, _ = parts[len(parts)-1].(string)
}

// cut ends the connection without a word.
func (p *visitor) cut() {
	_ = p.conn.Close()
	<-p.ended
}

// back connects again, and tells whether the socket came back.
func (p *visitor) back(t *testing.T) (recovered bool) {
	t.Helper()
	p.cut()
	return p.connect(t)
}

// misses counts those of the numbers that did not come.
func (p *visitor) misses(numbers []int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range numbers {
		if !p.got[x] {
			n++
		}
	}
	return n
}

func itoa(n int) string { return fmt.Sprint(n) }
