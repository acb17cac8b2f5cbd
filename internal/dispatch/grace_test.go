// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// What another replica sent before it heard of a drain is still handled, and the instance leaves
// after that.
func TestAttachment_Drain_grace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{DrainGrace: time.Second})
		a := f.attach("a", "a1", nil)
		empty := a.a.Drain()
		isEmpty := func() bool {
			synctest.Wait()
			select {
			case <-empty:
				return true
			default:
				return false
			}
		}
		if isEmpty() {
			t.Error("it left at once")
		}
		time.Sleep(time.Second / 2)
		late := &Dispatch{ID: 7, Socket: &socket{id: "far", ns: "/"}, Kind: Event, Event: &sio.Event{Name: "x"}}
		if err := f.DispatchRemote("a1", a.a.Generation(), late, func(sio.DispatchID, sio.Result) {}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if isEmpty() {
			t.Error("it left with something open")
		}
		a.resolve(t, 0, answered("[]"))
		if !isEmpty() {
			t.Error("it stays")
		}
		a.a.Detach()
	})
}
