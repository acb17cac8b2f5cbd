// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// command carries out a command of the instance. An error ends the stream; a command that makes no
// sense does not.
func (in *Instance) command(data []byte) error {
	var m spanwirev1.Command
	if err := proto.Unmarshal(data, &m); err != nil {
		return err
	}
	in.server.metrics.Commands.Inc()
	o, err := in.server.orderOf(&m, &in.asker)
	if err == nil && o.wants != "" && m.GetId() == 0 {
		err = errNoID(o.wants)
	}
	switch {
	case err != nil:
		if err == error(errUnknownCommand) {
			in.server.metrics.Unknown.Inc()
		}
		in.conclude(&m, &spanwirev1.Answer{Fault: faultOf(err)})
	case o.waits:
		in.besides(&m, o)
	default:
		a := in.server.atOnce(&o)
		if m.GetId() != 0 {
			in.server.tellOthers(&o, a)
		}
		in.conclude(&m, a)
	}
	return nil
}

// conclude answers a command, or tells and counts its fault when no answer is wanted.
func (in *Instance) conclude(m *spanwirev1.Command, a *spanwirev1.Answer) {
	if m.GetId() != 0 {
		a.Id = m.GetId()
		in.answer(a)
		return
	}
	if a.GetFault().GetCode() == spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE {
		in.partial(a.GetFault())
	} else if a.GetFault() != nil {
		in.refused(m, a.GetFault())
	}
}

// refused tells the fault of a command whose sender waits for no answer, with what it takes to find
// the command in the sender's code.
func (in *Instance) refused(m *spanwirev1.Command, f *spanwirev1.Fault) {
	ns, event := targetIn(m).GetNamespace(), m.GetEmit().GetEvent().GetName()
	if message := m.GetServerSideEmit(); message != nil {
		ns, event = message.GetNamespace(), message.GetEvent().GetName()
	}
	in.tellFault(&spanwirev1.Fault{
		Code: f.GetCode(), Message: f.GetMessage(), Event: clip(event, maxName), Namespace: clip(string(namespaceOf(ns)), maxName),
		Bytes: uint32(proto.Size(m)),
	})
}

// targetIn gives the target of a command; nil for one that has none.
func targetIn(m *spanwirev1.Command) *spanwirev1.Target {
	switch c := m.GetCommand().(type) {
	case *spanwirev1.Command_Emit:
		return c.Emit.GetTarget()
	case *spanwirev1.Command_Join:
		return c.Join.GetTarget()
	case *spanwirev1.Command_Leave:
		return c.Leave.GetTarget()
	case *spanwirev1.Command_Disconnect:
		return c.Disconnect.GetTarget()
	}
	return nil
}

func (s *Server) ackTimeout(m interface{ GetAckTimeoutMs() uint32 }) time.Duration {
	if ms := m.GetAckTimeoutMs(); ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return s.o.AckTimeout
}

func answerOf(sockets int, acks sio.Acks, err error) *spanwirev1.Answer {
	return &spanwirev1.Answer{
		Sockets: uint32(sockets), Dropped: uint32(acks.Dropped), Acks: acksOf(acks), Missing: uint32(acks.Missing), SilentReplicas: silentIn(acks.Silent, err),
		Fault: faultOf(err),
	}
}

// silentIn names the replicas that did not answer, and those that err says may not have been
// reached.
func silentIn(silent []sio.ReplicaID, err error) []string {
	all := append(stringsOf(silent), stringsOf(sio.UnreachedIn(err))...)
	slices.Sort(all)
	return slices.Compact(all)
}

func acksOf(acks sio.Acks) (all []*spanwirev1.SocketAck) {
	for _, a := range acks.Came {
		all = append(all, &spanwirev1.SocketAck{
			SocketId: string(a.Socket), Ack: &spanwirev1.Ack{Args: a.Ack.Args, Attachments: a.Ack.Attachments},
		})
	}
	return all
}

// commandOf translates a command that changes sockets, or says what is wrong with it.
func commandOf(m *spanwirev1.Command) (sio.Command, error) {
	switch c := m.GetCommand().(type) {
	case *spanwirev1.Command_Join:
		t, err := targetOf("join", c.Join.GetTarget())
		if err != nil || len(c.Join.GetRooms()) == 0 {
			return nil, orElse(err, "join", "it names no rooms")
		}
		return &sio.Join{Target: t, Rooms: roomsOf(c.Join.GetRooms())}, nil
	case *spanwirev1.Command_Leave:
		t, err := targetOf("leave", c.Leave.GetTarget())
		if err != nil || len(c.Leave.GetRooms()) == 0 {
			return nil, orElse(err, "leave", "it names no rooms")
		}
		return &sio.Leave{Target: t, Rooms: roomsOf(c.Leave.GetRooms())}, nil
	case *spanwirev1.Command_Disconnect:
		t, err := targetOf("disconnect", c.Disconnect.GetTarget())
		if err != nil {
			return nil, err
		}
		return &sio.Disconnect{Target: t, CloseSession: c.Disconnect.GetCloseSession()}, nil
	}
	return nil, errUnknownCommand
}

// wantsCount tells whether a command that is no emit is to be counted in the whole cluster.
func wantsCount(m *spanwirev1.Command) bool {
	return m.GetJoin().GetWantCount() || m.GetLeave().GetWantCount() || m.GetDisconnect().GetWantCount()
}

var errUnknownCommand = sio.E(sio.CodeInvalid, "command", "this broker does not know the command; it may be older than the SDK")

func orElse(err error, op, message string) error {
	if err != nil {
		return err
	}
	return sio.E(sio.CodeInvalid, op, message)
}

func targetOf(op string, m *spanwirev1.Target) (sio.Target, error) {
	if m == nil {
		return sio.Target{}, sio.E(sio.CodeInvalid, op, "it has no target; an empty target means everyone in the main namespace")
	}
	t := sio.Target{
		Namespace: namespaceOf(m.GetNamespace()), Pattern: m.GetPattern(),
		Rooms: roomsOf(m.GetRooms()), Except: roomsOf(m.GetExcept()), Local: m.GetLocal(),
	}
	if t.Pattern {
		return t, checkPattern(op, t.Namespace)
	}
	return t, checkNamespace(op, t.Namespace)
}

func checkNamespace(op string, ns sio.Namespace) error {
	if ns[0] == '/' && len(ns) <= maxName && !strings.Contains(string(ns), ",") {
		return nil
	}
	return sio.E(sio.CodeInvalid, op, fmt.Sprintf("namespace %q must begin with a slash, have no comma and at most %d bytes", clip(string(ns), maxName), maxName))
}

func checkPattern(op string, pattern sio.Namespace) error {
	if _, err := sio.CompilePattern(string(pattern)); err != nil {
		return sio.E(sio.CodeInvalid, op, fmt.Sprintf("its namespace is no pattern: %v", err))
	}
	return nil
}

func roomsOf(names []string) []sio.Room {
	if len(names) == 0 {
		return nil
	}
	rooms := make([]sio.Room, len(names))
	for i, n := range names {
		rooms[i] = sio.Room(n)
	}
	return rooms
}

func emitOf(m *spanwirev1.Emit, depth int) (*sio.Emit, error) {
	t, err := targetOf("emit", m.GetTarget())
	if err != nil {
		return nil, err
	}
	event, err := eventOf("emit", m.GetEvent(), depth)
	if err != nil {
		return nil, err
	}
	return &sio.Emit{Target: t, Event: event, Volatile: m.GetVolatile(), NoCompress: m.GetNoCompress()}, nil
}

// faultOf is nil without an error, and for one which only says that some replicas are silent: those
// are named.
func faultOf(err error) *spanwirev1.Fault {
	if err == nil || sio.CodeOf(err) == sio.CodeDeadline && len(sio.UnreachedIn(err)) > 0 {
		return nil
	}
	code := spanwirev1.FaultCode_FAULT_CODE_INVALID
	switch {
	case err == error(errUnknownCommand):
		code = spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED
	case sio.CodeOf(err) == sio.CodeTooLarge:
		code = spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE
	case sio.CodeOf(err) == sio.CodeNotFound:
		code = spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND
	case sio.CodeOf(err) == sio.CodeDenied:
		code = spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED
	case sio.CodeOf(err) == sio.CodeConflict:
		code = spanwirev1.FaultCode_FAULT_CODE_CONFLICT
	case sio.CodeOf(err) == sio.CodeUnavailable:
		code = spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE
	}
	return &spanwirev1.Fault{Code: code, Message: err.Error()}
}
