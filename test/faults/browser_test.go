// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// page is a number of browsers that emit numbered events with acks, a few at a time each, until their session ends.
type page struct {
	t        *testing.T
	browsers []*browser
	running  sync.WaitGroup
	end      context.CancelFunc
}

// outstanding is how many events a browser has without an ack at a time.
const outstanding = 3

// browser is one of them, on one transport to its end.
type browser struct {
	client    int
	transport string
	send      func(packets ...string) error
	receive   func() (packets []string, err error)

	mu    sync.Mutex // guards what follows
	id    string     // the socket's
	sent  int
	acked map[int]bool
}

// openPage connects browsers at the address.
func (w *world) openPage(address string, websockets, pollers int) *page {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &page{t: w.t, end: cancel}
	w.t.Cleanup(func() {
		cancel()
		p.running.Wait()
	})
	for client := range websockets + pollers {
		b := &browser{client: client, transport: "websocket", acked: map[int]bool{}}
		open := b.overWebSocket
		if client >= websockets {
			b.transport, open = "polling", b.overPolling
		}
		if err := open(ctx, address); err != nil {
			w.t.Fatal(err)
		}
		p.browsers = append(p.browsers, b)
	}
	return p
}

// run has all browsers emit.
func (p *page) run() {
	for _, b := range p.browsers {
		p.running.Go(b.run)
	}
}

// wait waits until all sessions have ended.
func (p *page) wait() {
	p.t.Helper()
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		p.t.Fatal("sessions outlived their broker")
	}
	p.end()
}

func (p *page) count() (sent, acked int) {
	for _, b := range p.browsers {
		b.mu.Lock()
		sent += b.sent
		acked += len(b.acked)
		b.mu.Unlock()
	}
	return sent, acked
}

func (p *page) acks() int {
	_, acked := p.count()
	return acked
}

// acked waits for so many acks.
func (p *page) acked(n int) {
	p.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if _, acked := p.count(); acked >= n {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("waited %v for %d acks", limit, n)
		}
	}
}

func (b *browser) hasAck(number int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked[number]
}

// event gives the next event.
func (b *browser) event() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.sent
	b.sent++
	return fmt.Sprintf(`42%d["number",%d,%d,""]`, n, b.client, n)
}

// run emits and receives until the session ends.
func (b *browser) run() {
	var first []string
	for range outstanding {
		first = append(first, b.event())
	}
	if b.send(first...) != nil {
		return
	}
	for {
		packets, err := b.receive()
		if err != nil {
			return
		}
		answers, ended := b.take(packets)
		if ended {
			return
		}
		if len(answers) > 0 {
			_ = b.send(answers...) // a session that ended is noticed by receive, which may have acks before
		}
	}
}

// take works on what came.
func (b *browser) take(packets []string) (answers []string, ended bool) {
	for _, p := range packets {
		switch {
		case p == "1":
			return nil, true
		case p == "2":
			answers = append(answers, "3")
		case strings.HasPrefix(p, "43"):
			id, _, _ := strings.Cut(p[2:], "[")
			n, err := strconv.Atoi(id)
			if err != nil {
				return nil, true
			}
			b.mu.Lock()
			b.acked[n] = true
			b.mu.Unlock()
			answers = append(answers, b.event())
		}
	}
	return answers, false
}

func (b *browser) overWebSocket(ctx context.Context, address string) error {
	c, answer, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+address+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	context.AfterFunc(ctx, func() { _ = c.Close() })
	b.send = func(packets ...string) error {
		for _, p := range packets {
			if err := c.WriteMessage(websocket.TextMessage, []byte(p)); err != nil {
				return err
			}
		}
		return nil
	}
	b.receive = func() ([]string, error) {
		_, data, err := c.ReadMessage()
		return []string{string(data)}, err
	}
	return b.join()
}

func (b *browser) overPolling(ctx context.Context, address string) error {
	client := &http.Client{Transport: &http.Transport{}}
	context.AfterFunc(ctx, client.CloseIdleConnections)
	url := "http://" + address + "/socket.io/?EIO=4&transport=polling"
	request := func(method, body string) (string, error) {
		r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		answer, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("answered %d %s", answer.StatusCode, text)
		}
		return string(text), err
	}
	text, err := request("GET", "")
	if err != nil {
		return err
	}
	var open struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "0")), &open); err != nil {
		return err
	}
	url += "&sid=" + open.SID
	b.send = func(packets ...string) error {
		_, err := request("POST", strings.Join(packets, "\x1e"))
		return err
	}
	b.receive = func() ([]string, error) {
		text, err := request("GET", "")
		return strings.Split(text, "\x1e"), err
	}
	return b.join()
}

// join connects to the main namespace.
func (b *browser) join() error {
	if err := b.send("40"); err != nil {
		return err
	}
	for {
		packets, err := b.receive()
		if err != nil {
			return err
		}
		for _, p := range packets {
			if data, ok := strings.CutPrefix(p, "40"); ok {
				var joined struct {
					SID string `json:"sid"`
				}
				if err := json.Unmarshal([]byte(data), &joined); err != nil {
					return err
				}
				b.id = joined.SID
				return nil
			}
			if strings.HasPrefix(p, "44") {
				return fmt.Errorf("refused: %s", p)
			}
		}
	}
}
