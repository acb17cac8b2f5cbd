// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/spanwire/spanwire/api/wire"
)

// Actions are written by hand, directly into their frame, for the reason given in package wire.
// Lengths are computed before the bytes are written, so no byte moves.

// outcome is the end of a dispatch. At most one of its fields is set.
type outcome struct {
	acked   bool
	ack     *payload // nil for an empty ack
	refused bool
	message string // of the refusal or the failure
	data    []byte // of the refusal
	failed  bool
}

func (p *payload) size() int {
	if p == nil {
		return 0
	}
	n := wire.OptionalSize(p.args.Len())
	for _, a := range p.attachments {
		n += wire.BytesSize(len(a))
	}
	return n
}

// append writes the fields args and attachments, which have consecutive numbers in Event and in
// Ack.
func (p *payload) append(b []byte, args protowire.Number) []byte {
	if p == nil {
		return b
	}
	b = wire.AppendOptional(b, args, p.args.Bytes())
	for _, a := range p.attachments {
		b = append(wire.AppendHead(b, args+1, len(a)), a...)
	}
	return b
}

// resultSizes returns the sizes of the outcome's message, of the result, and of the whole action in
// the batch.
func resultSizes(o *outcome) (inner, result, whole int) {
	result = wire.IDSize
	switch {
	case o.failed:
		inner = wire.OptionalSize(len(o.message))
	case o.refused:
		inner = wire.OptionalSize(len(o.message)) + wire.OptionalSize(len(o.data))
	case o.acked:
		inner = o.ack.size()
	}
	if o.failed || o.refused || o.acked {
		result += wire.BytesSize(inner)
	}
	return inner, result, wire.BytesSize(wire.BytesSize(result))
}

// appendResult writes a result as one action of a batch.
func appendResult(b []byte, dispatch uint64, o *outcome) []byte {
	inner, result, _ := resultSizes(o)
	b = wire.AppendHead(b, wire.BatchItems, wire.BytesSize(result))
	b = wire.AppendHead(b, wire.ActionResult, result)
	b = protowire.AppendFixed64(append(b, wire.ResultDispatchID<<3|byte(protowire.Fixed64Type)), dispatch)
	switch {
	case o.failed:
		b = wire.AppendHead(b, wire.ResultFailure, inner)
		b = wire.AppendOptional(b, wire.FailureMessage, o.message)
	case o.refused:
		b = wire.AppendHead(b, wire.ResultRefusal, inner)
		b = wire.AppendOptional(b, wire.RefusalMessage, o.message)
		b = wire.AppendOptional(b, wire.RefusalData, o.data)
	case o.acked:
		b = wire.AppendHead(b, wire.ResultAck, inner)
		b = o.ack.append(b, wire.AckArgs)
	}
	return b
}

func (t *Target) size() int {
	n := wire.OptionalSize(len(t.namespace))
	for _, room := range t.rooms {
		n += wire.BytesSize(len(room))
	}
	for _, room := range t.except {
		n += wire.BytesSize(len(room))
	}
	for _, flag := range [...]bool{t.local, t.pattern} {
		if flag {
			n += wire.BoolSize
		}
	}
	return n
}

func (t *Target) append(b []byte, size int) []byte {
	b = wire.AppendHead(b, wire.CommandTarget, size)
	b = wire.AppendOptional(b, wire.TargetNamespace, t.namespace)
	for _, room := range t.rooms {
		b = append(wire.AppendHead(b, wire.TargetRooms, len(room)), room...)
	}
	for _, room := range t.except {
		b = append(wire.AppendHead(b, wire.TargetExcept, len(room)), room...)
	}
	return wire.AppendBool(wire.AppendBool(b, wire.TargetLocal, t.local), wire.TargetPattern, t.pattern)
}

// commandLayout holds the lengths of a command's nested messages.
type commandLayout struct {
	target, event, arm, command, whole int
}

func (c *command) timeoutMs() uint64 {
	ms := (c.ackTimeout + time.Millisecond - 1) / time.Millisecond
	return uint64(min(max(ms, 0), math.MaxUint32))
}

func (c *command) layout() (l commandLayout) {
	if c.kind == commandOther {
		c.rare.Id = c.id
		l.command = proto.Size(c.rare)
		l.whole = wire.BytesSize(wire.BytesSize(l.command))
		return l
	}
	l.target = c.target.size()
	l.arm = wire.BytesSize(l.target)
	switch c.kind {
	case commandEmit:
		l.event = wire.OptionalSize(len(c.event)) + c.payload.size()
		l.arm += wire.BytesSize(l.event) + c.target.emitFlags.size()
		for _, flag := range [...]bool{c.wantAcks, c.wantCount} {
			if flag {
				l.arm += wire.BoolSize
			}
		}
		if ms := c.timeoutMs(); ms > 0 {
			l.arm += wire.TagSize + protowire.SizeVarint(ms)
		}
	case commandJoin, commandLeave:
		for _, room := range c.rooms {
			l.arm += wire.BytesSize(len(room))
		}
		if c.wantCount {
			l.arm += wire.BoolSize
		}
	case commandDisconnect:
		for _, flag := range [...]bool{c.closeSession, c.wantCount} {
			if flag {
				l.arm += wire.BoolSize
			}
		}
	}
	l.command = wire.BytesSize(l.arm)
	if c.id != 0 {
		l.command += wire.TagSize + protowire.SizeVarint(c.id)
	}
	l.whole = wire.BytesSize(wire.BytesSize(l.command))
	return l
}

// append writes the command as one action of a batch.
func (c *command) append(b []byte, l *commandLayout) []byte {
	b = wire.AppendHead(b, wire.BatchItems, wire.BytesSize(l.command))
	b = wire.AppendHead(b, wire.ActionCommand, l.command)
	if c.kind == commandOther {
		// It cannot fail: layout has measured the message, and check has verified its text.
		b, _ = proto.MarshalOptions{}.MarshalAppend(b, c.rare)
		return b
	}
	if c.id != 0 {
		b = wire.AppendNumber(b, wire.CommandID, c.id)
	}
	switch c.kind {
	case commandEmit:
		b = c.target.append(wire.AppendHead(b, wire.CommandEmit, l.arm), l.target)
		b = wire.AppendHead(b, wire.EmitEvent, l.event)
		b = wire.AppendOptional(b, wire.EventName, c.event)
		b = c.payload.append(b, wire.EventArgs)
		b = c.target.emitFlags.append(b)
		b = wire.AppendBool(b, wire.EmitWantAcks, c.wantAcks)
		if ms := c.timeoutMs(); ms > 0 {
			b = wire.AppendNumber(b, wire.EmitAckTimeout, ms)
		}
		b = wire.AppendBool(b, wire.EmitWantCount, c.wantCount)
	case commandJoin, commandLeave:
		arm := protowire.Number(wire.CommandJoin)
		if c.kind == commandLeave {
			arm = wire.CommandLeave
		}
		b = c.target.append(wire.AppendHead(b, arm, l.arm), l.target)
		for _, room := range c.rooms {
			b = append(wire.AppendHead(b, wire.JoinRooms, len(room)), room...)
		}
		b = wire.AppendBool(b, wire.JoinWantCount, c.wantCount)
	case commandDisconnect:
		b = c.target.append(wire.AppendHead(b, wire.CommandDisconnect, l.arm), l.target)
		b = wire.AppendBool(b, wire.DisconnectCloseSession, c.closeSession)
		b = wire.AppendBool(b, wire.DisconnectWantCount, c.wantCount)
	}
	return b
}

// batchOverhead is an upper bound of the bytes of a frame beside its actions.
const batchOverhead = 64

// appendBatchHead writes the part of a batch frame before its actions.
func appendBatchHead(b []byte, sequence, answered uint64, actions int) []byte {
	size := wire.TagSize + protowire.SizeVarint(sequence) + actions
	if answered > 0 {
		size += wire.TagSize + protowire.SizeVarint(answered)
	}
	b = wire.AppendHead(b, wire.FrameBatch, size)
	b = wire.AppendNumber(b, wire.BatchSequence, sequence)
	if answered > 0 {
		b = wire.AppendNumber(b, wire.BatchAnswered, answered)
	}
	return b
}

func appendFrameAck(b []byte, answered uint64) []byte {
	b = wire.AppendHead(b, wire.FrameAck, wire.TagSize+protowire.SizeVarint(answered))
	return wire.AppendNumber(b, wire.FrameAckAnswered, answered)
}

func appendDrain(b []byte, retire bool) []byte {
	if !retire {
		return wire.AppendHead(b, wire.FrameDrain, 0)
	}
	return wire.AppendBool(wire.AppendHead(b, wire.FrameDrain, wire.TagSize+1), wire.DrainRetire, true)
}
