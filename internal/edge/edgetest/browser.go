// SPDX-License-Identifier: Apache-2.0

package edgetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// Browser is one session. Its methods are called by one goroutine, the test's; a goroutine of its
// own reads and answers pings.
type Browser struct {
	// SessionID is the Engine.IO id.
	SessionID string

	t         testing.TB
	transport transport
	decoder   socketio.Decoder
	aside     []socketio.Packet // read while another namespace's was looked for
	ended     chan struct{}     // closed when the reader has ended
	// writing holds one value during a write, since pongs are not the test's. It is no mutex: in a
	// bubble, time passes for who waits.
	writing chan struct{}
	mute    atomic.Bool

	mu       sync.Mutex // guards the fields below
	messages []Message
	failures []error
	came     chan struct{} // holds one value when messages came
}

// Open opens a session, which ends at the end of the test.
func (s *Server) Open(o Options) *Browser {
	s.t.Helper()
	b, err := s.TryOpen(o)
	if err != nil {
		s.t.Fatalf("open: %v", err)
	}
	return b
}

// TryOpen is Open for sessions that may be refused.
func (s *Server) TryOpen(o Options) (*Browser, error) {
	t, sid, err := s.connect(&o)
	if err != nil {
		return nil, err
	}
	limits := socketio.DefaultLimits()
	limits.Attachments, limits.AttachmentBytes = 1000, 1<<30
	b := &Browser{
		SessionID: sid, t: s.t, transport: t, decoder: socketio.Decoder{Limits: &limits},
		ended: make(chan struct{}), writing: make(chan struct{}, 1), came: make(chan struct{}, 1),
	}
	go b.run() // ends when the transport does; the cleanup waits for it
	s.t.Cleanup(b.Cut)
	return b, nil
}

func (b *Browser) run() {
	defer close(b.ended)
	for {
		messages, err := b.transport.read()
		if err != nil {
			b.failed(err)
			return
		}
		for _, m := range messages {
			if !b.packet(m) {
				return
			}
		}
	}
}

// packet takes one Engine.IO packet and tells whether more may follow.
func (b *Browser) packet(m Message) bool {
	switch {
	case m.Binary != nil:
	case m.Text == "2" && b.mute.Load():
		return true
	case m.Text == "2":
		return b.write(Message{Text: "3"}) == nil
	case m.Text == "1":
		return false
	case strings.HasPrefix(m.Text, "4"):
		m.Text = m.Text[1:]
	default:
		return true
	}
	b.mu.Lock()
	b.messages = append(b.messages, m)
	b.mu.Unlock()
	select {
	case b.came <- struct{}{}:
	default:
	}
	return true
}

// Send sends one Socket.IO packet, or what passes for one.
func (b *Browser) Send(text string) { b.SendPacket("4" + text) }

// SendPacket sends one Engine.IO packet, or what passes for one. After the end of the session it
// does nothing.
func (b *Browser) SendPacket(text string) { b.write(Message{Text: text}) }

// SendBinary sends one attachment.
func (b *Browser) SendBinary(data []byte) { b.write(Message{Binary: append([]byte{}, data...)}) }

func (b *Browser) write(m Message) error {
	b.writing <- struct{}{}
	defer func() { <-b.writing }()
	err := b.transport.write(m)
	if err != nil {
		b.failed(err)
	}
	return err
}

func (b *Browser) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, err)
}

// Failure is all that reading and writing failed with: what a standard client tells in the details
// of its disconnect. It is for the end of a session.
func (b *Browser) Failure() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.failures)
}

// Mute answers no more pings.
func (b *Browser) Mute() { b.mute.Store(true) }

// Cut ends the transport without a word, and waits for the reader.
func (b *Browser) Cut() {
	b.transport.cut()
	if _, ok := b.transport.(*polling); ok {
		b.SendPacket("1") // a GET ends with its session only
	}
	<-b.ended
}

// Receive gives the next message of the server.
func (b *Browser) Receive() Message {
	b.t.Helper()
	m, ok := b.receive(patience)
	if !ok {
		b.t.Fatal("no message came")
	}
	return m
}

// ExpectQuiet makes sure that no message has come and none comes for a time.
func (b *Browser) ExpectQuiet(d time.Duration) {
	b.t.Helper()
	if m, ok := b.receive(d); ok || len(b.aside) > 0 {
		b.t.Fatalf("a message came: %q, %d packets aside", m, len(b.aside))
	}
}

// ExpectClosed waits for the end of the session, and gives what came before and was not received.
func (b *Browser) ExpectClosed() []Message {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(patience):
		b.t.Fatal("the session was not closed")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.messages
	b.messages = nil
	return rest
}

// Closed tells whether the session has ended.
func (b *Browser) Closed() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

func (b *Browser) receive(d time.Duration) (Message, bool) {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for {
		if m, ok := b.take(); ok {
			return m, true
		}
		select {
		case <-b.came:
		case <-b.ended:
			return b.take()
		case <-timeout.C:
			return Message{}, false
		}
	}
}

func (b *Browser) take() (m Message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) == 0 {
		return m, false
	}
	m = b.messages[0]
	b.messages = b.messages[1:]
	return m, true
}

// packetOf gives the next packet of a namespace and leaves those of others for later.
func (b *Browser) packetOf(ns sio.Namespace) socketio.Packet {
	b.t.Helper()
	for i, p := range b.aside {
		if p.Namespace == ns {
			b.aside = append(b.aside[:i], b.aside[i+1:]...)
			return p
		}
	}
	for {
		p := b.Packet()
		if p.Namespace == ns {
			return p
		}
		b.aside = append(b.aside, p)
	}
}

// Packet gives the next packet with its attachments.
func (b *Browser) Packet() socketio.Packet {
	b.t.Helper()
	for {
		m := b.Receive()
		var p socketio.Packet
		var complete bool
		var err error
		if m.Binary != nil {
			p, complete, err = b.decoder.Binary(m.Binary)
		} else {
			p, complete, err = b.decoder.Text([]byte(m.Text))
		}
		if err != nil {
			b.t.Fatalf("the server sent %q: %v", m, err)
		}
		if complete {
			return p
		}
	}
}
