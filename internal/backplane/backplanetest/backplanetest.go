// SPDX-License-Identifier: Apache-2.0

// Package backplanetest is the suite that every backplane must pass.
package backplanetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// MaxEnvelope is the size of the largest envelope that the suite sends.
const MaxEnvelope = 3 << 20

// patience bounds the wait for something that must come. Nothing waits that long unless it fails.
const patience = 20 * time.Second

// Medium makes the backplane of one more replica. All that one Medium makes reach each other. The
// suite closes them.
type Medium func(t *testing.T) backplane.Backplane

// Run runs the suite; each test gets a medium of its own.
func Run(t *testing.T, medium func(t *testing.T) Medium) {
	for name, test := range map[string]func(*testing.T, Medium){
		"All":        testAll,
		"One":        testOne,
		"Order":      testOrder,
		"Concurrent": testConcurrent,
		"Large":      testLarge,
		"Empty":      testEmpty,
		"Garbage":    testGarbage,
		"Stop":       testStop,
		"Close":      testClose,
	} {
		t.Run(name, func(t *testing.T) { test(t, medium(t)) })
	}
}

// Address is one that a server may leave and listen at again, since it is below the ports that the
// system gives to outgoing connections and to listeners that ask for any.
func Address(t testing.TB) string {
	t.Helper()
	const first, count, tries = 10_000, 22_000, 100
	var err error
	for range tries {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))); err == nil {
			if err = l.Close(); err == nil {
				return l.Addr().String()
			}
		}
	}
	t.Fatal(err)
	return ""
}

// Replica is one end with all that it received.
type Replica struct {
	backplane.Backplane
	ID  sio.ReplicaID
	Got chan []byte
}

// Join adds a replica to the medium.
func Join(t *testing.T, medium Medium) *Replica {
	t.Helper()
	r := &Replica{Backplane: medium(t), ID: sio.NewReplicaID(), Got: make(chan []byte, 1<<16)}
	t.Cleanup(r.Close)
	stop, err := r.Subscribe(r.ID, func(data []byte) { r.Got <- data })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return r
}

// Expect waits for the next thing received.
func (r *Replica) Expect(t *testing.T) []byte {
	t.Helper()
	select {
	case data := <-r.Got:
		return data
	case <-time.After(patience):
		t.Fatal("nothing came")
		return nil
	}
}

func (r *Replica) expect(t *testing.T, want string) {
	t.Helper()
	if got := r.Expect(t); string(got) != want {
		t.Fatalf("got %.80q, want %.80q", got, want)
	}
}

func send(t *testing.T, from *Replica, to sio.ReplicaID, data string) {
	t.Helper()
	if err := from.Publish(to, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// What is sent to all reaches every other replica, and not the one that sent it.
func testAll(t *testing.T, medium Medium) {
	a, b, c := Join(t, medium), Join(t, medium), Join(t, medium)
	send(t, a, "", "from a")
	b.expect(t, "from a")
	c.expect(t, "from a")
	send(t, b, "", "from b")
	a.expect(t, "from b") // and so not its own before
	c.expect(t, "from b")
	if err := a.Healthy(); err != nil {
		t.Errorf("healthy: %v", err)
	}
}

// What is sent to one reaches that one alone, and not even it when it sent it.
func testOne(t *testing.T, medium Medium) {
	a, b, c := Join(t, medium), Join(t, medium), Join(t, medium)
	send(t, a, b.ID, "to b")
	send(t, a, "", "to all")
	b.expect(t, "to b")
	b.expect(t, "to all")
	c.expect(t, "to all")
	send(t, b, b.ID, "to myself")
	send(t, b, "nobody", "to nobody")
	send(t, c, b.ID, "to b again")
	b.expect(t, "to b again")
}

// One publisher's envelopes arrive in order, whether they went to all or to one.
func testOrder(t *testing.T, medium Medium) {
	a, b := Join(t, medium), Join(t, medium)
	const n = 5000
	r := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		to := sio.ReplicaID("")
		if r.IntN(2) == 0 {
			to = b.ID
		}
		send(t, a, to, fmt.Sprint(i))
	}
	for i := range n {
		b.expect(t, fmt.Sprint(i))
	}
}

// Publishers do not disturb each other, also when several goroutines share one.
func testConcurrent(t *testing.T, medium Medium) {
	const publishers, goroutines, each = 3, 4, 300
	receiver := Join(t, medium)
	var all sync.WaitGroup
	for p := range publishers {
		from := Join(t, medium)
		for g := range goroutines {
			all.Go(func() {
				for i := range each {
					data := binary.BigEndian.AppendUint32([]byte{byte(p), byte(g)}, uint32(i))
					if err := from.Publish("", data); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	next := map[[2]byte]uint32{}
	for range publishers * goroutines * each {
		data := receiver.Expect(t)
		who := [2]byte(data)
		if i := binary.BigEndian.Uint32(data[2:]); i != next[who] {
			t.Fatalf("goroutine %v: got %d, want %d", who, i, next[who])
		}
		next[who]++
	}
	all.Wait()
}

// Envelopes of the largest size pass, and are the receiver's own to change.
func testLarge(t *testing.T, medium Medium) {
	a, b, c := Join(t, medium), Join(t, medium), Join(t, medium)
	data := make([]byte, MaxEnvelope)
	for i := range data {
		data[i] = byte(i * 7)
	}
	want := bytes.Clone(data)
	for range 3 {
		if err := a.Publish("", data); err != nil {
			t.Fatal(err)
		}
		got := b.Expect(t)
		if !bytes.Equal(got, want) {
			t.Fatal("a large envelope was altered")
		}
		clear(got)
		if !bytes.Equal(c.Expect(t), want) {
			t.Fatal("receivers share their bytes")
		}
	}
}

// An envelope without bytes passes like any.
func testEmpty(t *testing.T, medium Medium) {
	a, b := Join(t, medium), Join(t, medium)
	send(t, a, "", "")
	send(t, a, b.ID, "")
	b.expect(t, "")
	b.expect(t, "")
}

// Bytes are carried as they are.
func testGarbage(t *testing.T, medium Medium) {
	a, b := Join(t, medium), Join(t, medium)
	r := rand.New(rand.NewPCG(2, 2))
	for range 100 {
		data := make([]byte, r.IntN(200))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		send(t, a, "", string(data))
		b.expect(t, string(data))
	}
}

// After stop nothing is received; a new subscription goes on.
func testStop(t *testing.T, medium Medium) {
	a, b, c := Join(t, medium), medium(t), Join(t, medium)
	t.Cleanup(b.Close)
	id := sio.NewReplicaID()
	stop, err := b.Subscribe(id, func([]byte) { t.Error("received after stop") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	send(t, a, id, "while stopped")
	send(t, a, "", "for all")
	c.expect(t, "for all")
	got := make(chan []byte, 1)
	stop, err = b.Subscribe(id, func(data []byte) { got <- data })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	send(t, a, id, "again")
	if data := (&Replica{Got: got}).Expect(t); string(data) != "again" {
		t.Errorf("got %q", data)
	}
}

// A closed backplane says so, ends its consumer, and can be closed again; what it sent before
// arrives.
func testClose(t *testing.T, medium Medium) {
	a, b := Join(t, medium), Join(t, medium)
	send(t, a, b.ID, "the last")
	a.Close()
	a.Close()
	b.expect(t, "the last")
	if err := a.Publish("", []byte("too late")); err == nil {
		t.Error("publishing on a closed backplane did not fail")
	}
	if a.Healthy() == nil {
		t.Error("a closed backplane is healthy")
	}
	if _, err := a.Subscribe(a.ID, func([]byte) {}); err == nil {
		t.Error("subscribing on a closed backplane did not fail")
	}
}
