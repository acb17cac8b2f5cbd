// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Actions are written by hand, straight into the frame that will carry them, for the reason given in wire_read.go.
// Lengths are computed before the bytes are written, so nothing is moved. All field numbers here are below 16: a tag is one byte.

const (
	requestBatch = 2 // AttachRequest

	actionBatchSequence = 1 // ActionBatch
	actionBatchAnswered = 2
	actionBatchActions  = 3

	actionResult  = 1 // Action
	actionCommand = 2

	resultDispatchID = 1 // Result
	resultAck        = 2
	resultRefusal    = 3
	resultFailure    = 4

	ackArgs        = 1 // Ack
	ackAttachments = 2

	refusalMessage = 1 // Refusal
	refusalData    = 2

	failureMessage = 1 // Failure

	commandID              = 1 // Command
	commandEmitField       = 2
	commandJoinField       = 3
	commandLeaveField      = 4
	commandDisconnectField = 5

	commandTarget = 1 // Emit, Join, Leave and Disconnect

	emitEvent      = 2 // Emit
	emitVolatile   = 3
	emitNoCompress = 4
	emitWantAcks   = 5
	emitAckTimeout = 6
	emitWantCount  = 7

	joinRooms = 2 // Join and Leave

	disconnectCloseSession = 2 // Disconnect

	targetNamespace = 1 // Target
	targetRooms     = 2
	targetExcept    = 3
	targetLocal     = 4
	targetPattern   = 5
)

const (
	tagSize  = 1
	boolSize = 2
	idSize   = tagSize + 8
)

// outcome is how a dispatch ended. At most one of its fields is set.
type outcome struct {
	acked   bool
	ack     *payload // nil for an empty ack
	refused bool
	message string // of the refusal or the failure
	data    []byte // of the refusal
	failed  bool
}

func bytesSize(n int) int { return tagSize + protowire.SizeBytes(n) }

// optionalSize is the size of a bytes field that is left out when empty.
func optionalSize(n int) int {
	if n == 0 {
		return 0
	}
	return bytesSize(n)
}

func appendHead(b []byte, num protowire.Number, size int) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.BytesType)), uint64(size))
}

func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.VarintType)), v)
}

func appendOptional[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendHead(b, num, len(v)), v...)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendNumber(b, num, 1)
}

func (p *payload) size() int {
	if p == nil {
		return 0
	}
	n := optionalSize(p.args.Len())
	for _, a := range p.attachments {
		n += bytesSize(len(a))
	}
	return n
}

// append writes the fields args and attachments, whose numbers follow one another in Event and in Ack.
func (p *payload) append(b []byte, args protowire.Number) []byte {
	if p == nil {
		return b
	}
	b = appendOptional(b, args, p.args.Bytes())
	for _, a := range p.attachments {
		b = append(appendHead(b, args+1, len(a)), a...)
	}
	return b
}

// resultSizes gives the sizes of the outcome's message and of the whole action as it stands in the batch.
func resultSizes(o *outcome) (inner, result, whole int) {
	result = idSize
	switch {
	case o.failed:
		inner = optionalSize(len(o.message))
	case o.refused:
		inner = optionalSize(len(o.message)) + optionalSize(len(o.data))
	case o.acked:
		inner = o.ack.size()
	}
	if o.failed || o.refused || o.acked {
		result += bytesSize(inner)
	}
	return inner, result, bytesSize(bytesSize(result))
}

// appendResult writes a result as one action of a batch.
func appendResult(b []byte, dispatch uint64, o *outcome) []byte {
	inner, result, _ := resultSizes(o)
	b = appendHead(b, actionBatchActions, bytesSize(result))
	b = appendHead(b, actionResult, result)
	b = protowire.AppendFixed64(append(b, resultDispatchID<<3|byte(protowire.Fixed64Type)), dispatch)
	switch {
	case o.failed:
		b = appendHead(b, resultFailure, inner)
		b = appendOptional(b, failureMessage, o.message)
	case o.refused:
		b = appendHead(b, resultRefusal, inner)
		b = appendOptional(b, refusalMessage, o.message)
		b = appendOptional(b, refusalData, o.data)
	case o.acked:
		b = appendHead(b, resultAck, inner)
		b = o.ack.append(b, ackArgs)
	}
	return b
}

func (t *Target) size() int {
	n := optionalSize(len(t.namespace))
	for _, room := range t.rooms {
		n += bytesSize(len(room))
	}
	for _, room := range t.except {
		n += bytesSize(len(room))
	}
	for _, flag := range [...]bool{t.local, t.pattern} {
		if flag {
			n += boolSize
		}
	}
	return n
}

func (t *Target) append(b []byte, size int) []byte {
	b = appendHead(b, commandTarget, size)
	b = appendOptional(b, targetNamespace, t.namespace)
	for _, room := range t.rooms {
		b = append(appendHead(b, targetRooms, len(room)), room...)
	}
	for _, room := range t.except {
		b = append(appendHead(b, targetExcept, len(room)), room...)
	}
	return appendBool(appendBool(b, targetLocal, t.local), targetPattern, t.pattern)
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
	if c.kind == commandRare {
		c.rare.Id = c.id
		l.command = proto.Size(c.rare)
		l.whole = bytesSize(bytesSize(l.command))
		return l
	}
	l.target = c.target.size()
	l.arm = bytesSize(l.target)
	switch c.kind {
	case commandEmit:
		l.event = optionalSize(len(c.event)) + c.payload.size()
		l.arm += bytesSize(l.event)
		for _, flag := range [...]bool{c.target.volatile, c.target.noCompress, c.wantAcks, c.wantCount} {
			if flag {
				l.arm += boolSize
			}
		}
		if ms := c.timeoutMs(); ms > 0 {
			l.arm += tagSize + protowire.SizeVarint(ms)
		}
	case commandJoin, commandLeave:
		for _, room := range c.rooms {
			l.arm += bytesSize(len(room))
		}
	case commandDisconnect:
		if c.closeSession {
			l.arm += boolSize
		}
	}
	l.command = bytesSize(l.arm)
	if c.id != 0 {
		l.command += tagSize + protowire.SizeVarint(c.id)
	}
	l.whole = bytesSize(bytesSize(l.command))
	return l
}

// append writes the command as one action of a batch.
func (c *command) append(b []byte, l *commandLayout) []byte {
	b = appendHead(b, actionBatchActions, bytesSize(l.command))
	b = appendHead(b, actionCommand, l.command)
	if c.kind == commandRare {
		b, _ = proto.MarshalOptions{}.MarshalAppend(b, c.rare) // it was measured, and its text is checked
		return b
	}
	if c.id != 0 {
		b = appendNumber(b, commandID, c.id)
	}
	switch c.kind {
	case commandEmit:
		b = c.target.append(appendHead(b, commandEmitField, l.arm), l.target)
		b = appendHead(b, emitEvent, l.event)
		b = appendOptional(b, eventName, c.event)
		b = c.payload.append(b, eventArgs)
		b = appendBool(b, emitVolatile, c.target.volatile)
		b = appendBool(b, emitNoCompress, c.target.noCompress)
		b = appendBool(b, emitWantAcks, c.wantAcks)
		if ms := c.timeoutMs(); ms > 0 {
			b = appendNumber(b, emitAckTimeout, ms)
		}
		b = appendBool(b, emitWantCount, c.wantCount)
	case commandJoin, commandLeave:
		arm := protowire.Number(commandJoinField)
		if c.kind == commandLeave {
			arm = commandLeaveField
		}
		b = c.target.append(appendHead(b, arm, l.arm), l.target)
		for _, room := range c.rooms {
			b = append(appendHead(b, joinRooms, len(room)), room...)
		}
	case commandDisconnect:
		b = c.target.append(appendHead(b, commandDisconnectField, l.arm), l.target)
		b = appendBool(b, disconnectCloseSession, c.closeSession)
	}
	return b
}

// batchOverhead is more than what a frame needs beside its actions.
const batchOverhead = 64

// appendBatchHead writes what stands before the actions of a batch frame.
func appendBatchHead(b []byte, sequence, answered uint64, actions int) []byte {
	size := tagSize + protowire.SizeVarint(sequence) + actions
	if answered > 0 {
		size += tagSize + protowire.SizeVarint(answered)
	}
	b = appendHead(b, requestBatch, size)
	b = appendNumber(b, actionBatchSequence, sequence)
	if answered > 0 {
		b = appendNumber(b, actionBatchAnswered, answered)
	}
	return b
}

const (
	requestFrameAck = 3 // AttachRequest
	requestDrain    = 4

	frameAckAnswered = 1 // FrameAck
)

func appendFrameAck(b []byte, answered uint64) []byte {
	b = appendHead(b, requestFrameAck, tagSize+protowire.SizeVarint(answered))
	return appendNumber(b, frameAckAnswered, answered)
}

func appendDrain(b []byte) []byte { return appendHead(b, requestDrain, 0) }
