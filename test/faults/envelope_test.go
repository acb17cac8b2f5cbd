// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// intruder is a program that reaches NATS: it hears what replicas say, and publishes what it likes.
type intruder struct {
	t     *testing.T
	conn  net.Conn
	ended chan struct{}

	mu    sync.Mutex // guards heard
	heard []message
}

type message struct {
	subject string
	data    []byte
}

// intrude connects to a NATS that asks for nothing.
func intrude(t *testing.T, address string) *intruder {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &intruder{t: t, conn: conn, ended: make(chan struct{})}
	t.Cleanup(func() { _ = conn.Close(); <-s.ended })
	s.write("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB spanwire.> 1\r\n")
	go s.listen() // ends with the connection
	return s
}

func (s *intruder) write(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *intruder) listen() {
	defer close(s.ended)
	in := bufio.NewReader(s.conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		fields := strings.Fields(line)
		switch {
		case len(fields) > 0 && fields[0] == "PING":
			_, _ = io.WriteString(s.conn, "PONG\r\n")
		case len(fields) > 3 && fields[0] == "MSG":
			n, _ := strconv.Atoi(fields[len(fields)-1])
			data := make([]byte, n+2)
			if _, err := io.ReadFull(in, data); err != nil {
				return
			}
			s.mu.Lock()
			s.heard = append(s.heard, message{fields[1], data[:n]})
			s.mu.Unlock()
		}
	}
}

func (s *intruder) publish(subject string, data []byte) {
	s.t.Helper()
	s.write(fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(data), data))
}

// emits gives the envelopes with emits that were heard so far.
func (s *intruder) emits() (all []message, last *backplane.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.heard {
		e, err := backplane.Decode(m.data)
		if err != nil {
			continue
		}
		if _, ok := e.Body.(*backplane.Command); ok {
			all, last = append(all, m), e
		}
	}
	return all, last
}

const toAll = "spanwire.spanwire.all"

// forged gives an envelope of a replica with an emit of the number.
func forged(t *testing.T, origin sio.ReplicaID, epoch, sequence uint64, number int) []byte {
	t.Helper()
	data, err := backplane.Encode(&backplane.Envelope{
		Origin: origin, Epoch: epoch, Sequence: sequence, Commands: sequence, Body: &backplane.Command{Command: &sio.Emit{
			Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "n", Args: []byte("[" + itoa(number) + `,"no offset"]`)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// With a secret nothing that a intruder publishes has any influence, also not on the numbers of
// genuine envelopes; replayed ones are dropped, those of a replica that has left too.
func TestO07_Envelopes(t *testing.T) {
	t.Parallel()
	c := newTied(t, 2, "--cluster-secret", "a-secret-of-the-cluster", "--recovery", "5m")
	c.serve()
	for _, b := range c.all {
		if strings.Contains(b.Log(), "can forge emits") {
			t.Errorf("%s takes its NATS for open", b.Name)
		}
	}
	there := visit(t, c.all[1].HTTP)
	await(t, "the first emit passes", func() bool { ok, _ := c.say(0, 1); return ok })
	await(t, "it arrives", func() bool { return there.misses([]int{1}) == 0 })

	s := intrude(t, c.address)
	var genuine []message
	var e *backplane.Envelope
	await(t, "a genuine emit is overheard", func() bool {
		c.say(0, 2)
		genuine, e = s.emits()
		return len(genuine) > 0
	})
	before := metric(t, c.all[1], "spanwire_backplane_ignored_envelopes_total", `="unauthenticated"`)
	forgeries := [][]byte{
		forged(t, e.Origin, e.Epoch, e.Sequence+1, 100),
		forged(t, e.Origin, e.Epoch, e.Sequence+1_000_000, 101),
		forged(t, e.Origin, e.Epoch+1, 1, 102),
		forged(t, "ZZZZZZ", 1, 1, 103),
	}
	for at := range genuine[0].data {
		x := slices.Clone(genuine[0].data)
		x[at] ^= 0x20
		forgeries = append(forgeries, x)
	}
	for _, data := range forgeries {
		s.publish(toAll, data)
	}
	await(t, "all forgeries are counted", func() bool {
		return metric(t, c.all[1], "spanwire_backplane_ignored_envelopes_total", `="unauthenticated"`) == before+len(forgeries)
	})
	if err := c.all[1].WaitFor("unauthenticated envelope rejected", limit); err != nil {
		t.Error(err)
	}
	repeated := metric(t, c.all[1], "spanwire_backplane_ignored_envelopes_total", `="repeated"`)
	for _, m := range genuine {
		s.publish(m.subject, m.data)
	}
	await(t, "replayed envelopes are counted", func() bool {
		return metric(t, c.all[1], "spanwire_backplane_ignored_envelopes_total", `="repeated"`) == repeated+len(genuine)
	})
	if ok, _ := c.say(0, 3); !ok {
		t.Error("an emit after the forgeries was not delivered to all")
	}
	await(t, "genuine emits go on", func() bool { return there.misses([]int{3}) == 0 })
	if lost := metric(t, c.all[1], "spanwire_backplane_lost_envelopes_total"); lost != 0 {
		t.Errorf("%d envelopes were taken for lost", lost)
	}
	if there.misses([]int{100, 101, 102, 103}) != 4 {
		t.Error("a forged emit arrived")
	}
	if !there.back(t) {
		t.Error("forgeries cost a recovery")
	}

	genuine, _ = s.emits()
	if !c.all[0].Stop(limit) {
		t.Fatal("the replica did not stop")
	}
	await(t, "it has left", func() bool { return metric(t, c.all[1], "spanwire_mesh_peers") == 0 })
	repeated = metric(t, c.all[1], "spanwire_backplane_ignored_envelopes_total", `="repeated"`)
	for _, m := range genuine {
		s.publish(m.subject, m.data)
	}
	await(t, "envelopes of a replica that has left are dropped", func() bool {
		return metric(t, c.all[1], "spanwire_backplane_ignored_envelopes_total", `="repeated"`) == repeated+len(genuine)
	})

	// A replica that never met the one that has left takes nothing of what was recorded either, its
	// heartbeats included.
	fresh := c.start("fresh", "--nats-url", "nats://"+c.address, "--cluster-secret", "a-secret-of-the-cluster")
	await(t, "the fresh replica knows the other", func() bool { return metric(t, fresh, "spanwire_mesh_peers") == 1 })
	s.mu.Lock()
	recorded := slices.Clone(s.heard)
	s.mu.Unlock()
	for _, m := range recorded {
		if e, err := backplane.Decode(m.data); err == nil && e.Origin == genuineOrigin(genuine) {
			s.publish(toAll, m.data)
		}
	}
	await(t, "what was recorded is dropped", func() bool {
		return metric(t, fresh, "spanwire_backplane_ignored_envelopes_total", `="unproven"`) >= len(genuine)
	})
	if n := metric(t, fresh, "spanwire_mesh_peers"); n != 1 {
		t.Errorf("%d replicas are known after a replay", n)
	}
}

func genuineOrigin(all []message) sio.ReplicaID {
	e, err := backplane.Decode(all[0].data)
	if err != nil {
		return ""
	}
	return e.Origin
}

// Without a secret every program that reaches NATS is believed, which each replica says when it
// starts.
func TestO07_Open(t *testing.T) {
	t.Parallel()
	c := newTied(t, 2, "--recovery", "5m")
	c.serve()
	for _, b := range c.all {
		if err := b.WaitFor("can forge emits", limit); err != nil {
			t.Error(err)
		}
	}
	there := visit(t, c.all[1].HTTP)
	intrude(t, c.address).publish(toAll, forged(t, "ZZZZZZ", 1, 1, 103))
	await(t, "a forged emit arrives, so the forgeries of these tests would pass", func() bool { return there.misses([]int{103}) == 0 })
}
