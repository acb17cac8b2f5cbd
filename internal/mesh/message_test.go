// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/memory"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// talkers are replicas with dispatchers of their own that tell each other messages.
type talkers struct {
	t           *testing.T
	nodes       []*node
	dispatchers []*dispatch.Dispatcher
}

// onTalkers runs the test on n replicas on a bus in a bubble.
func onTalkers(t *testing.T, n int, test func(t *testing.T, c *talkers)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bus := memory.NewBus(memory.DefaultPending)
		c := &talkers{t: t}
		for range n {
			var link later
			d := dispatch.New(dispatch.Options{Others: &link}, metrics.NewDispatch(nil), slog.New(slog.DiscardHandler))
			x := newNodeWith(t, bus.New(metrics.NewBackplane(nil)), ForDispatcher(d))
			link.Publisher = x.publisher
			c.nodes, c.dispatchers = append(c.nodes, x), append(c.dispatchers, d)
		}
		for _, x := range c.nodes {
			know(t, x, n)
		}
		test(t, c)
	})
}

// later is a publisher that is made after its dispatcher.
type later struct{ *backplane.Publisher }

// listener is an instance that takes messages, and answers each with its own name or not at all.
type listener struct {
	mute bool

	mu         sync.Mutex
	attachment *dispatch.Attachment
	name       string
	seen       []dispatch.Dispatch
	answered   int
}

func (l *listener) Release(sio.SocketID) {}

func (l *listener) Queue(d *dispatch.Dispatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, *d)
}

func (l *listener) Flush() {
	l.mu.Lock()
	from, to := l.answered, len(l.seen)
	ids := make([]sio.DispatchID, 0, to-from)
	for _, d := range l.seen[from:] {
		ids = append(ids, d.ID)
	}
	l.answered = to
	a := l.attachment
	l.mu.Unlock()
	if l.mute {
		return
	}
	for _, id := range ids {
		_ = a.Resolve(id, sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: fmt.Appendf(nil, "[%q]", l.name)}})
	}
}

func (l *listener) ids() (all []sio.DispatchID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.seen {
		all = append(all, d.ID)
	}
	return all
}

// attach adds an instance that takes the messages.
func (c *talkers) attach(replica int, id sio.InstanceID, mute bool, messages ...string) *listener {
	c.t.Helper()
	l := &listener{name: string(id), mute: mute}
	a, err := c.dispatchers[replica].Attach(&sio.Register{
		Service: "s", Instance: id, Window: 8, Namespaces: []sio.Registration{{Namespace: "/", Messages: messages}},
	}, l, dispatch.Local)
	if err != nil {
		c.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attachment = a
	return l
}

// say sends a message from an instance on the first replica and gathers the acks.
func (c *talkers) say(timeout time.Duration, acks bool) (came []string, all sio.InstanceAcks, err error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), timeout)
	defer cancel()
	all, err = c.dispatchers[0].Tell(ctx, &sio.Message{
		Namespace: "/", Event: sio.Event{Name: "m", Args: []byte(`[1]`), Attachments: [][]byte{{1}}}, WantAcks: acks,
		Sender: sio.Addressee{Service: "s", Instance: "sender"},
	})()
	for _, a := range all.Came {
		came = append(came, string(a.Service)+"/"+string(a.Instance)+string(a.Ack.Args))
	}
	slices.Sort(came)
	return came, all, err
}

// A message reaches every other instance in the cluster that takes it, not the sender on whichever
// replica, and each ack comes once.
func TestMesh_Message(t *testing.T) {
	onTalkers(t, 3, func(t *testing.T, c *talkers) {
		senders := []*listener{c.attach(0, "sender", false, "*"), c.attach(1, "sender", false, "*")}
		here, there := c.attach(0, "here", false, "m"), c.attach(1, "there", false, "*")
		deaf := c.attach(2, "deaf", false, "other")
		twice := []*listener{c.attach(1, "twice", false, "m"), c.attach(2, "twice", false, "m")}
		onAll := []*listener{c.attach(0, "all", false, "m"), c.attach(1, "all", false, "m"), c.attach(2, "all", false, "m")}
		came, acks, err := c.say(5*time.Second, true)
		want := []string{`s/all["all"]`, `s/here["here"]`, `s/there["there"]`, `s/twice["twice"]`}
		if !slices.Equal(came, want) || acks.Missing != 0 || len(acks.Silent) != 0 || err != nil {
			t.Errorf("came %q, %+v, %v", came, acks, err)
		}
		if len(senders[0].ids())+len(senders[1].ids())+len(deaf.ids()) != 0 {
			t.Error("the sender, or one who does not listen, got it")
		}
		ids := slices.Concat(here.ids(), there.ids(), twice[0].ids(), twice[1].ids(), onAll[0].ids(), onAll[1].ids(), onAll[2].ids())
		if len(ids) != 5 || len(slices.Compact(ids)) != 1 {
			t.Errorf("given as %v", ids)
		}
		d := there.seen[0]
		if d.Kind != dispatch.Message || !d.WantsAck || d.Sender.Instance != "sender" || d.Socket.Namespace() != "/" || d.Socket.ID() != "" {
			t.Errorf("given %+v", d)
		}
		if came, acks, err = c.say(5*time.Second, false); len(came) != 0 || acks.Missing != 0 || err != nil {
			t.Errorf("without acks %q, %+v, %v", came, acks, err)
		}
		synctest.Wait()
		if len(there.ids()) != 2 || len(here.ids()) != 2 {
			t.Error("without acks it did not arrive")
		}
	})
}

// One instance that is silent costs the time and is missing; one that leaves, and a replica that
// leaves, do not; a silent replica is named.
func TestMesh_Message_Missing(t *testing.T) {
	onTalkers(t, 3, func(t *testing.T, c *talkers) {
		c.attach(0, "here", false, "m")
		c.attach(1, "good", false, "m")
		silent := c.attach(1, "silent", true, "m")
		check := func(what string, took time.Duration, missing int, silentReplicas []sio.ReplicaID, want ...string) {
			t.Helper()
			start := time.Now()
			came, acks, err := c.say(5*time.Second, true)
			// The other replicas stop a little earlier than the sender, so that their answers
			// arrive in time.
			if d := time.Since(start); d > took || took-d > time.Second {
				t.Errorf("%s: it took %v, want %v", what, d, took)
			}
			if !slices.Equal(came, want) || acks.Missing != missing || !slices.Equal(acks.Silent, silentReplicas) || err != nil {
				t.Errorf("%s: came %q, %+v, %v", what, came, acks, err)
			}
		}
		check("one is silent", 5*time.Second, 1, nil, `s/good["good"]`, `s/here["here"]`)
		time.AfterFunc(time.Second, silent.attachment.Detach)
		check("it leaves", time.Second, 1, nil, `s/good["good"]`, `s/here["here"]`)

		c.attach(2, "far", true, "m")
		time.AfterFunc(2*time.Second, c.nodes[2].stop)
		check("a replica leaves", 2*time.Second, 1, nil, `s/good["good"]`, `s/here["here"]`)
		c.nodes[1].link.set(func(f *faulty) { f.mute = true })
		check("a replica is silent", 5*time.Second, 0, []sio.ReplicaID{c.nodes[1].id}, `s/here["here"]`)
		for i, n := range c.nodes {
			if testutil.ToFloat64(n.mesh.metrics.Gathers) != 0 || testutil.ToFloat64(n.metrics.QueriesOpen) != 0 {
				t.Errorf("something is left on replica %d", i)
			}
		}
	})
}

// Large acks come in several answers; one that is too large for the backplane is missing.
func TestMesh_Message_Large(t *testing.T) {
	onTalkers(t, 2, func(t *testing.T, c *talkers) {
		for i := range 9 {
			l := c.attach(1, sio.InstanceID(fmt.Sprint("i", i)), false, "m")
			l.name = string(make([]byte, 30_000)) // each zero takes four bytes when it is quoted
		}
		if came, acks, err := c.say(5*time.Second, true); len(came) != 9 || acks.Missing != 0 || err != nil {
			t.Errorf("came %d, missing %d, %v", len(came), acks.Missing, err)
		}
		huge := c.attach(1, "huge", false, "m")
		huge.name = string(make([]byte, maxEnvelope))
		if came, acks, err := c.say(5*time.Second, true); len(came)+acks.Missing != 10 || acks.Missing == 0 || acks.Missing > 4 || err != nil {
			t.Errorf("came %d, missing %d, %v", len(came), acks.Missing, err)
		}
	})
}
