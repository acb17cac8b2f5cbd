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

// page is a number of browsers that emit numbered events with acks, a few at a time each, until
// their session ends.
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
	end   error      // why receive failed
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
	for range websockets {
		p.open("websocket", func(b *browser) error { return b.overWebSocket(ctx, address, "") })
	}
	for range pollers {
		p.open("polling", func(b *browser) error { return b.overPolling(ctx, address) })
	}
	return p
}

// openForwarded connects browsers with sessions of the replica at owner, and WebSockets to them
// through another replica.
func (w *world) openForwarded(owner, through string, websockets int) *page {
	w.t.Helper()
	p := w.openPage(through, 0, 0)
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel) // before the page waits
	for range websockets {
		p.open("websocket", func(b *browser) error { return b.overUpgrade(ctx, owner, through) })
	}
	return p
}

// open connects one more browser.
func (p *page) open(transport string, open func(*browser) error) {
	p.t.Helper()
	b := &browser{client: len(p.browsers), transport: transport, acked: map[int]bool{}}
	if err := open(b); err != nil {
		p.t.Fatal(err)
	}
	p.browsers = append(p.browsers, b)
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
			b.mu.Lock()
			b.end = err
			b.mu.Unlock()
			return
		}
		answers, ended := b.take(packets)
		if ended {
			return
		}
		if len(answers) > 0 {
			// a session that ended is noticed by receive, which may have acks before
			_ = b.send(answers...)
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

// overWebSocket opens a WebSocket, to a new session or the one that is named.
func (b *browser) overWebSocket(ctx context.Context, address, session string) error {
	url := "ws://" + address + "/socket.io/?EIO=4&transport=websocket"
	if session != "" {
		url += "&sid=" + session
	}
	c, answer, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
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
	if session != "" {
		if err := b.probe(); err != nil {
			return err
		}
	}
	return b.join()
}

// probe moves a session to its WebSocket.
func (b *browser) probe() error {
	if err := b.send("2probe"); err != nil {
		return err
	}
	if packets, err := b.receive(); err != nil || packets[0] != "3probe" {
		return fmt.Errorf("the probe was answered with %q (%v)", packets, err)
	}
	return b.send("5")
}

// overUpgrade opens a session at its owner, and moves it to a WebSocket through another replica.
func (b *browser) overUpgrade(ctx context.Context, owner, through string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+owner+"/socket.io/?EIO=4&transport=polling", nil)
	if err != nil {
		return err
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		return err
	}
	session, err := sessionID(string(text))
	if err != nil {
		return err
	}
	return b.overWebSocket(ctx, through, session)
}

// sessionID reads the packet that opens a session.
func sessionID(packet string) (string, error) {
	var open struct {
		SID string `json:"sid"`
	}
	err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "0")), &open)
	return open.SID, err
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
	session, err := sessionID(text)
	if err != nil {
		return err
	}
	url += "&sid=" + session
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
