// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

// Validate must pass the defaults and name every fault at once.
func TestOptions_Validate(t *testing.T) {
	o := DefaultOptions()
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	err := (&Options{MaxAttachments: -1, MaxUnfinished: -1}).Validate()
	for _, name := range []string{
		"path", "connect-timeout", "attachment-timeout", "max-namespaces-per-session", "connect-rate", "max-attachments", "max-json-depth", "max-namespace-length",
		"max-unfinished", "max-outstanding-acks",
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

// Drain must end all sessions and refuse new ones.
func TestServer_Drain(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.Connect("/", nil)
		if err := w.edge.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		b.ExpectClosed()
		if _, err := w.TryOpen(o); err == nil {
			t.Error("a new session was accepted")
		}
	})
}

// What an idle session costs here must stay small: there are many.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(client{}); n > 144 {
		t.Errorf("a client has %d bytes", n)
	}
	if n := unsafe.Sizeof(Socket{}); n > 128 {
		t.Errorf("a socket has %d bytes", n)
	}
}

// An event must cost no allocation but its name, up to the instance, and an ack none at all.
func TestSocket_Allocations(t *testing.T) {
	if raceDetector {
		return // the detector makes pools forget
	}
	_, i := benchWorld(t)
	event := []byte(`2["message",{"text":"hello world"}]`)
	buffer := make([]byte, len(event))
	if n := testing.AllocsPerRun(100, func() {
		copy(buffer, event)
		i.socket.client.Message(buffer, false)
	}); n > 1 {
		t.Errorf("an event costs %v allocations", n)
	}
	ack := sio.Ack{Args: []byte(`[1]`)}
	if n := testing.AllocsPerRun(100, func() {
		i.socket.Acknowledge(1, ack)
		i.socket.Flush()
	}); n > 0 {
		t.Errorf("an ack costs %v allocations", n)
	}
}

// The same must work over a real network, and one emit reach many browsers on both transports,
// attachments beside their packet.
func TestServer_TCP(t *testing.T) {
	w := newWorld(t, nil)
	server := edgetest.ServeTCP(t, w.edge)
	t.Cleanup(w.drain)
	var sockets []*edgetest.Socket
	for n := range 40 {
		sockets = append(sockets, server.Open(edgetest.Options{Polling: n%2 == 0}).Connect("/", nil))
	}
	for round := range 20 {
		w.hub.Execute(&sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{
			Name: "news", Args: fmt.Appendf(nil, `[%d,%s]`, round, attachment), Attachments: [][]byte{{byte(round)}},
		}})
	}
	for _, s := range sockets {
		for round := range 20 {
			ev := s.Expect("news")
			if ev.Args[0] != float64(round) || len(ev.Attachments) != 1 || ev.Attachments[0][0] != byte(round) {
				t.Fatalf("round %d: got %+v", round, ev)
			}
		}
		if got := s.EmitWithAck("echo", []byte("x"), "y"); len(got) != 2 || string(got[0].([]byte)) != "x" {
			t.Errorf("got %v", got)
		}
	}
}
