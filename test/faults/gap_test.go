// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// A replica that does not keep up with the others loses some of what they send, and its sockets are
// not answered that they recovered.
func TestO06_SlowConsumer(t *testing.T) {
	t.Parallel()
	c := newTied(t, 2, "--recovery", "5m", "--replica-backlog", "1")
	c.serve()
	slow := visit(t, c.all[1].HTTP)
	await(t, "the replicas are certain of each other", func() bool { ok, _ := c.say(0, 0); return ok })
	next := 1
	await(t, "the backlog overflows", func() bool {
		var burst sync.WaitGroup
		for range 100 {
			number := next
			next++
			burst.Go(func() { c.say(0, number) })
		}
		burst.Wait()
		return metric(t, c.all[1], "spanwire_backplane_slow_consumer_total") > 0 && metric(t, c.all[1], "spanwire_backplane_lost_envelopes_total") > 0
	})
	if slow.back(t) {
		t.Error("a socket recovered over a gap")
	}
	if err := c.all[1].WaitFor("backplane gap", limit); err != nil {
		t.Error(err)
	}
	await(t, "the replicas are certain of each other again", func() bool { ok, _ := c.say(0, 0); return ok })
	if !slow.back(t) {
		t.Error("a socket from after the gap did not recover")
	}
}

// A replica that dies while NATS is away may have sent anything before: it is named in answers
// until it could have come back, and nobody recovers over it.
func TestO06_DiedMeanwhile(t *testing.T) {
	t.Parallel()
	c := newTied(t, 3, "--recovery", "5m", "--replica-heartbeat", "500ms", "--replica-timeout", "4s")
	c.serve()
	there := visit(t, c.all[0].HTTP)
	await(t, "the replicas are certain of each other", func() bool { ok, _ := c.say(0, 0); return ok })
	died := c.name(2)
	c.nats.Kill()
	await(t, "the loss is noticed", func() bool { ok, answered := c.say(0, 0); return answered && !ok })
	c.all[2].Kill()
	c.startNATS()
	named := false
	await(t, "the replicas are certain again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		r, err := c.clients[0].Emit(ctx, &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
			Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "n", Args: []byte("[0]")},
		}})
		if err != nil {
			t.Fatal(err)
		}
		named = named || strings.Join(r.GetSilentReplicas(), ",") == died
		return r.GetFault() == nil
	})
	if !named {
		t.Error("the replica that may come back was never named alone")
	}
	if there.back(t) {
		t.Error("a socket recovered although nobody can tell what the dead replica sent")
	}
	if !there.back(t) {
		t.Error("a socket from after the gap did not recover")
	}
}

// A NATS that hangs is noticed as one that is away: emits are partial until it is back, and no page
// that came back lacks what it was answered to have.
func TestO06_NATSHangs(t *testing.T) {
	t.Parallel()
	c := newTied(t, 3, "--recovery", "5m", "--replica-heartbeat", "500ms", "--replica-timeout", "4s")
	c.serve()
	var pages []*visitor
	for _, b := range c.all {
		pages = append(pages, visit(t, b.HTTP))
	}
	e := c.emit(20)
	e.certain()
	if err := c.nats.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hung := time.Now()
	await(t, "emits are answered as partial", func() bool { return e.count(false) > 3 })
	noticed := time.Since(hung)
	await(t, "NATS hangs for longer than a replica may be silent", func() bool { return time.Since(hung) > 8*time.Second })
	ok := e.count(true)
	await(t, "more emits", func() bool { return e.count(false) > 60 })
	if now := e.count(true); now != ok {
		t.Errorf("%d emits were answered as delivered while NATS hung", now-ok)
	}
	if err := c.nats.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	e.certain()
	all := e.stop()
	everything := numbersOf(all, func(emitted) bool { return true })
	for i, p := range pages {
		if p.back(t) && p.misses(everything) > 0 {
			t.Errorf("page %d recovered over %d holes", i, p.misses(everything))
		}
	}
	t.Logf("noticed after %v; %d of %d emits were partial", noticed.Round(time.Millisecond), e.count(false), len(all))
}

// name is what the replica calls itself.
func (c *tied) name(i int) string {
	c.t.Helper()
	_, after, _ := strings.Cut(c.all[i].Log(), "replica=")
	return strings.Fields(after)[0]
}
