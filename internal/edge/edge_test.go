// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"runtime"
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
		"path", "connect-timeout", "attachment-timeout", "max-namespaces", "connect-rate", "max-attachments", "max-depth", "max-namespace ",
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
			t.Error("a new session was let in")
		}
	})
}

// What an idle session costs here must stay small: there are many.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(client{}); n > 192 {
		t.Errorf("a client has %d bytes", n)
	}
	if n := unsafe.Sizeof(Socket{}); n > 144 {
		t.Errorf("a socket has %d bytes", n)
	}
}

// An ack that nobody waits for must cost nothing, and one that is waited for little more than the hub's share.
func TestSocket_Allocations(t *testing.T) {
	w := newWorld(t, nil)
	b := w.Open(edgetest.Options{})
	s := b.Connect("/", nil)
	socket := w.socketOf("/")
	s.Disconnect()
	for socket.joined() {
		runtime.Gosched()
	}
	ack := sio.Ack{Args: []byte(`[1]`)}
	if n := testing.AllocsPerRun(100, func() { socket.Acknowledge(1, ack) }); n > 0 {
		t.Errorf("an ack for a socket that is gone costs %v allocations", n)
	}
}
