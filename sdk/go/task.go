// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// accept turns the dispatches of a batch into tasks, in order. It allocates a few tasks at a time,
// so that a task which a handler keeps holds only its neighbours in memory.
func (p *scheduler) accept(s *stream, b *inBatch) {
	const slab = 16
	var tasks []task
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armLocked()
	for _, id := range b.released {
		p.releaseLocked(s, id)
	}
	for i := range b.dispatches {
		d := &b.dispatches[i]
		n := p.namespaceLocked(d.namespace)
		if n == nil || d.kind == kindUnknown {
			p.service.stats.unknown.Add(1)
			o := outcome{failed: true, message: "this instance does not know the namespace or the kind of the dispatch"}
			_, _, size := resultSizes(&o)
			s.out.result(d.id, &o, size) // the tick sends it
			continue
		}
		if len(tasks) == 0 {
			tasks = make([]task, min(slab, len(b.dispatches)-i))
		}
		t := &tasks[0]
		tasks = tasks[1:]
		t.fill(s, n, d)
		p.queueLocked(t, p.laneLocked(t, s, n, d))
	}
}

// laneLocked completes the task from the state of the scheduler. It returns the lane of the task:
// that of its socket, or a new one.
func (p *scheduler) laneLocked(t *task, s *stream, n *Namespace, d *inDispatch) *lane {
	switch {
	case t.kind == kindDisconnected && p.notified.has(d.socketID):
		t.handler = nil
	case t.kind == kindMessage && p.messages.seen(d.id):
		t.handler, t.WantsAck = nil, false // another replica delivered it already
	case t.kind == kindEvent && t.Name == "":
		t.Name = string(d.name)
	}
	if t.kind == kindMessage {
		return &lane{}
	}
	t.Socket = n.socketLocked(s, d, p.service)
	if t.handler == nil || !t.handler.concurrent {
		return &t.Socket.lane
	}
	return &lane{}
}

// queueLocked appends the task to the lane, and makes the lane ready unless it is.
func (p *scheduler) queueLocked(t *task, l *lane) {
	p.open++
	l.push(t)
	if !l.claimed {
		l.claimed = true
		p.pushLocked(l)
	}
}

func (t *task) fill(s *stream, n *Namespace, d *inDispatch) {
	t.stream, t.namespace, t.kind = s, n, d.kind
	t.ID, t.Redeliveries, t.WantsAck = d.id, int(d.redeliveries), d.wantsAck
	switch d.kind {
	case kindEvent:
		if t.handler = n.eventHandler(d.name); t.handler != nil && t.handler != n.live.any {
			t.Name = t.handler.name
		}
		t.args, t.attachments = d.args, d.attachments
	case kindConnect:
		t.handler = n.live.connect
	case kindDisconnected:
		t.handler, t.reason = n.live.disconnect, string(d.name)
	case kindRoomEvent, kindMessage:
		t.fillFromProto(n, d)
	}
}

// socketLocked returns the socket of a dispatch, and creates it if needed. The scheduler's mu is
// held.
func (n *Namespace) socketLocked(s *stream, d *inDispatch, service *Service) *Socket {
	socket := n.sockets[string(d.socketID)]
	if socket == nil {
		id := string(d.socketID)
		if socket = service.scheduler.reclaimLocked(n, id); socket == nil {
			socket = &Socket{id: id, namespace: n}
			socket.lane.socket = socket
			n.sockets[id] = socket
		}
		socket.stream.Store(s)
		if d.kind != kindDisconnected {
			service.scheduler.notified.forget(id)
		}
	}
	if d.introduced {
		h, data, err := parseIntroduction(d.introduction)
		if err != nil {
			service.options.Logger.Warn("introduction of a socket cannot be decoded", "socket", socket.id, "err", err)
		} else {
			socket.handshake.Store(h)
			socket.keepData(data)
		}
	}
	switch d.kind {
	case kindConnect:
		socket.recovered.Store(d.recovered)
	case kindDisconnected:
		socket.left.Store(&d.rooms)
	}
	if socket.stream.Load() != s {
		socket.stream.Store(s)
		service.scheduler.dropLostLocked(socket.id)
	}
	socket.released = false
	return socket
}

// releaseLocked forgets a socket that is assigned to another instance, after its last task here.
func (p *scheduler) releaseLocked(s *stream, id []byte) {
	in := func(n *Namespace) {
		socket := n.sockets[string(id)]
		if socket == nil || socket.stream.Load() != s {
			return
		}
		if socket.released = true; !socket.lane.claimed {
			socket.forgetLocked()
		}
	}
	p.eachNamespaceLocked(in)
}

// forgetLocked removes the socket from the table. The scheduler's mu is held.
func (s *Socket) forgetLocked() {
	if !s.gone {
		s.gone = true
		delete(s.namespace.sockets, s.id)
		s.namespace.forgetLocked()
	}
}

// stale reports whether the stream of the task has ended, so that its result would be lost and the
// broker dispatches it again.
func (t *task) stale() bool {
	if t.orphaned {
		return t.Socket.disconnected // another disconnect has run meanwhile
	}
	return t.stream.ended.Load() && t.stream.service.options.Delivery == AtLeastOnce
}

// work calls the handler and resolves the dispatch.
func (t *task) work(ctx context.Context) {
	var o outcome
	if t.kind == kindEvent && t.handler == nil {
		o = outcome{failed: true, message: "this instance has no handler for the event"}
	} else if err := t.outcome(ctx); err != nil {
		o = t.failure(err)
		t.refused = t.kind == kindConnect && !t.handler.advisory
	} else if t.kind == kindConnect || t.WantsAck {
		o = outcome{acked: true, ack: t.ack}
	}
	t.acked = true
	if !t.orphaned {
		t.stream.resolve(t.ID, &o)
	}
	t.ack.release()
	t.ack = nil
}

// outcome runs the handler. It fails when the ack cannot be sent.
func (t *task) outcome(ctx context.Context) error {
	if err := t.call(ctx); err != nil {
		return err
	}
	if t.ackErr != nil {
		return t.ackErr
	}
	return t.checkAck()
}

// checkAck fails when the ack is too large to be sent.
func (t *task) checkAck() error {
	if t.ack == nil || t.orphaned {
		return nil
	}
	_, _, size := resultSizes(&outcome{acked: true, ack: t.ack})
	if most := t.stream.out.maxChunk; size > most {
		return fmt.Errorf("%w: the ack has %d bytes of at most %d (the broker's setting max-frame)", ErrTooLarge, size, most)
	}
	return nil
}

func (t *task) call(ctx context.Context) (err error) {
	if t.handler == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	switch t.kind {
	case kindEvent:
		for _, listen := range t.namespace.service.incoming.all() {
			listen(&t.Event)
		}
		return t.handler.event(ctx, &t.Event)
	case kindRoomEvent:
		t.handler.room(ctx, t.Socket, t.change, t.reason)
		return nil
	case kindMessage:
		return t.handler.message(ctx, &Message{Name: t.Name, Service: t.sender.service, InstanceID: t.sender.instance, event: &t.Event})
	case kindConnect:
		return t.handler.connect(ctx, t.Socket)
	default:
		t.handler.disconnect(ctx, t.Socket, t.reason)
		return nil
	}
}

// failure logs the error of a handler and converts it to the outcome for the broker.
func (t *task) failure(err error) outcome {
	service := t.stream.service
	var refusal *RefusalError
	if t.kind == kindConnect && !t.handler.advisory && errors.As(err, &refusal) {
		data, encodeErr := dataJSON(refusal.Data)
		if encodeErr == nil {
			return outcome{refused: true, message: refusal.Message, data: data}
		}
		err = fmt.Errorf("%w; its data: %w", err, encodeErr)
	}
	service.stats.failed.Add(1)
	args := []any{"handler", t.handler.name, "namespace", t.namespace.name, "err", err}
	if t.Socket != nil {
		args = append(args, "socket", t.Socket.id)
	}
	var p *PanicError
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.Stack))
	}
	service.options.Logger.Error("handler failed", args...)
	return outcome{failed: true, message: err.Error()}
}
