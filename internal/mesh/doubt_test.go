// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

// breaks makes the link of the replica break, for a moment or until heal.
func (f *faulty) breaks(down bool) {
	f.set(func(f *faulty) {
		f.sick, f.mute = down, down
		f.losses++
	})
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

// heal makes the link whole.
func (f *faulty) heal() {
	f.set(func(f *faulty) { f.sick, f.mute = false, false })
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

func (n *node) gaps() int { return int(testutil.ToFloat64(n.hubMetrics.Gaps)) }

// certain waits until the replica knows that it misses nothing, and its emits reach all.
func certain(t *testing.T, n *node) {
	t.Helper()
	eventually(t, string(n.id)+" is certain", func() bool { return n.publisher.Certain() && n.emit("probe") == nil })
}

// After a loss of its link a replica is certain again once every other has answered; when nothing
// was missed there is no gap.
func TestMesh_Doubt_Proven(t *testing.T) {
	onMemory(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		certain(t, a)
		b.link.set(func(f *faulty) { f.mute = true }) // its answer does not come
		a.link.breaks(false)
		eventually(t, "a asks", func() bool { return !a.publisher.Certain() })
		err := a.emit("one")
		if sio.CodeOf(err) != sio.CodeUnavailable {
			t.Errorf("an emit before all answered: %v", err)
		}
		if err := a.emit("one", nodes[2].socket.id.Room()); err != nil {
			eventually(t, "the other has answered", func() bool { return a.emit("one", nodes[2].socket.id.Room()) == nil })
		}
		if err := a.emit("one"); !slices.Equal(sio.UnreachedIn(err), []sio.ReplicaID{b.id}) {
			t.Errorf("an emit while one is awaited: %v", err)
		}
		b.link.set(func(f *faulty) { f.mute = false })
		certain(t, a)
		if a.gaps() != 0 {
			t.Errorf("%d gaps where nothing was missed", a.gaps())
		}
	})
}

// What was missed while the link was down is found by its numbers, also when nothing follows it but
// heartbeats.
func TestMesh_Doubt_Missed(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		certain(t, a)
		certain(t, b)
		b.link.set(func(f *faulty) { f.mute = true }) // what it sends is lost, without an error
		if err := b.emit("lost"); err != nil {
			t.Fatal(err)
		}
		b.link.set(func(f *faulty) { f.mute = false })
		eventually(t, "a finds the gap", func() bool { return a.gaps() == 1 })
		if b.gaps() != 0 {
			t.Error("b missed nothing")
		}
		if err := b.emit("lost", a.socket.id.Room()); err != nil { // on the stream to a alone
			t.Fatal(err)
		}
		b.link.set(func(f *faulty) { f.lose = 1 })
		if err := b.emit("lost", a.socket.id.Room()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a finds that too", func() bool { return a.gaps() == 2 })
		b.link.set(func(f *faulty) { f.refuse = true }) // not even taken
		if err := b.emit("refused"); sio.CodeOf(err) != sio.CodeUnavailable {
			t.Errorf("an emit that the backplane refuses: %v", err)
		}
		b.link.set(func(f *faulty) { f.refuse = false })
		eventually(t, "a finds what was refused", func() bool { return a.gaps() == 3 })
	})
}

// A replica that does not come back after an outage, or falls silent without one, may have sent
// anything.
func TestMesh_Doubt_Died(t *testing.T) {
	onMemory(t, 3, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b, c := nodes[0], nodes[1], nodes[2]
		certain(t, a)
		a.link.breaks(true)
		c.link.set(func(f *faulty) { f.mute = true })
		time.Sleep(15 * time.Second) // more than Dead: a's own silence is no proof
		if a.gaps() != 0 {
			t.Error("a gap while a cannot tell")
		}
		a.link.heal()
		eventually(t, "b has answered", func() bool { return a.emit("one", b.socket.id.Room()) == nil })
		if err := a.emit("one"); !slices.Equal(sio.UnreachedIn(err), []sio.ReplicaID{c.id}) {
			t.Errorf("an emit while c may come back: %v", err)
		}
		certain(t, a)
		if a.gaps() != 1 || b.gaps() != 2 { // b heard nothing of a either
			t.Errorf("%d gaps at a, %d at b, want 1 and 2", a.gaps(), b.gaps())
		}
	})
}

// A replica that drains leaves no doubt.
func TestMesh_Doubt_Left(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		certain(t, a)
		if err := b.emit("last"); err != nil {
			t.Fatal(err)
		}
		b.stop()
		know(t, a, 1)
		time.Sleep(30 * time.Second)
		certain(t, a)
		if a.gaps() != 0 {
			t.Errorf("%d gaps", a.gaps())
		}
	})
}

// A replica that is silent for a while is doubted before it is taken for dead, and no more once it
// is heard.
func TestMesh_Doubt_Silent(t *testing.T) {
	onMemory(t, 2, func(t *testing.T, nodes []*node, _ func() *node) {
		a, b := nodes[0], nodes[1]
		certain(t, a)
		b.link.set(func(f *faulty) { f.mute = true })
		time.Sleep(8 * time.Second)
		if err := a.emit("one"); !slices.Equal(sio.UnreachedIn(err), []sio.ReplicaID{b.id}) || a.publisher.Certain() {
			t.Errorf("an emit while b is silent: %v", err)
		}
		b.link.set(func(f *faulty) { f.mute = false })
		certain(t, a)
	})
}
