// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// order is a command, translated. Whatever may be commanded is chosen here, for instances on their
// streams and for callers without one: they differ only in where they wait for the answer.
type order struct {
	// One of these says what to do; of a command that is not an emit and is counted, the query
	// does.
	command sio.Command
	query   sio.Query
	message *sio.Message

	acks, count bool          // of an emit
	waits       bool          // the answer may take a while
	timeout     time.Duration // of the wait
	wants       string        // what would reach nobody without an id: "query", or empty
}

// orderOf translates a command, or says what is wrong with it, or that who asks may not. The order
// keeps bytes of m.
func (s *Server) orderOf(m *spanwirev1.Command, by *asker) (o order, err error) {
	switch c := m.GetCommand().(type) {
	case *spanwirev1.Command_Emit:
		var emit *sio.Emit
		if emit, err = emitOf(c.Emit, s.o.MaxDepth); err != nil {
			return o, err
		}
		emit.Origin = by.sender
		if m.GetId() != 0 || by.sender == (sio.Addressee{}) { // somebody reads the answer
			emit.Tally = new(sio.Tally)
		}
		o.command, o.acks, o.count = emit, c.Emit.GetWantAcks(), c.Emit.GetWantCount()
		if o.acks || o.count {
			o.waits, o.timeout = true, s.ackTimeout(c.Emit)
			o.wants = "emit with want_acks or want_count"
		}
	case *spanwirev1.Command_ServerSideEmit:
		if o.message, err = s.messageOf(c.ServerSideEmit, by.sender); err != nil {
			return o, err
		}
		if o.message.WantAcks {
			o.waits, o.timeout = true, s.ackTimeout(c.ServerSideEmit)
			o.wants = "server-side emit with want_acks"
		}
	case *spanwirev1.Command_FetchSockets, *spanwirev1.Command_ListRooms:
		o.query, err = s.queryOf(m, by.credentials)
		o.waits, o.timeout, o.wants = true, s.queryTimeout(m), "query"
	case *spanwirev1.Command_SetData:
		o.query, err = s.setDataOf(c.SetData)
		o.waits, o.timeout = true, s.queryTimeout(m)
	default:
		if o.command, err = commandOf(m); err == nil {
			err = s.checkRooms(o.command)
		}
		if err == nil && wantsCount(m) {
			o.query = &sio.Counted{Command: o.command}
			o.waits, o.timeout, o.wants = true, s.o.QueryTimeout, "command with want_count"
		}
	}
	if err == nil {
		err = s.permit(&o, by)
	}
	return o, err
}

// permit counts what is not permitted.
func (s *Server) permit(o *order, by *asker) error {
	err := by.permit(o)
	if err != nil {
		s.metrics.Unauthorized.Inc()
	}
	return err
}

// begin carries the order out as far as the caller's next command may depend on it. collect, to be
// called once, gives the answer; waits tells whether that may take until ctx ends.
func (s *Server) begin(ctx context.Context, o *order) (collect func() *spanwirev1.Answer, waits bool) {
	switch emit, _ := o.command.(*sio.Emit); {
	case o.query != nil:
		found, waits := s.hub.Query(ctx, o.query)
		return func() *spanwirev1.Answer {
			f, err := found()
			return foundOf(o.query, &f, err)
		}, waits
	case o.message != nil:
		gather := s.dispatcher.Tell(ctx, o.message)
		return func() *spanwirev1.Answer {
			acks, err := gather()
			return instanceAcksOf(&acks, err)
		}, o.message.WantAcks
	case o.acks:
		sockets, acked := s.hub.AskEveryone(ctx, emit)
		return func() *spanwirev1.Answer {
			acks, err := acked()
			if o.count {
				sockets = acks.Sockets
			} else {
				acks.Dropped = emit.Tally.Dropped()
			}
			return answerOf(sockets, acks, err)
		}, true
	case o.count:
		counted, waits := s.hub.CountEveryone(ctx, emit)
		return func() *spanwirev1.Answer {
			acks, err := counted()
			return answerOf(acks.Sockets, acks, err)
		}, waits
	}
	a := s.atOnce(o)
	return func() *spanwirev1.Answer { return a }, false
}

// atOnce carries out an order that does not wait.
func (s *Server) atOnce(o *order) *spanwirev1.Answer {
	if o.message != nil {
		acks, err := s.dispatcher.Tell(context.Background(), o.message)()
		return instanceAcksOf(&acks, err)
	}
	sockets, err := s.hub.Execute(o.command)
	var acks sio.Acks
	if emit, ok := o.command.(*sio.Emit); ok {
		acks.Dropped = emit.Tally.Dropped()
	}
	return answerOf(sockets, acks, err)
}

// carryOut waits for the answer, which is there before the caller stops waiting for it: what is
// known then is worth more to it than to know nothing.
func (s *Server) carryOut(ctx context.Context, o *order) *spanwirev1.Answer {
	if !o.waits {
		return s.tellOthers(o, s.atOnce(o))
	}
	timeout := o.timeout
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		timeout = min(timeout, left-min(left/10, answerMargin))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	collect, _ := s.begin(ctx, o)
	return s.tellOthers(o, collect())
}

// answerMargin is by how much an answer comes before the caller stops waiting, at most.
const answerMargin = time.Second

// tellOthers adds to an answer how many replicas beside this one the command went to.
func (s *Server) tellOthers(o *order, a *spanwirev1.Answer) *spanwirev1.Answer {
	if o.command != nil {
		a.OtherReplicas = uint32(s.hub.Others(o.command.To()))
	}
	return a
}
