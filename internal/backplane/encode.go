// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

// wireVersion is the revision of the wire that this code writes and reads.
const wireVersion = 1

// headerRoom is more than appendHeader ever adds.
const headerRoom = 160

// Encode writes an envelope.
func Encode(e *Envelope) ([]byte, error) {
	data, err := encodeBody(e.Body)
	if err != nil {
		return nil, err
	}
	return appendHeader(data, e), nil
}

// encodeBody writes an envelope without its header. The two are apart so that bodies can be written
// before their number is known: fields of protobuf may stand in any order.
func encodeBody(b Body) ([]byte, error) {
	m := &backplanev1.Envelope{}
	switch b := b.(type) {
	case *Command:
		m.Body = &backplanev1.Envelope_Command{Command: commandToWire(b.Command)}
	case *GatherRequest:
		m.Body = &backplanev1.Envelope_GatherRequest{GatherRequest: &backplanev1.GatherRequest{
			Id: b.ID, Emit: contract.EmitToProto(b.Emit), TimeoutMs: contract.MillisecondsToProto(b.Timeout),
		}}
	case *GatherAnswer:
		m.Body = &backplanev1.Envelope_GatherAnswer{GatherAnswer: answerToWire(b)}
	case *Heartbeat:
		m.Body = &backplanev1.Envelope_Heartbeat{Heartbeat: heartbeatToWire(b)}
	case *Bye:
		m.Body = &backplanev1.Envelope_Bye{Bye: &backplanev1.Bye{Sent: sentToWire(b.Sent)}}
	case *DispatchBatch:
		m.Body = &backplanev1.Envelope_DispatchBatch{DispatchBatch: dispatchesToWire(b)}
	case *ResultBatch:
		m.Body = &backplanev1.Envelope_ResultBatch{ResultBatch: resultsToWire(b)}
	case *QueryRequest:
		m.Body = &backplanev1.Envelope_QueryRequest{QueryRequest: queryToWire(b)}
	case *QueryAnswer:
		m.Body = &backplanev1.Envelope_QueryAnswer{QueryAnswer: queryAnswerToWire(b)}
	case *Lost:
		m.Body = &backplanev1.Envelope_Lost{Lost: &backplanev1.Lost{}}
	}
	options := proto.MarshalOptions{UseCachedSize: true}
	data, err := options.MarshalAppend(make([]byte, 0, proto.Size(m)+headerRoom), m)
	if err != nil {
		return nil, &sio.Error{Code: sio.CodeInvalid, Op: "encode envelope", Message: "a name in it is not UTF-8", Cause: err}
	}
	return data, nil
}

// Numbers of fields of Envelope that are written by hand.
const (
	fieldCommands = 20
	fieldMAC      = 21
)

// appendHeader writes the fields of Envelope beside the body and the code that authenticates it.
func appendHeader(data []byte, e *Envelope) []byte {
	data = protowire.AppendTag(data, 1, protowire.VarintType)
	data = protowire.AppendVarint(data, wireVersion)
	data = protowire.AppendTag(data, 2, protowire.BytesType)
	data = protowire.AppendString(data, string(e.Origin))
	if e.To != "" {
		data = protowire.AppendTag(data, 3, protowire.BytesType)
		data = protowire.AppendString(data, string(e.To))
	}
	data = protowire.AppendTag(data, 4, protowire.Fixed64Type)
	data = protowire.AppendFixed64(data, e.Epoch)
	data = protowire.AppendTag(data, 5, protowire.VarintType)
	data = protowire.AppendVarint(data, e.Sequence)
	data = protowire.AppendTag(data, fieldCommands, protowire.VarintType)
	return protowire.AppendVarint(data, e.Commands)
}

func commandToWire(cmd sio.Command) *backplanev1.Command {
	switch c := cmd.(type) {
	case *sio.Emit:
		return &backplanev1.Command{Command: &backplanev1.Command_Emit{Emit: contract.EmitToProto(c)}}
	case *sio.Join:
		return &backplanev1.Command{Command: &backplanev1.Command_Join{Join: contract.JoinToProto(c)}}
	case *sio.Leave:
		return &backplanev1.Command{Command: &backplanev1.Command_Leave{Leave: contract.LeaveToProto(c)}}
	case *sio.Disconnect:
		return &backplanev1.Command{Command: &backplanev1.Command_Disconnect{Disconnect: contract.DisconnectToProto(c)}}
	}
	return nil
}

func answerToWire(a *GatherAnswer) *backplanev1.GatherAnswer {
	return &backplanev1.GatherAnswer{
		Id: a.ID, Sockets: uint32(a.Sockets), Dropped: uint32(a.Dropped), Last: a.Last, Acks: contract.SocketAcksToProto(a.Acks),
	}
}

func heartbeatToWire(h *Heartbeat) *backplanev1.Heartbeat {
	m := &backplanev1.Heartbeat{
		Cluster: h.Cluster, GrpcAddress: h.GRPCAddress, HttpAddress: h.HTTPAddress, StartedMs: h.StartedMs, Hello: h.Hello,
		ForwardAddress: h.ForwardAddress, HelloId: h.HelloID, Answers: h.Answers, Sent: sentToWire(h.Sent),
	}
	for _, i := range h.Instances {
		m.Instances = append(m.Instances, &backplanev1.Instance{
			Register: contract.RegisterToProto(i.Register), Generation: i.Generation, Draining: i.Draining,
		})
	}
	return m
}

func sentToWire(all []Sent) (m []*backplanev1.Sent) {
	for _, s := range all {
		m = append(m, &backplanev1.Sent{Replica: string(s.Replica), Epoch: s.Epoch, Sequence: s.Sequence, Commands: s.Commands})
	}
	return m
}

func dispatchesToWire(b *DispatchBatch) *backplanev1.DispatchBatch {
	m := &backplanev1.DispatchBatch{InstanceId: string(b.Instance), Generation: b.Generation, Loan: b.Lease, Sequence: b.Sequence}
	for i := range b.Dispatches {
		m.Dispatches = append(m.Dispatches, dispatchToWire(&b.Dispatches[i]))
	}
	m.Released = contract.ToStrings(b.Released)
	return m
}

func dispatchToWire(d *Dispatch) *spanwirev1.Dispatch {
	m := &spanwirev1.Dispatch{
		Id: uint64(d.ID), SocketId: string(d.Socket), Namespace: string(d.Namespace),
		WantsAck: d.WantsAck, Redeliveries: uint32(d.Redeliveries),
	}
	switch d.Kind {
	case KindEvent:
		m.Kind = &spanwirev1.Dispatch_Event{Event: contract.EventToProto(d.Event)}
	case KindConnect:
		m.Kind = &spanwirev1.Dispatch_Connect{Connect: &spanwirev1.Connect{Recovered: d.Recovered}}
	case KindDisconnected:
		m.Kind = &spanwirev1.Dispatch_Disconnected{Disconnected: &spanwirev1.Disconnected{
			Reason: string(d.Reason), Rooms: contract.ToStrings(d.Rooms),
		}}
	case KindRoomEvent:
		m.Kind = &spanwirev1.Dispatch_RoomEvent{RoomEvent: contract.RoomEventToProto(d.RoomEvent)}
	}
	if i := d.Introduction; i != nil {
		m.Introduction = contract.IntroductionToProto(i.Handshake, i.Auth, i.Data, contract.WithCredentials)
	}
	return m
}

func resultsToWire(b *ResultBatch) *backplanev1.ResultBatch {
	m := &backplanev1.ResultBatch{InstanceId: string(b.Instance), Generation: b.Generation}
	for i := range b.Results {
		m.Results = append(m.Results, resultToWire(&b.Results[i]))
	}
	return m
}

func resultToWire(r *Result) *backplanev1.Result {
	return &backplanev1.Result{Result: contract.ResultToProto(r.ID, &r.Result), Abandoned: r.Result.Outcome == sio.Abandoned}
}
