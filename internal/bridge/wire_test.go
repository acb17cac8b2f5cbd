// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// What is written by hand is what the generated code reads.
func TestAppendDispatch(t *testing.T) {
	b := &browser{id: "socket1", handshake: &sio.Handshake{URL: "/\xff", Host: "h", Headers: []sio.Header{{Name: "A", Value: "\xfe"}}}}
	for _, d := range []dispatch.Dispatch{
		{ID: 1 << 63, Socket: b, Kind: dispatch.Event, WantsAck: true, Redeliveries: 300, Introduce: true,
			Event: &sio.Event{Name: "chat", Args: []byte(`[1]`), Attachments: [][]byte{{1}, {}, make([]byte, 300)}}},
		{ID: 1, Socket: b, Kind: dispatch.Event, Event: &sio.Event{Name: "empty"}},
		{ID: 2, Socket: b, Kind: dispatch.Connect, WantsAck: true},
		{ID: 3, Socket: b, Kind: dispatch.Disconnected, Reason: sio.ReasonPingTimeout},
		{ID: 4, Socket: b, Kind: dispatch.Disconnected, Reason: sio.ReasonPingTimeout, Rooms: []sio.Room{"socket1", "", "é"}},
		{ID: 5, Socket: b, Kind: dispatch.RoomEvent, RoomEvent: sio.RoomEvent{Change: sio.RoomCreated, Room: "r"}},
		{ID: 6, Socket: b, Kind: dispatch.RoomEvent, RoomEvent: sio.RoomEvent{Change: sio.RoomLeft}},
		{ID: 8, Socket: &browser{}, Kind: dispatch.Message, WantsAck: true, Sender: sio.Addressee{Service: "s", Instance: "i"},
			Event: &sio.Event{Name: "m", Args: []byte(`[1]`), Attachments: [][]byte{{1}, {}}}},
		{ID: 9, Socket: &browser{}, Kind: dispatch.Message, Event: &sio.Event{}},
		{ID: 7, Socket: &browser{id: "socket2", recovered: true}, Kind: dispatch.Connect, WantsAck: true},
	} {
		var intro []byte
		if d.Introduce {
			intro = introduction(b.Introduction(), false)
		}
		l := layout(&d, intro)
		items := appendDispatch(nil, &d, &l, intro)
		if len(items) != l.whole {
			t.Errorf("%d bytes, measured %d", len(items), l.whole)
		}
		var m spanwirev1.AttachResponse
		if err := proto.Unmarshal(append(appendBatchHead(nil, 300, 7, len(items)), items...), &m); err != nil {
			t.Fatal(err)
		}
		if m.GetBatch().GetSequence() != 300 || m.GetBatch().GetAnswered() != 7 {
			t.Errorf("batch %v", &m)
		}
		want := generated(&d)
		got := m.GetBatch().GetDispatches()[0]
		if d.Introduce {
			if got.GetIntroduction().GetHandshake().GetUrl() != "/\uFFFD" {
				t.Errorf("introduction %v", got.GetIntroduction())
			}
			want.Introduction = got.GetIntroduction()
		}
		if !proto.Equal(got, want) {
			t.Errorf("dispatch %v, want %v", got, want)
		}
	}
}

func generated(d *dispatch.Dispatch) *spanwirev1.Dispatch {
	m := &spanwirev1.Dispatch{Id: uint64(d.ID), SocketId: string(d.Socket.ID()), WantsAck: d.WantsAck, Redeliveries: uint32(d.Redeliveries)}
	switch d.Kind {
	case dispatch.Event:
		m.Kind = &spanwirev1.Dispatch_Event{Event: &spanwirev1.Event{Name: d.Event.Name, Args: d.Event.Args, Attachments: d.Event.Attachments}}
	case dispatch.Connect:
		m.Kind = &spanwirev1.Dispatch_Connect{Connect: &spanwirev1.Connect{Recovered: d.Socket.Introduction().Recovered}}
	case dispatch.Disconnected:
		m.Kind = &spanwirev1.Dispatch_Disconnected{Disconnected: &spanwirev1.Disconnected{Reason: string(d.Reason), Rooms: contract.ToStrings(d.Rooms)}}
	case dispatch.Message:
		m.Kind = &spanwirev1.Dispatch_Message{Message: &spanwirev1.Message{
			Event:   &spanwirev1.Event{Name: d.Event.Name, Args: d.Event.Args, Attachments: d.Event.Attachments},
			Service: string(d.Sender.Service), InstanceId: string(d.Sender.Instance),
		}}
	case dispatch.RoomEvent:
		change := map[sio.RoomChange]spanwirev1.RoomChange{
			sio.RoomCreated: spanwirev1.RoomChange_ROOM_CHANGE_CREATED, sio.RoomDeleted: spanwirev1.RoomChange_ROOM_CHANGE_DELETED,
			sio.RoomJoined: spanwirev1.RoomChange_ROOM_CHANGE_JOINED, sio.RoomLeft: spanwirev1.RoomChange_ROOM_CHANGE_LEFT,
		}[d.RoomEvent.Change]
		m.Kind = &spanwirev1.Dispatch_RoomEvent{RoomEvent: &spanwirev1.RoomEvent{Change: change, Room: string(d.RoomEvent.Room)}}
	}
	return m
}

// What the generated code writes is read by hand.
func TestReadResult(t *testing.T) {
	for _, m := range []*spanwirev1.Result{
		{DispatchId: 1},
		{DispatchId: 1 << 63, Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{Args: []byte(`[1]`), Attachments: [][]byte{{1}, {}}}}},
		{DispatchId: 3, Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: "no", Data: []byte(`1`)}}},
		{DispatchId: 4, Outcome: &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: "broken"}}},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		id, r, err := readResult(data)
		if err != nil || uint64(id) != m.GetDispatchId() {
			t.Errorf("%v gave %d, %v", m, id, err)
		}
		want := sio.Result{}
		switch {
		case m.GetAck() != nil:
			want = sio.Result{Outcome: sio.Answered, Ack: sio.Ack{Args: m.GetAck().GetArgs(), Attachments: m.GetAck().GetAttachments()}}
		case m.GetRefusal() != nil:
			want = sio.Result{Outcome: sio.Refused, Message: "no", Data: []byte(`1`)}
		case m.GetFailure() != nil:
			want = sio.Result{Outcome: sio.Failed, Message: "broken"}
		}
		if fmt.Sprint(r) != fmt.Sprint(want) {
			t.Errorf("%v gave %+v", m, r)
		}
	}
}

// BenchmarkWire compares a batch of 64 dispatches and 64 results by hand with the generated code.
func BenchmarkWire(b *testing.B) {
	d := &dispatch.Dispatch{ID: 1 << 60, Socket: &browser{id: sio.NewSocketID("repl01")}, Kind: dispatch.Event, WantsAck: true,
		Event: &sio.Event{Name: "my event", Args: echoArgs}}
	in := &spanwirev1.ActionBatch{Sequence: 1}
	for range 64 {
		in.Actions = append(in.Actions, acked(1<<60, `["got"]`))
	}
	results, _ := proto.Marshal(in)
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		var buffer []byte
		for b.Loop() {
			buffer = buffer[:0]
			for range 64 {
				l := layout(d, nil)
				buffer = appendDispatch(buffer, d, &l, nil)
			}
			wire.Each(results, func(f wire.Field) error {
				if f.Key == wire.BatchItems<<3|wire.Length {
					a, _, _ := wire.Next(f.Data)
					readResult(a.Data)
				}
				return nil
			})
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		var buffer []byte
		for b.Loop() {
			out := &spanwirev1.DispatchBatch{Sequence: 1}
			for range 64 {
				out.Dispatches = append(out.Dispatches, generated(d))
			}
			buffer, _ = proto.MarshalOptions{}.MarshalAppend(buffer[:0], out)
			var m spanwirev1.ActionBatch
			proto.Unmarshal(results, &m)
		}
	})
}
