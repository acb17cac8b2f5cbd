// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// replicaTimeout is short, so that the tests are.
var replicaTimeout = []string{"--replica-timeout", "4s", "--replica-heartbeat", "500ms"}

const ghosts = 100

// each runs a test with handlers of each language.
func each(t *testing.T, test func(t *testing.T, w *ghostWorld)) {
	for _, language := range []string{"go", "python"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			w := &ghostWorld{world: &world{t: t, place: place{language: language}, folder: t.TempDir()}, gone: map[string]string{}}
			t.Cleanup(w.tell)
			test(t, w)
		})
	}
}

// ghostWorld counts disconnects.
type ghostWorld struct {
	*world
	gone map[string]string // the file of each instance
}

// single starts one replica.
func (w *ghostWorld) single(name string, flags ...string) *process.Broker {
	w.t.Helper()
	b := w.broker(name, "127.0.0.1", append(flags, replicaTimeout...)...)
	w.front, w.back = b, b
	return b
}

// again starts a replica at the address of one that is gone.
func (w *ghostWorld) again(b *process.Broker) *process.Broker {
	w.t.Helper()
	next, err := process.StartBrokerAgain(built.broker, "again", b.Services, replicaTimeout...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(next.Kill)
	return next
}

// three starts a cluster.
func (w *ghostWorld) three() []*process.Broker {
	w.t.Helper()
	nats := w.freeAddress()
	list := []*process.Broker{w.single("first", "--nats-listen", nats)}
	for _, name := range []string{"second", "third"} {
		list = append(list, w.single(name, "--nats-url", "nats://"+nats))
	}
	for _, b := range list {
		w.await(b, 2, "spanwire_mesh_peers")
	}
	return list
}

// handler starts an instance that writes down disconnects and waits until it is attached to every
// one of the replicas.
func (w *ghostWorld) handler(at *process.Broker, replicas ...*process.Broker) *instance {
	w.t.Helper()
	file := filepath.Join(w.folder, fmt.Sprintf("gone-%d", len(w.instances)))
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.back = at
	env := []string{"GONE=" + file}
	if len(replicas) > 0 {
		env = append(env, "EVERY_REPLICA=1")
	}
	i := w.start(env...)
	w.gone[i.Name] = file
	for _, b := range replicas {
		w.await(b, len(w.instances), "spanwire_dispatch_instances", `location="local"`)
	}
	return i
}

// disconnects reads the disconnects of all instances: how often each socket, and the reasons.
func (w *ghostWorld) disconnects() (sockets map[string]int, reasons map[string]int) {
	w.t.Helper()
	sockets, reasons = map[string]int{}, map[string]int{}
	for _, file := range w.gone {
		data, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			id, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			sockets[id]++
			reasons[reason]++
		}
	}
	return sockets, reasons
}

// wantGone waits until each socket of the pages has been disconnected, with the reason if there is
// one, and checks that none was twice.
func (w *ghostWorld) wantGone(reason string, pages ...*page) {
	w.t.Helper()
	var want []string
	for _, p := range pages {
		for _, b := range p.browsers {
			want = append(want, b.id)
		}
	}
	w.until(fmt.Sprintf("%d disconnects", len(want)), func() bool {
		sockets, _ := w.disconnects()
		return len(sockets) >= len(want)
	})
	w.settled()
	sockets, reasons := w.disconnects()
	for _, id := range want {
		if sockets[id] != 1 {
			w.t.Errorf("%d disconnects of %s", sockets[id], id)
		}
		delete(sockets, id)
	}
	if len(sockets) > 0 {
		w.t.Errorf("disconnects of sockets that are there: %v", sockets)
	}
	if reason != "" && reasons[reason] != len(want) {
		w.t.Errorf("the reasons are %v", reasons)
	}
}

// settled waits until every party has had the time to say a disconnect again: what must not happen
// can only be waited for.
func (w *ghostWorld) settled() { time.Sleep(6 * time.Second) }

// A broker that is killed alone: its handlers get the disconnects of all its sockets once, although
// nobody else can tell them.
func TestO02_Alone(t *testing.T) {
	each(t, func(t *testing.T, w *ghostWorld) {
		b := w.single("broker")
		w.handler(b)
		p := w.openPage(b.HTTP, ghosts, 0)
		b.Kill()
		w.wantGone("transport error", p)
	})
}

// A broker that is restarted at the same address is another one: the sockets of the one before
// are gone.
func TestO02_Restarted(t *testing.T) {
	each(t, func(t *testing.T, w *ghostWorld) {
		b := w.single("broker")
		w.handler(b)
		p := w.openPage(b.HTTP, ghosts, 0)
		b.Kill()
		next := w.again(b)
		w.await(next, 1, "spanwire_dispatch_instances")
		other := w.openPage(next.HTTP, 10, 0)
		w.wantGone("transport error", p)
		_ = other
	})
}

// Each of three brokers is killed in turn while instances are attached to all of them: each socket
// is disconnected once in the service.
func TestO02_OneOfThree(t *testing.T) {
	each(t, func(t *testing.T, w *ghostWorld) {
		all := w.three()
		w.handler(all[1], all...)
		w.handler(all[2], all...)
		stay := w.openPage(all[1].HTTP, 20, 0)
		p := w.openPage(all[2].HTTP, ghosts, 0)
		all[2].Kill()
		w.wantGone("transport error", p)
		_ = stay
	})
}

// An instance at another replica hears all from that one, and an instance whose own replica is
// killed hears nothing of sockets elsewhere.
func TestO02_Lent(t *testing.T) {
	t.Run("owner", func(t *testing.T) {
		each(t, func(t *testing.T, w *ghostWorld) {
			front, _ := w.lent("back")
			p := w.openPage(front.HTTP, ghosts, 0)
			front.Kill()
			w.wantGone("transport error", p)
		})
	})
	t.Run("lender", func(t *testing.T) {
		each(t, func(t *testing.T, w *ghostWorld) {
			front, back := w.lent("front")
			p := w.openPage(front.HTTP, ghosts, 0)
			p.run()
			p.acked(ghosts)
			back.Kill()
			w.settled()
			if sockets, _ := w.disconnects(); len(sockets) != 0 {
				t.Errorf("%d disconnects of sockets that are there", len(sockets))
			}
		})
	})
}

// lent starts two replicas, of which the named one runs NATS for both, and an instance that reaches
// the back only.
func (w *ghostWorld) lent(nats string) (front, back *process.Broker) {
	w.t.Helper()
	address, nowhere := w.freeAddress(), w.freeAddress()
	flags := map[string][]string{"front": {"--nats-url", "nats://" + address}, "back": {"--nats-url", "nats://" + address}}
	flags[nats] = []string{"--nats-listen", address}
	flags["front"] = append(flags["front"], "--advertise-address", nowhere)
	names := []string{nats, "back"}
	if nats == "back" {
		names[1] = "front"
	}
	started := map[string]*process.Broker{}
	for _, name := range names {
		started[name] = w.single(name, flags[name]...)
	}
	front, back = started["front"], started["back"]
	w.await(front, 1, "spanwire_mesh_peers")
	w.await(back, 1, "spanwire_mesh_peers")
	w.handler(back)
	w.front = front
	w.serving(1)
	return front, back
}

// A link that is cut and comes back, and a broker that pauses, leave the sockets where they are.
func TestO02_Flap(t *testing.T) {
	each(t, func(t *testing.T, w *ghostWorld) {
		b := w.single("broker")
		line, err := process.Listen(b.Services)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = line.Close() })
		through := *b
		through.Services = line.Address()
		w.handler(&through)
		p := w.openPage(b.HTTP, ghosts, 0)
		p.run()
		p.acked(ghosts)
		for range 3 {
			line.Cut()
			p.acked(p.acks() + 5*ghosts)
		}
		if err := b.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // less than replica-timeout
		if err := b.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		p.acked(p.acks() + 5*ghosts)
		w.settled()
		if sockets, reasons := w.disconnects(); len(sockets) != 0 {
			t.Errorf("%d disconnects, for %v", len(sockets), reasons)
		}
		p.end()
		p.running.Wait()
		// whether what was on its way is lost with the connection decides the reason
		w.wantGone("", p)
	})
}

// A service that stops while its replica is dead tells what nobody could tell later.
func TestO02_Leaving(t *testing.T) {
	each(t, func(t *testing.T, w *ghostWorld) {
		b := w.single("broker", "--replica-timeout", "10m")
		i := w.handler(b)
		p := w.openPage(b.HTTP, ghosts, 0)
		b.Kill()
		if err := i.WaitFor("attaching again", limit); err != nil {
			t.Fatal(err)
		}
		w.signal(i, syscall.SIGTERM)
		if !i.Wait(limit) {
			t.Fatal("the instance did not end")
		}
		w.wantGone("transport error", p)
	})
}

// Two instances share the sockets; the link of one flaps, and what emits goes to the other. When
// the broker is killed afterwards, each socket is disconnected once, by the one that has it.
func TestO02_FlapThenKill(t *testing.T) {
	each(t, func(t *testing.T, w *ghostWorld) {
		b := w.single("broker", "--rebalance-rate", "0")
		line, err := process.Listen(b.Services)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = line.Close() })
		through := *b
		through.Services = line.Address()
		w.handler(&through)
		w.handler(b)
		w.await(b, 2, "spanwire_dispatch_instances", `location="local"`)
		idle, busy := w.openPage(b.HTTP, ghosts/2, 0), w.openPage(b.HTTP, ghosts/2, 0)
		line.Hold()
		line.Cut()
		w.await(b, 1, "spanwire_dispatch_instances", `location="local"`)
		busy.run()
		busy.acked(5 * ghosts) // all of them with the other instance
		line.Release()
		w.await(b, 2, "spanwire_dispatch_instances", `location="local"`)
		busy.acked(busy.acks() + ghosts)
		b.Kill()
		w.wantGone("transport error", idle, busy)
	})
}
