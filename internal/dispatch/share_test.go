// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// A handler that hangs leaves part of the window to the others, and gives back what it took.
func TestAttachment_shareOfEvent(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", func(r *sio.Register) {
		r.Window = 16
		r.Namespaces[0].Events = []string{"stuck", "fine"}
	})
	var sockets []*socket
	for n := range 20 {
		s := f.connect(fmt.Sprint("s", n))
		s.emit(t, "stuck", 1)
		sockets = append(sockets, s)
	}
	if got := len(a.names()); got != 12 {
		t.Errorf("%d of 16 are open on the event that hangs, want 12", got)
	}
	if n := value(f.m.WaitingShare); n != 8 {
		t.Errorf("%d sockets wait for the share, want 8", n)
	}
	f.connect("other").emit(t, "fine", 1)
	if got := a.names(); got[len(got)-1] != "other:event fine" {
		t.Errorf("given: %q", got)
	}
	a.resolve(t, 12, answered("[]"))
	for n := range 12 {
		a.resolve(t, n, answered("[]"))
	}
	if got := len(a.names()); got != 21 {
		t.Errorf("%d were given, want 21", got)
	}
	for n := 13; n < 21; n++ {
		a.resolve(t, n, answered("[]"))
	}
	for _, s := range sockets {
		same(t, "acks", s.got(), "1 []")
	}
	if n := value(f.m.WaitingShare) + value(f.m.Open) + value(f.m.Queued) + value(f.m.WaitingWindow); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// A socket that floods leaves part of the window to the others.
func TestAttachment_shareOfSocket(t *testing.T) {
	f := newFixture(t, Options{})
	a := f.attach("a", "a1", func(r *sio.Register) { r.Window = 16 })
	flood := f.connect("flood")
	for n := range 30 {
		flood.emit(t, fmt.Sprint("e", n%4), sio.AckID(n))
	}
	f.connect("other").emit(t, "fine", 1)
	if got := a.names(); len(got) != 9 || got[len(got)-1] != "other:event fine" {
		t.Errorf("given: %q", got)
	}
	for n := range 31 {
		a.resolve(t, n, answered("[]"))
	}
	if got := flood.got(); len(got) != 30 || got[29] != "29 []" {
		t.Errorf("acks %q", got)
	}
}

// Lanes that wait for a share go elsewhere when their instance leaves.
func TestAttachment_shareOfLeaving(t *testing.T) {
	for name, leave := range map[string]func(*instance){
		"drain":  func(a *instance) { a.a.Drain() },
		"detach": func(a *instance) { a.a.Detach() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Options{})
			a := f.attach("a", "a1", func(r *sio.Register) { r.Window = 8 })
			for n := range 10 {
				f.connect(fmt.Sprint("s", n)).emit(t, "stuck", 1)
			}
			b := f.attach("a", "a2", nil)
			leave(a)
			if got := len(b.names()); got < 3 {
				t.Errorf("%d went elsewhere", got)
			}
			a.a.Detach()
			for n := range 10 {
				b.resolve(t, n, answered("[]"))
			}
			if n := value(f.m.WaitingShare) + value(f.m.Open) + value(f.m.Queued) + value(f.m.WaitingWindow); n != 0 {
				t.Errorf("%d are left", n)
			}
		})
	}
}

// What kills its instances is set aside, and what merely died with it is not.
func TestAttachment_poison(t *testing.T) {
	for _, tt := range []struct{ killers, most, window int }{{1, 5, 64}, {2, 5, 64}, {1, 3, 1024}, {1, 1, 1024}, {1, 5, 16384}, {1, 5, 1}} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			killers := tt.killers
			f := newFixture(t, Options{MaxRedeliveries: tt.most})
			all := map[string]*socket{}
			for n := range 100 {
				all[fmt.Sprint("s", n)] = f.connect(fmt.Sprint("s", n))
			}
			lives := 0
			for first := true; first || value(f.m.Queued) > 0; lives++ {
				a := f.attach("a", "a1", func(r *sio.Register) { r.Window = tt.window })
				if first {
					for n := range 100 {
						name := "fine"
						if n%50 == 40 && n/50 < killers {
							name = "killer"
						}
						all[fmt.Sprint("s", n)].emit(t, name, 1)
					}
				}
				first = false
				for n := 0; n < len(a.names()) && !strings.HasSuffix(a.names()[n], "killer"); n++ {
					a.resolve(t, n, answered("[]"))
				}
				a.a.Detach()
			}
			if n := value(f.m.DroppedPoison); n != killers {
				t.Errorf("%d were set aside in %d lives, want %d", n, lives, killers)
			}
			if n := value(f.m.Answered); n != 100-killers {
				t.Errorf("%d were handled, want %d", n, 100-killers)
			}
			all["s40"].emit(t, "after", 2)
			b := f.attach("a", "a1", nil)
			if got := b.last(); got.Socket.ID() != "s40" || got.Redeliveries != 0 {
				t.Errorf("the socket's next is not given: %v", b.names())
			}
			b.a.Detach()
		})
	}
}
