// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// An instance that attaches again is notified which of its sockets went to others in between, and
// no others.
func TestService_owed(t *testing.T) {
	f := newFixture(t, Options{RebalanceRate: -1})
	first := f.attach("a", "a1", nil)
	moved, ended, stays := f.connect("moved"), f.connect("ended"), f.connect("stays")
	for n, s := range []*socket{moved, ended, stays} {
		s.emit(t, "chat", 1)
		first.resolve(t, n, answered(`[]`))
	}
	second := f.attach("a", "a2", nil)
	first.a.Detach()
	moved.emit(t, "chat", 2)
	ended.binding.Disconnect(sio.ReasonTransportClose)
	same(t, "given to the other", second.names(), "moved:event chat", "ended:disconnect")
	back := f.attach("a", "a1", nil)
	same(t, "released", []string{fmt.Sprint(back.released)}, "[moved ended]")
	again := f.attach("a", "a1", nil)
	same(t, "released again", []string{fmt.Sprint(again.released)}, "[]")
	second.a.Detach()
	stays.emit(t, "chat", 2)
	same(t, "released when it is placed again", []string{fmt.Sprint(again.released)}, "[stays]")
	if !again.last().Introduce {
		t.Error("the socket is not introduced again")
	}
}
