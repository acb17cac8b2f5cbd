// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// Sizes that lie, or are too large, close before anything is allocated (W1, W2 of the reference).
func TestConn_Read_ErrTooLarge(t *testing.T) {
	errs := make(chan error, 1)
	address := serve(t, Options{MaxMessage: 1000}, func(c *Conn) {
		_, _, err := c.Read()
		errs <- err
	})
	for name, send := range map[string][][]byte{
		"1,001 bytes":           {frame(0x82, strings.Repeat("x", 1001))},
		"in fragments":          {frame(0x02, strings.Repeat("x", 600)), frame(0x80, strings.Repeat("x", 401))},
		"2^63-1":                {{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		"2^63":                  {{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		"2^64-1":                {{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		"2^31":                  {{0x82, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0}},
		"overflow by fragments": {frame(0x02, "x"), {0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := dial(t, address)
			p.send(send...)
			p.want("close 1009", "eof")
			if err := <-errs; err != ErrTooLarge {
				t.Errorf("got %v", err)
			}
		})
	}
	p, _ := dial(t, address)
	p.send(frame(0x82, strings.Repeat("x", 1000)), frame(0x88, ""))
	if err := <-errs; err != nil {
		t.Errorf("1,000 bytes: %v", err)
	}
}

// A message may have about MaxFragments fragments, with control frames in between; endless ones end
// (W3).
func TestConn_Read_ErrFragments(t *testing.T) {
	address := serve(t, Options{MaxFragments: 100}, echo)
	p, _ := dial(t, address)
	p.send(fragments(strings.Repeat("x", 100))...)
	p.want("text " + strings.Repeat("x", 100))
	for name, piece := range map[string][]byte{"one byte": frame(0x00, "x"), "empty": frame(0x00, ""), "pings": frame(0x89, strings.Repeat("p", 100))} {
		t.Run(name, func(t *testing.T) {
			p, _ := dial(t, address)
			p.send(frame(0x01, "x"), bytes.Repeat(piece, 500))
			for {
				first, payload, err := p.next()
				if err != nil {
					t.Fatal(err)
				}
				if first == pongFrame {
					continue
				}
				if got := describe(first, payload); got != "close 1008" {
					t.Fatal(got)
				}
				return
			}
		})
	}
}

// Errors tell who ended it and why.
func TestConn_Read_Err(t *testing.T) {
	errs := make(chan error, 1)
	address := serve(t, Options{}, func(c *Conn) {
		_, _, err := c.Read()
		errs <- err
	})
	p, _ := dial(t, address)
	p.send(closing(4001, "why"))
	var closed *CloseError
	if err := <-errs; !errors.As(err, &closed) || closed.Code != 4001 || closed.Text != "why" {
		t.Errorf("close frame: %v", err)
	}
	p, _ = dial(t, address)
	p.conn.Close()
	if err := <-errs; err != io.EOF {
		t.Errorf("gone: %v", err)
	}
	p, _ = dial(t, address)
	p.send(frame(0x81, "half")[:7])
	p.conn.Close()
	if err := <-errs; err != io.EOF {
		t.Errorf("gone within a frame: %v", err)
	}
	p, _ = dial(t, address)
	p.send(frame(0x83, ""))
	if err := <-errs; !errors.Is(err, ErrProtocol) {
		t.Errorf("opcode 3: %v", err)
	}
}

// Close sends what is queued, then the close frame, and nothing after it.
func TestConn_Close(t *testing.T) {
	errs := make(chan error, 1)
	address := serve(t, Options{}, func(c *Conn) {
		c.Queue([]byte("last"), false)
		c.Close(CodeGoingAway, "moving")
		if err := c.Queue([]byte("late"), false); err != ErrClosed {
			t.Errorf("late: %v", err)
		}
		c.Close(CodeNormal, "again")
		for {
			if _, _, err := c.Read(); err != nil {
				errs <- err
				return
			}
		}
	})
	p, _ := dial(t, address)
	p.want("text last", "close 1001")
	p.send(frame(0x81, "still talking"), closing(1001, ""))
	p.want("eof")
	var closed *CloseError
	if err := <-errs; !errors.As(err, &closed) || closed.Code != 1001 {
		t.Errorf("got %v", err)
	}
}

// Pings beyond MaxPings a second are not answered, and answers to many leave in few writes (W5).
func TestConn_PingFlood(t *testing.T) {
	address := serve(t, Options{MaxPings: 10}, echo)
	p, _ := dial(t, address)
	go p.send(bytes.Repeat(frame(0x89, "x"), 20_000), frame(0x81, "end"))
	pongs := 0
	for {
		first, payload, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if first == textFrame && payload == "end" {
			break
		}
		pongs++
	}
	if pongs < 10 || pongs > 100 {
		t.Errorf("%d pongs", pongs)
	}
}

// The pool of buffers never shows one connection's bytes to another (W9).
func TestConn_CloseReasonIsEmpty(t *testing.T) {
	address := serve(t, Options{}, echo)
	secret, _ := dial(t, address)
	secret.send(frame(0x82, strings.Repeat("secret", 50)))
	secret.next()
	p, _ := dial(t, address)
	p.send(frame(0x81, "\xff"))
	if first, payload, err := p.next(); first != closeFrame || payload != "\x03\xef" || err != nil {
		t.Errorf("got %#x %q %v", first, payload, err)
	}
}

// Many goroutines queue and flush at the same time, shared and own messages, to a peer that reads
// slowly: nothing is lost, torn or out of one sender's order.
func TestConn_Queue_Concurrent(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", secure), func(t *testing.T) {
			const senders, each = 8, 400
			filler := strings.Repeat("f", 4000)
			l, dialer, url := listen(t, secure)
			serveOn(t, l, Options{MaxOutbound: 1 << 30}, func(c *Conn) {
				var all sync.WaitGroup
				for s := range senders {
					all.Go(func() {
						for i := range each {
							text := fmt.Appendf(nil, "%d %d %s", s, i, filler)
							switch i % 3 {
							case 0:
								c.QueueShared(budget.NewShared(AppendFrame(nil, text, false)))
							case 1:
								c.Queue(text, false)
							default:
								c.QueuePrefixed(text[0], text[1:])
							}
							if i%2 == 0 {
								c.Flush()
							}
						}
						c.Flush()
					})
				}
				all.Wait()
				c.Read()
			})
			client, _, err := dialer.Dial(url, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			client.SetReadDeadline(time.Now().Add(3 * patience))
			var next [senders]int
			for range senders * each {
				_, data, err := client.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				var s, i int
				head, whole := strings.CutSuffix(string(data), filler)
				if _, err := fmt.Sscan(head, &s, &i); err != nil || !whole || next[s] != i {
					t.Fatalf("got %.20q, want number %d; %v", data, next[s], err)
				}
				next[s]++
			}
		})
	}
}

// listen listens with or without TLS, and tells how to get there.
func listen(t *testing.T, secure bool) (l net.Listener, dialer *websocket.Dialer, url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if !secure {
		return l, &websocket.Dialer{}, "ws://" + address
	}
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	l = tls.NewListener(l, &tls.Config{Certificates: certs.TLS.Certificates})
	return l, &websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, "wss://" + address
}

// A peer that does not read costs MaxOutbound at most: then nothing more is taken, the connection
// is not writable, and nobody waits.
func TestConn_Queue_ErrFull(t *testing.T) {
	result := make(chan error, 1)
	address := serve(t, Options{MaxOutbound: 64 << 10}, func(c *Conn) {
		message := make([]byte, 16<<10)
		for range 10_000 { // more than the system's buffers
			if err := c.Queue(message, true); err != nil {
				if c.Writable() {
					err = errors.New("writable although full")
				}
				result <- err
				c.Abort()
				return
			}
			c.Flush()
		}
		result <- nil
	})
	dial(t, address)
	if err := <-result; err != ErrFull {
		t.Errorf("got %v", err)
	}
}

// pipeListener gives out ends of net.Pipe.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// A peer that takes nothing for WriteTimeout is cut off.
func TestConn_Flush_WriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(pipeListener)
		u := NewUpgrader(Options{WriteTimeout: 7 * time.Second})
		var took time.Duration
		var failure error
		over := make(chan struct{})
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := u.Upgrade(w, r)
			if err != nil {
				t.Error(err)
				return
			}
			c.Flush()
			c.Queue(make([]byte, 1000), true)
			c.Flush()
			begin := time.Now()
			_, _, failure = c.Read()
			took = time.Since(begin)
			c.Finish()
			close(over)
		})}
		go s.Serve(l)
		client, server := net.Pipe()
		l <- server
		p, _ := handshake(t, client)
		p.conn.SetDeadline(time.Time{})
		<-over
		if took < 7*time.Second || took > 9*time.Second || failure != ErrSlow {
			t.Errorf("took %v, %v", took, failure)
		}
		s.Close()
	})
}

// The peer's part of the close is waited for no longer than CloseTimeout (W5: close without reply).
func TestConn_Close_Timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(pipeListener)
		u := NewUpgrader(Options{CloseTimeout: 3 * time.Second})
		var took time.Duration
		var err error
		over := make(chan struct{})
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := u.Upgrade(w, r)
			c.Flush()
			begin := time.Now()
			c.Close(CodeNormal, "")
			_, _, err = c.Read()
			c.Finish()
			took = time.Since(begin)
			close(over)
		})}
		go s.Serve(l)
		client, server := net.Pipe()
		l <- server
		p, _ := handshake(t, client)
		p.want("close 1000")
		<-over
		if took > 6*time.Second || err != ErrClosed {
			t.Errorf("took %v, %v", took, err)
		}
		s.Close()
	})
}

// A close frame reaches a peer that is still in the middle of sending, since the system is not left
// with unread bytes.
func TestConn_Finish_UnreadData(t *testing.T) {
	address := serve(t, Options{MaxMessage: 1000}, echo)
	for range 20 {
		p, _ := dial(t, address)
		p.send(frame(0x82, strings.Repeat("x", 1<<20)))
		p.want("close 1009", "eof")
	}
}
