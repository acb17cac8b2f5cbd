// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"fmt"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

// A command becomes a Request in three steps, each of which may reject it: package contract checks
// and translates it, the functions below complete it from the options, and Permit asks for the
// caller's rights. No other code starts a command of a handler or a caller.

// Request is a command that was translated, checked and authorized. It keeps bytes of the message
// that it was made from.
type Request struct {
	// One of these says what to do. A counted command that is not an emit has its query too, which
	// wins.
	command sio.Command
	query   sio.Query
	message *sio.Message

	acks, count bool          // of an emit
	answered    bool          // the caller reads the answer
	waits       bool          // the answer may take a while
	timeout     time.Duration // of the wait
	mustRead    string        // names a request that makes no sense unless its answer is read
}

// Waits reports whether the answer may take a while, until Timeout at most.
func (r *Request) Waits() bool { return r.waits }

// Timeout is how long a request that waits waits at most.
func (r *Request) Timeout() time.Duration { return r.timeout }

// Begin makes the request of a command. The error says what is wrong with the command, that its
// answer would reach nobody, or that the caller may not make it.
func (x *Executor) Begin(m *spanwirev1.Command, by *Caller) (r Request, err error) {
	r.answered = m.GetId() != 0 || by.Sender == (sio.Addressee{})
	switch c := m.GetCommand().(type) {
	case *spanwirev1.Command_Emit:
		err = x.emit(&r, c.Emit, by)
	case *spanwirev1.Command_ServerSideEmit:
		err = x.serverSideEmit(&r, c.ServerSideEmit, by)
	case *spanwirev1.Command_FetchSockets:
		err = x.fetchSockets(&r, c.FetchSockets, by)
	case *spanwirev1.Command_ListRooms:
		err = x.listRooms(&r, c.ListRooms)
	case *spanwirev1.Command_SetData:
		err = x.setData(&r, c.SetData)
	case *spanwirev1.Command_Join:
		err = x.join(&r, c.Join)
	case *spanwirev1.Command_Leave:
		err = x.leave(&r, c.Leave)
	case *spanwirev1.Command_Disconnect:
		err = x.disconnect(&r, c.Disconnect)
	default:
		err = errUnknownCommand
	}
	if err == nil {
		err = x.Permit(&r, by)
	}
	if err == nil && r.mustRead != "" && !r.answered {
		err = sio.E(sio.CodeInvalid, r.mustRead, "it needs a command id, or the answer would reach nobody")
	}
	return r, err
}

// Permit reports why the caller may not make the request, and counts it; nil when it may.
func (x *Executor) Permit(r *Request, by *Caller) error {
	err := by.permit(r)
	if err != nil {
		x.metrics.Unauthorized.Inc()
	}
	return err
}

// wait makes the request one that waits for an answer that the caller must read. what names it.
func (r *Request) wait(timeout time.Duration, what string) {
	r.waits, r.timeout, r.mustRead = true, timeout, what
}

func (x *Executor) emit(r *Request, m *spanwirev1.Emit, by *Caller) error {
	if err := contract.CheckTarget("emit", m.GetTarget()); err != nil {
		return err
	}
	args, err := contract.CheckEvent("emit", m.GetEvent(), x.o.MaxDepth)
	if err != nil {
		return err
	}
	e := contract.EmitFromProto(m)
	e.Event.Args, e.Origin, e.CountOnly = args, by.Sender, false
	if r.answered {
		e.Tally = new(sio.Tally)
	}
	r.command, r.acks, r.count = e, m.GetWantAcks(), m.GetWantCount()
	if !r.acks && !r.count {
		return nil
	}
	r.wait(orDefault(m.GetAckTimeoutMs(), x.o.AckTimeout), "emit with want_acks or want_count")
	return nil
}

func (x *Executor) serverSideEmit(r *Request, m *spanwirev1.ServerSideEmit, by *Caller) error {
	const op = "server-side emit"
	ns := contract.NamespaceFromProto(m.GetNamespace())
	if err := contract.CheckNamespace(op, ns); err != nil {
		return err
	}
	args, err := contract.CheckEvent(op, m.GetEvent(), x.o.MaxDepth)
	if err != nil {
		return err
	}
	event := contract.EventFromProto(m.GetEvent())
	if event.Args = args; event.Name == "" {
		return sio.E(sio.CodeInvalid, op, "the message has no name")
	}
	r.message = &sio.Message{
		Namespace: ns, Event: event, WantAcks: m.GetWantAcks(), Sender: by.Sender,
		Services: contract.FromStrings[sio.ServiceName](m.GetServices()),
	}
	if m.GetWantAcks() {
		r.wait(orDefault(m.GetAckTimeoutMs(), x.o.AckTimeout), "server-side emit with want_acks")
	}
	return nil
}

func (x *Executor) fetchSockets(r *Request, m *spanwirev1.FetchSockets, by *Caller) error {
	const op = "fetch sockets"
	if err := contract.CheckTarget(op, m.GetTarget()); err != nil {
		return err
	}
	if m.GetTarget().GetPattern() {
		return sio.E(sio.CodeInvalid, op, "its target is a pattern; ask for one namespace at a time")
	}
	q := contract.FetchSocketsFromProto(m)
	if q.Limit <= 0 || q.Limit > x.o.MaxQueryResults {
		q.Limit = x.o.MaxQueryResults
	}
	q.Credentials = by.Credentials
	r.query = q
	r.wait(orDefault(m.GetTimeoutMs(), x.o.QueryTimeout), "query")
	return nil
}

func (x *Executor) listRooms(r *Request, m *spanwirev1.ListRooms) error {
	q := contract.ListRoomsFromProto(m)
	if err := contract.CheckNamespace("list rooms", q.Namespace); err != nil {
		return err
	}
	q.Limit = x.o.MaxQueryResults
	r.query = q
	r.wait(orDefault(m.GetTimeoutMs(), x.o.QueryTimeout), "query")
	return nil
}

func (x *Executor) setData(r *Request, m *spanwirev1.SetData) error {
	const op = "set data"
	q := contract.SetDataFromProto(m)
	r.query, r.waits, r.timeout = q, true, x.o.QueryTimeout
	if err := contract.CheckNamespace(op, q.Namespace); err != nil {
		return err
	}
	if len(q.Data) == 0 {
		q.Data = nil
		return nil
	}
	if n := len(q.Data); n > x.o.MaxSocketData {
		x.metrics.DataTooLarge.Inc()
		return sio.E(sio.CodeTooLarge, op, fmt.Sprintf("%d bytes are more than the %d that are kept with a socket (setting max-socket-data)",
			n, x.o.MaxSocketData))
	}
	var err error
	if q.Data, err = contract.CheckJSON(q.Data, x.o.MaxDepth); err != nil {
		return sio.E(sio.CodeInvalid, op, fmt.Sprintf("what is given as data %v", err))
	}
	return nil
}

func (x *Executor) join(r *Request, m *spanwirev1.Join) error {
	if err := checkRoomChange("join", m); err != nil {
		return err
	}
	c := contract.JoinFromProto(m)
	if err := x.checkSocketIDRooms(c); err != nil {
		return err
	}
	x.change(r, c, m.GetWantCount())
	return nil
}

func (x *Executor) leave(r *Request, m *spanwirev1.Leave) error {
	if err := checkRoomChange("leave", m); err != nil {
		return err
	}
	x.change(r, contract.LeaveFromProto(m), m.GetWantCount())
	return nil
}

func (x *Executor) disconnect(r *Request, m *spanwirev1.Disconnect) error {
	if err := contract.CheckTarget("disconnect", m.GetTarget()); err != nil {
		return err
	}
	x.change(r, contract.DisconnectFromProto(m), m.GetWantCount())
	return nil
}

// change makes the request of a command that changes sockets; counted in the whole cluster, it is a
// query.
func (x *Executor) change(r *Request, c sio.Command, count bool) {
	r.command = c
	if count {
		r.query = &sio.Counted{Command: c}
		r.wait(x.o.QueryTimeout, "command with want_count")
	}
}

func checkRoomChange(op string, m interface {
	GetTarget() *spanwirev1.Target
	GetRooms() []string
},
) error {
	if err := contract.CheckTarget(op, m.GetTarget()); err != nil {
		return err
	}
	if len(m.GetRooms()) == 0 {
		return sio.E(sio.CodeInvalid, op, "it names no rooms")
	}
	return nil
}

func orDefault(ms uint32, d time.Duration) time.Duration {
	if ms > 0 {
		return contract.MillisecondsFromProto(ms)
	}
	return d
}
