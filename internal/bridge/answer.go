// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
)

// An answer that is larger than a frame, or so large that it would hold up dispatches, is sent in
// parts: each holds some items of its lists, and all but the last say that more follows. The last
// holds the rest of its fields.

// partOverhead is more than what a part needs beside the items of its lists.
const partOverhead = 128

// answer queues the answer to a command. Too many that the instance does not take end its stream.
func (in *Instance) answer(a *spanwirev1.Answer) {
	for _, part := range in.parts(a) {
		in.queueAnswer(part)
	}
}

// answerParts writes the answer to the command. When no answer is wanted, it reports and counts a
// fault.
func (in *Instance) answerParts(m *spanwirev1.Command, a *spanwirev1.Answer) [][]byte {
	if m.GetId() == 0 {
		in.conclude(m, a)
		return nil
	}
	a.Id = m.GetId()
	return in.parts(a)
}

// answerAtOnce queues the parts when that takes little, and tells whether it did.
func (in *Instance) answerAtOnce(parts [][]byte) bool {
	if len(parts) > 1 {
		return false
	}
	for _, part := range parts {
		in.queueAnswer(part)
	}
	return true
}

// answerPatiently queues one part after the other as the instance takes what is queued.
func (in *Instance) answerPatiently(parts [][]byte) {
	for _, part := range parts {
		for {
			queued, freed := in.out.answerIfRoom(part)
			if queued {
				break
			}
			select {
			case <-freed:
			case <-in.ctx.Done():
				return
			}
		}
		in.Flush()
	}
	in.Flush()
}

func (in *Instance) queueAnswer(data []byte) {
	if in.out.answer(data) {
		return
	}
	in.server.metrics.Stalled.Inc()
	in.end(status.Errorf(codes.ResourceExhausted,
		"more than %d bytes of answers wait for the instance, which sends commands and does not read their answers (setting max-answer-bytes)", in.server.o.MaxAnswers))
}

// parts writes an answer in as many parts as it needs.
func (in *Instance) parts(a *spanwirev1.Answer) [][]byte { //nolint:gocognit // four lists, alike and yet of four types
	if most := min(in.out.maxItem, chunkBytes); proto.Size(a) <= most-partOverhead {
		return [][]byte{marshal(a, 0)}
	}
	p := &partition{most: min(in.out.maxItem, chunkBytes) - partOverhead, largest: in.out.maxItem - partOverhead, id: a.GetId()}
	p.next = &spanwirev1.Answer{Id: p.id}
	lost := 0
	for _, x := range a.GetAcks() {
		if p.fits(x) {
			p.next.Acks = append(p.next.Acks, x)
		} else {
			lost++
		}
	}
	for _, x := range a.GetInstanceAcks() {
		if p.fits(x) {
			p.next.InstanceAcks = append(p.next.InstanceAcks, x)
		} else {
			lost++
		}
	}
	for _, x := range a.GetFound() {
		if p.fits(x) {
			p.next.Found = append(p.next.Found, x)
		} else {
			a.Truncated = true
		}
	}
	for _, x := range a.GetRooms() {
		if p.fits(x) {
			p.next.Rooms = append(p.next.Rooms, x)
		} else {
			a.Truncated = true
		}
	}
	last := &spanwirev1.Answer{
		Id: p.id, Fault: a.GetFault(), Sockets: a.GetSockets(), Dropped: a.GetDropped(), Missing: a.GetMissing() + uint32(lost), SilentReplicas: a.GetSilentReplicas(),
		OtherReplicas: a.GetOtherReplicas(), Truncated: a.GetTruncated(), DataVersion: a.GetDataVersion(), Data: a.GetData(),
	}
	if lost > 0 && last.Fault == nil {
		last.Fault = &spanwirev1.Fault{
			Code: spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE, Message: "an ack is larger than a frame may be (setting max-frame)",
		}
	}
	if !p.fits(last) {
		p.close() // it has a part of its own
	}
	proto.Merge(p.next, last)
	return append(p.done, marshal(p.next, in.out.maxItem))
}

// partition cuts an answer into parts.
type partition struct {
	most    int // bytes of one part
	largest int // bytes of one item, which then has a part of its own
	id      uint64
	next    *spanwirev1.Answer
	size    int
	done    [][]byte
}

// fits makes room for the item in the next part, or tells that no part can hold it.
func (p *partition) fits(item proto.Message) bool {
	size := wire.BytesSize(proto.Size(item))
	if size > p.largest {
		return false
	}
	if p.size > 0 && p.size+size > p.most {
		p.close()
	}
	p.size += size
	return true
}

func (p *partition) close() {
	if p.size == 0 {
		return
	}
	p.next.More = true
	p.done = append(p.done, marshal(p.next, 0))
	p.next, p.size = &spanwirev1.Answer{Id: p.id}, 0
}

// marshal writes a part. One that cannot be sent is a fault instead; a limit of 0 is none.
func marshal(a *spanwirev1.Answer, limit int) []byte {
	data, err := proto.Marshal(a)
	if err == nil && (limit == 0 || wire.BytesSize(len(data)) <= limit) {
		return data
	}
	data, _ = proto.Marshal(&spanwirev1.Answer{Id: a.GetId(), Sockets: a.GetSockets(), Missing: a.GetMissing(), Fault: &spanwirev1.Fault{
		Code:    spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE,
		Message: "the answer is larger than a frame may be (setting max-frame), or a name in it is not UTF-8",
	}})
	return data
}
