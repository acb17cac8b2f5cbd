// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/sio"
)

// Execute carries the command out in the whole cluster: first here, then it tells the other
// replicas, unless the target is Local or names only sockets of this one. It returns how many
// sockets the target has here; err has CodeUnavailable when the others could not be reached, which
// takes nothing back here, and CodeDeadline when they were, and some of them are silent.
func (h *Hub) Execute(cmd sio.Command) (sockets int, err error) {
	sockets = h.Apply(cmd)
	if h.staysHere(cmd.To()) {
		return sockets, nil
	}
	err = h.publisher.Publish(cmd)
	if err != nil && sio.CodeOf(err) != sio.CodeDeadline {
		err = h.unavailable("execute", err)
	}
	return sockets, err
}

// Apply carries the command out on this replica only, and returns how many sockets the target has
// here.
func (h *Hub) Apply(cmd sio.Command) (sockets int) {
	if cmd.To().Pattern {
		return h.applyMatching(cmd)
	}
	switch c := cmd.(type) {
	case *sio.Emit:
		return h.Deliver(c)
	case *sio.Join:
		return h.join(c)
	case *sio.Leave:
		return h.leave(c)
	case *sio.Disconnect:
		return h.disconnect(c)
	}
	return 0
}

// Deliver is Apply of an emit. It returns when every receiver has queued the event and written what
// its browser took, so that the emits of one caller arrive in order.
func (h *Hub) Deliver(e *sio.Emit) (sockets int) {
	if e.Target.Pattern {
		return h.applyMatching(e)
	}
	h.metrics.Emits.Inc()
	if h.journal.Retention > 0 && takesOffset(e) {
		return h.deliverInTurn(e)
	}
	one, all := h.receivers(&e.Target)
	h.noteEmit(e, one, all)
	if one == nil && len(all) == 0 {
		return 0
	}
	return h.deliver(newDelivery(e), one, all)
}

// Ask delivers the emit to sockets of this replica and asks them for acks.
func (h *Hub) Ask(e *sio.Emit) *Collection {
	h.metrics.Emits.Inc()
	if e.Target.Pattern {
		return h.askMatching(e)
	}
	one, all := h.receivers(&e.Target)
	c := newCollection(h.metrics, one, all)
	h.askThem(c, e, one, all)
	return c
}

func (h *Hub) askThem(c *Collection, e *sio.Emit, one Socket, all []Socket) {
	h.noteEmit(e, one, all)
	if one == nil && len(all) == 0 {
		return
	}
	d := newDelivery(e)
	d.WantsAck = true
	d.AckID = sio.AckID(h.ackIDs.Add(1) - 1)
	d.collection = c
	h.deliver(d, one, all)
}

// AskEveryone delivers the emit in the whole cluster before it returns, so that what the caller
// emits next arrives after it, and tells how many sockets were asked here. collect, to be called
// once, waits until all answered or left, or ctx ended, which is no error: what is missing is
// counted. Its error has CodeUnavailable when other replicas could not be asked or did not answer;
// what came is returned beside it.
func (h *Hub) AskEveryone(ctx context.Context, e *sio.Emit) (sockets int, collect func() (sio.Acks, error)) {
	local := h.Ask(e)
	if h.staysHere(&e.Target) {
		return local.Sockets(), func() (sio.Acks, error) {
			acks := local.Wait(ctx)
			acks.Dropped = e.Tally.Dropped()
			return acks, nil
		}
	}
	others := h.publisher.Ask(ctx, e)
	return local.Sockets(), func() (sio.Acks, error) {
		acks := local.Wait(ctx)
		more, err := others()
		acks.Came = append(acks.Came, more.Came...)
		acks.Missing += more.Missing
		acks.Sockets += more.Sockets
		acks.Dropped = e.Tally.Dropped() + more.Dropped
		acks.Silent = more.Silent
		if err != nil {
			err = h.unavailable("emit with acks", err)
		}
		return acks, err
	}
}

// CountEveryone delivers the emit in the whole cluster before it returns. collect, to be called
// once, gathers how many sockets it reached, until all replicas answered or ctx ended; those that
// did not tell are listed, which is no error. waits tells whether that takes longer than a moment.
// Its error has CodeUnavailable when other replicas could not be reached.
func (h *Hub) CountEveryone(ctx context.Context, e *sio.Emit) (collect func() (sio.Acks, error), waits bool) {
	sockets := h.Deliver(e)
	if h.staysHere(&e.Target) {
		return func() (sio.Acks, error) { return sio.Acks{Sockets: sockets, Dropped: e.Tally.Dropped()}, nil }, false
	}
	counted := *e
	counted.CountOnly = true
	others := h.publisher.Ask(ctx, &counted)
	return func() (sio.Acks, error) {
		acks, err := others()
		acks.Sockets += sockets
		acks.Dropped += e.Tally.Dropped()
		if err != nil && sio.CodeOf(err) != sio.CodeDeadline {
			return acks, h.unavailable("emit", err)
		}
		return acks, nil
	}, true
}

func (h *Hub) unavailable(op string, cause error) error {
	h.metrics.PublishFailures.Inc()
	return &sio.Error{
		Code: sio.CodeUnavailable, Op: op, Cause: cause,
		Message: "partial delivery: the sockets of this replica were served, and those of other replicas may not have been",
	}
}

// Others counts the other replicas that a command for the target is sent to.
func (h *Hub) Others(t *sio.Target) int {
	if h.staysHere(t) {
		return 0
	}
	return h.publisher.Others(t)
}

// staysHere tells whether no other replica can have a socket of the target.
func (h *Hub) staysHere(t *sio.Target) bool {
	if t.Local {
		return true
	}
	for _, r := range t.Rooms {
		if replica, ok := sio.SocketID(r).Replica(); !ok || replica != h.replica {
			return false
		}
	}
	return len(t.Rooms) > 0
}

func (h *Hub) receivers(t *sio.Target) (one Socket, all []Socket) {
	n := h.namespace(t.Namespace)
	if n == nil {
		return nil, nil
	}
	return n.receivers(t)
}

func newDelivery(e *sio.Emit) *Delivery {
	return &Delivery{Namespace: e.Target.Namespace, Event: &e.Event, EmitFlags: e.EmitFlags, tally: e.Tally}
}

func (h *Hub) deliver(d *Delivery, one Socket, all []Socket) int {
	if one != nil {
		d.Receivers = 1
		h.metrics.Deliveries.Inc()
		one.Deliver(d)
		return 1
	}
	d.Receivers = len(all)
	h.metrics.Deliveries.Add(float64(len(all)))
	if h.isWide(all) {
		h.share(all, func(s Socket) { s.Deliver(d) })
		return len(all)
	}
	for _, s := range all {
		s.Deliver(d)
	}
	return len(all)
}

// isWide tells whether it pays to share the work.
func (h *Hub) isWide(all []Socket) bool { return len(all) >= h.wide && h.workers > 1 }

// share calls do for all sockets with a few helpers, which take the sockets in blocks, so that one
// slow write does not leave the rest of its part behind.
func (h *Hub) share(all []Socket, do func(Socket)) {
	const block = 32
	var next atomic.Int64
	work := func() {
		for {
			from := int(next.Add(block)) - block
			if from >= len(all) {
				return
			}
			for _, s := range all[from:min(from+block, len(all))] {
				do(s)
			}
		}
	}
	var helpers sync.WaitGroup
	for range h.workers - 1 {
		helpers.Go(work) // ends when no receiver is left
	}
	work()
	helpers.Wait()
}

func (h *Hub) join(c *sio.Join) int {
	n := h.namespace(c.Target.Namespace)
	if n == nil {
		return 0
	}
	h.metrics.Joins.Inc()
	sockets, begun := n.join(&c.Target, c.Rooms)
	h.metrics.Rooms.Add(float64(begun))
	return sockets
}

func (h *Hub) leave(c *sio.Leave) int {
	n := h.namespace(c.Target.Namespace)
	if n == nil {
		return 0
	}
	h.metrics.Leaves.Inc()
	sockets, ceased := n.leave(&c.Target, c.Rooms)
	h.metrics.Rooms.Sub(float64(ceased))
	return sockets
}

func (h *Hub) disconnect(c *sio.Disconnect) int {
	h.metrics.Disconnects.Inc()
	one, all := h.receivers(&c.Target)
	if one != nil {
		one.Disconnect(c.CloseSession)
		return 1
	}
	for _, s := range all {
		s.Disconnect(c.CloseSession)
	}
	return len(all)
}
