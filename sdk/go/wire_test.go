// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

func testPayload(t *testing.T, args ...any) *payload {
	t.Helper()
	p := newPayload()
	if err := p.encode(args); err != nil {
		t.Fatal(err)
	}
	return p
}

// What is written by hand is what the generated code reads.
func TestWire_write(t *testing.T) {
	p := testPayload(t, "text", []byte("binary"), []byte(""))
	message := &spanwirev1.Ack{Args: p.args.Bytes(), Attachments: p.attachments}
	target := Target{namespace: "/n", rooms: []string{"a", "b"}, except: []string{"c"}, local: true, pattern: true, emitFlags: emitFlags{volatile: true, noCompress: true}}
	wire := &spanwirev1.Target{Namespace: "/n", Rooms: target.rooms, Except: target.except, Local: true, Pattern: true}
	event := &spanwirev1.Event{Name: "e", Args: p.args.Bytes(), Attachments: p.attachments}
	var buf []byte
	var want []*spanwirev1.Action
	result := func(o outcome, w *spanwirev1.Result) {
		before := len(buf)
		w.DispatchId = 1<<60 + uint64(len(want))
		buf = appendResult(buf, w.GetDispatchId(), &o)
		if _, _, size := resultSizes(&o); len(buf)-before != size {
			t.Errorf("result %v: %d bytes, said %d", w, len(buf)-before, size)
		}
		want = append(want, &spanwirev1.Action{Action: &spanwirev1.Action_Result{Result: w}})
	}
	send := func(c command, w *spanwirev1.Command) {
		l := c.layout()
		before := len(buf)
		buf = c.append(buf, &l)
		if len(buf)-before != l.whole {
			t.Errorf("command %v: %d bytes, said %d", w, len(buf)-before, l.whole)
		}
		w.Id = c.id
		want = append(want, &spanwirev1.Action{Action: &spanwirev1.Action_Command{Command: w}})
	}
	result(outcome{}, &spanwirev1.Result{})
	result(outcome{acked: true}, &spanwirev1.Result{Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{}}})
	result(outcome{acked: true, ack: p}, &spanwirev1.Result{Outcome: &spanwirev1.Result_Ack{Ack: message}})
	result(outcome{failed: true, message: "m"}, &spanwirev1.Result{
		Outcome: &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: "m"}}})
	result(outcome{refused: true, message: "m", data: []byte("1")}, &spanwirev1.Result{
		Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: "m", Data: []byte("1")}}})
	send(command{kind: commandEmit, event: "e", payload: p, target: target, id: 300, wantAcks: true, ackTimeout: time.Second},
		&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
			Target: wire, Event: event, Volatile: true, NoCompress: true, WantAcks: true, AckTimeoutMs: 1000}}})
	send(command{kind: commandEmit, event: "e", payload: newPayload(), wantCount: true}, &spanwirev1.Command{
		Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
			Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "e"}, WantCount: true}}})
	send(command{kind: commandEmit, event: "e", payload: newPayload()},
		&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
			Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "e"}}}})
	send(command{kind: commandJoin, target: target, rooms: []string{"x", "y"}},
		&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: wire, Rooms: []string{"x", "y"}}}})
	send(command{kind: commandLeave, target: target, rooms: []string{"x"}},
		&spanwirev1.Command{Command: &spanwirev1.Command_Leave{Leave: &spanwirev1.Leave{Target: wire, Rooms: []string{"x"}}}})
	send(command{kind: commandDisconnect, target: target, closeSession: true},
		&spanwirev1.Command{Command: &spanwirev1.Command_Disconnect{Disconnect: &spanwirev1.Disconnect{Target: wire, CloseSession: true}}})

	send(command{kind: commandJoin, rooms: []string{"x"}, wantCount: true, id: 7}, &spanwirev1.Command{Command: &spanwirev1.Command_Join{
		Join: &spanwirev1.Join{Target: &spanwirev1.Target{}, Rooms: []string{"x"}, WantCount: true}}})
	send(command{kind: commandLeave, rooms: []string{"x"}, wantCount: true, id: 8}, &spanwirev1.Command{Command: &spanwirev1.Command_Leave{
		Leave: &spanwirev1.Leave{Target: &spanwirev1.Target{}, Rooms: []string{"x"}, WantCount: true}}})
	send(command{kind: commandDisconnect, wantCount: true, id: 9}, &spanwirev1.Command{Command: &spanwirev1.Command_Disconnect{
		Disconnect: &spanwirev1.Disconnect{Target: &spanwirev1.Target{}, WantCount: true}}})

	var got spanwirev1.AttachRequest
	if err := proto.Unmarshal(append(appendBatchHead(nil, 1<<40, 5, len(buf)), buf...), &got); err != nil {
		t.Fatal(err)
	}
	whole := &spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{
		Batch: &spanwirev1.ActionBatch{Sequence: 1 << 40, Answered: 5, Actions: want}}}
	if !proto.Equal(&got, whole) {
		t.Errorf("got  %v\nwant %v", &got, whole)
	}
}

// So are the frames without actions.
func TestWire_write_frames(t *testing.T) {
	var got spanwirev1.AttachRequest
	for _, c := range []struct {
		data []byte
		want *spanwirev1.AttachRequest
	}{
		{appendFrameAck(nil, 700), &spanwirev1.AttachRequest{
			Frame: &spanwirev1.AttachRequest_FrameAck{FrameAck: &spanwirev1.FrameAck{Answered: 700}}}},
		{appendDrain(nil, false), &spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Drain{Drain: &spanwirev1.Drain{}}}},
		{appendDrain(nil, true), &spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Drain{Drain: &spanwirev1.Drain{Retire: true}}}},
	} {
		if err := proto.Unmarshal(c.data, &got); err != nil || !proto.Equal(&got, c.want) {
			t.Errorf("got %v, want %v (%v)", &got, c.want, err)
		}
	}
}

// What is read by hand is what the generated code reads, and neither panics.
func FuzzInBatch(f *testing.F) {
	seed, err := proto.Marshal(&spanwirev1.DispatchBatch{
		Sequence: 3, Answered: 2,
		Dispatches: []*spanwirev1.Dispatch{event(9, "s1", "name", `["a"]`), connect(2, "s2"), disconnected(3, "s3", "ping timeout"), {
			Id: 4, Redeliveries: 2, Kind: &spanwirev1.Dispatch_Event{Event: &spanwirev1.Event{Attachments: [][]byte{{1}, {}, {2}}}}}},
		Answers: []*spanwirev1.Answer{{Id: 1}, {}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var got inBatch
		handErr := got.read(data)
		var want spanwirev1.DispatchBatch
		if err := proto.Unmarshal(data, &want); err != nil {
			return // the generated code is stricter, for example about UTF-8
		}
		if handErr != nil {
			t.Fatalf("the generated code reads it: %v", handErr)
		}
		if again, _ := proto.Marshal(&want); !bytes.Equal(again, data) {
			return // repeated or unknown fields, where only not to panic matters
		}
		if got.sequence != want.GetSequence() || got.answered != want.GetAnswered() ||
			len(got.dispatches) != len(want.GetDispatches()) || len(got.answers) != len(want.GetAnswers()) {
			t.Fatalf("got %+v, want %v", got, &want)
		}
		for i := range got.dispatches {
			compareDispatch(t, &got.dispatches[i], want.GetDispatches()[i])
		}
	})
}

func compareDispatch(t *testing.T, got *inDispatch, want *spanwirev1.Dispatch) {
	t.Helper()
	name := want.GetEvent().GetName() + want.GetDisconnected().GetReason()
	kind := kindUnknown
	switch want.GetKind().(type) {
	case *spanwirev1.Dispatch_Event:
		kind = kindEvent
	case *spanwirev1.Dispatch_Connect:
		kind = kindConnect
	case *spanwirev1.Dispatch_Disconnected:
		kind = kindDisconnected
	}
	same := got.id == want.GetId() && string(got.socketID) == want.GetSocketId() && string(got.namespace) == want.GetNamespace() &&
		got.wantsAck == want.GetWantsAck() && got.redeliveries == want.GetRedeliveries() && got.kind == kind && string(got.name) == name &&
		bytes.Equal(got.args, want.GetEvent().GetArgs()) && len(got.attachments) == len(want.GetEvent().GetAttachments()) &&
		got.introduced == (want.GetIntroduction() != nil)
	if !same {
		t.Fatalf("got %+v, want %v", got, want)
	}
	for i, a := range got.attachments {
		if !bytes.Equal(a, want.GetEvent().GetAttachments()[i]) {
			t.Fatalf("attachment %d differs", i)
		}
	}
}

// The way of one event, from its frame to its result, costs a bounded number of allocations.
func TestWire_allocations(t *testing.T) {
	data, err := proto.Marshal(&spanwirev1.DispatchBatch{Dispatches: []*spanwirev1.Dispatch{event(9, "s1", "name", `["a"]`)}})
	if err != nil {
		t.Fatal(err)
	}
	var b inBatch
	buf := make([]byte, 0, 1024)
	allocs := testing.AllocsPerRun(100, func() {
		if err := b.read(data); err != nil {
			t.Fatal(err)
		}
		buf = appendResult(buf[:0], b.dispatches[0].id, &outcome{acked: true})
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
