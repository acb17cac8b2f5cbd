// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"context"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Carrying a request out: by the Hub for sockets, by the Dispatcher for instances. Begin has
// checked and authorized it.

// answerMargin is by how much an answer comes before the caller stops waiting, at most.
const answerMargin = time.Second

// Do carries a request out and returns its answer. The answer comes before the deadline of ctx:
// what is known then is worth more to the caller than to know nothing.
func (x *Executor) Do(ctx context.Context, r *Request) *spanwirev1.Answer {
	if !r.waits {
		return x.Now(r)
	}
	timeout := r.timeout
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		timeout = min(timeout, left-min(left/10, answerMargin))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	collect, _ := x.Start(ctx, r)
	return collect()
}

// Now carries out a request that does not wait, and returns its answer.
func (x *Executor) Now(r *Request) *spanwirev1.Answer {
	if r.message != nil {
		acks, err := x.dispatcher.Tell(context.Background(), r.message)()
		return x.complete(r, instanceAcksToProto(&acks, err))
	}
	sockets, err := x.hub.Execute(r.command)
	var acks sio.Acks
	if emit, ok := r.command.(*sio.Emit); ok {
		acks.Dropped = emit.Tally.Dropped()
	}
	return x.complete(r, acksToProto(sockets, acks, err))
}

// Start carries a request out as far as the caller's next command may depend on it. collect, called
// once, returns the answer; waits reports whether that may take until ctx ends.
func (x *Executor) Start(ctx context.Context, r *Request) (collect func() *spanwirev1.Answer, waits bool) {
	switch emit, _ := r.command.(*sio.Emit); {
	case r.query != nil:
		found, waits := x.hub.Query(ctx, r.query)
		return func() *spanwirev1.Answer {
			f, err := found()
			return x.complete(r, foundToProto(r.query, &f, err))
		}, waits
	case r.message != nil:
		gather := x.dispatcher.Tell(ctx, r.message)
		return func() *spanwirev1.Answer {
			acks, err := gather()
			return x.complete(r, instanceAcksToProto(&acks, err))
		}, r.message.WantAcks
	case r.acks:
		sockets, acked := x.hub.AskEveryone(ctx, emit)
		return func() *spanwirev1.Answer {
			acks, err := acked()
			if r.count {
				sockets = acks.Sockets
			} else {
				acks.Dropped = emit.Tally.Dropped()
			}
			return x.complete(r, acksToProto(sockets, acks, err))
		}, true
	case r.count:
		counted, waits := x.hub.CountEveryone(ctx, emit)
		return func() *spanwirev1.Answer {
			acks, err := counted()
			return x.complete(r, acksToProto(acks.Sockets, acks, err))
		}, waits
	}
	a := x.Now(r)
	return func() *spanwirev1.Answer { return a }, false
}

// complete adds to an answer how many replicas beside this one the command went to.
func (x *Executor) complete(r *Request, a *spanwirev1.Answer) *spanwirev1.Answer {
	if r.command != nil && r.answered {
		a.OtherReplicas = uint32(x.hub.Others(r.command.To()))
	}
	return a
}
