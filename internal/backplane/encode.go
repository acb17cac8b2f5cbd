// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
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
			Id: b.ID, Emit: emitToWire(b.Emit), TimeoutMs: toMilliseconds(b.Timeout),
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
		return &backplanev1.Command{Command: &backplanev1.Command_Emit{Emit: emitToWire(c)}}
	case *sio.Join:
		return &backplanev1.Command{Command: &backplanev1.Command_Join{
			Join: &spanwirev1.Join{Target: targetToWire(&c.Target), Rooms: toStrings(c.Rooms)},
		}}
	case *sio.Leave:
		return &backplanev1.Command{Command: &backplanev1.Command_Leave{
			Leave: &spanwirev1.Leave{Target: targetToWire(&c.Target), Rooms: toStrings(c.Rooms)},
		}}
	case *sio.Disconnect:
		return &backplanev1.Command{Command: &backplanev1.Command_Disconnect{
			Disconnect: &spanwirev1.Disconnect{Target: targetToWire(&c.Target), CloseSession: c.CloseSession},
		}}
	}
	return nil
}

func emitToWire(e *sio.Emit) *spanwirev1.Emit {
	return &spanwirev1.Emit{
		Target: targetToWire(&e.Target), Event: eventToWire(&e.Event), Volatile: e.Volatile, NoCompress: e.NoCompress,
		WantCount: e.CountOnly,
	}
}

func targetToWire(t *sio.Target) *spanwirev1.Target {
	return &spanwirev1.Target{Namespace: string(t.Namespace), Rooms: toStrings(t.Rooms), Except: toStrings(t.Except), Local: t.Local, Pattern: t.Pattern}
}

func eventToWire(e *sio.Event) *spanwirev1.Event {
	return &spanwirev1.Event{Name: e.Name, Args: e.Args, Attachments: e.Attachments}
}

func ackToWire(a *sio.Ack) *spanwirev1.Ack {
	return &spanwirev1.Ack{Args: a.Args, Attachments: a.Attachments}
}

func answerToWire(a *GatherAnswer) *backplanev1.GatherAnswer {
	m := &backplanev1.GatherAnswer{Id: a.ID, Sockets: uint32(a.Sockets), Dropped: uint32(a.Dropped), Last: a.Last}
	for i := range a.Acks {
		m.Acks = append(m.Acks, &spanwirev1.SocketAck{SocketId: string(a.Acks[i].Socket), Ack: ackToWire(&a.Acks[i].Ack)})
	}
	return m
}

func heartbeatToWire(h *Heartbeat) *backplanev1.Heartbeat {
	m := &backplanev1.Heartbeat{
		Cluster: h.Cluster, GrpcAddress: h.GRPCAddress, HttpAddress: h.HTTPAddress, StartedMs: h.StartedMs, Hello: h.Hello,
		ForwardAddress: h.ForwardAddress, HelloId: h.HelloID, Answers: h.Answers, Sent: sentToWire(h.Sent),
	}
	for _, i := range h.Instances {
		m.Instances = append(m.Instances, &backplanev1.Instance{
			Register: registerToWire(i.Register), Generation: i.Generation, Draining: i.Draining,
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

func registerToWire(r *sio.Register) *spanwirev1.Register {
	m := &spanwirev1.Register{
		Service: string(r.Service), InstanceId: string(r.Instance), SdkName: r.SDKName, SdkVersion: r.SDKVersion,
		Window: uint32(r.Window), Credentials: r.Credentials, DeliveryMode: spanwirev1.DeliveryMode_DELIVERY_MODE_AT_LEAST_ONCE,
	}
	if r.AtMostOnce {
		m.DeliveryMode = spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE
	}
	m.Registrations = registrationsToWire(r.Namespaces)
	return m
}

func registrationsToWire(all []sio.Registration) (list []*spanwirev1.Registration) {
	for _, n := range all {
		list = append(list, &spanwirev1.Registration{
			Namespace: string(n.Namespace), Pattern: n.Pattern, Events: n.Events, CatchAll: n.CatchAll, Connect: n.Connect,
			ConnectOrder: uint32(n.ConnectOrder), ConnectAdvisory: n.Advisory, Disconnect: n.Disconnect, RoomEvents: n.RoomEvents,
			Messages: n.Messages, ConcurrentEvents: n.Concurrent,
		})
	}
	return list
}

func dispatchesToWire(b *DispatchBatch) *backplanev1.DispatchBatch {
	m := &backplanev1.DispatchBatch{InstanceId: string(b.Instance), Generation: b.Generation, Loan: b.Loan, Sequence: b.Sequence}
	for i := range b.Dispatches {
		m.Dispatches = append(m.Dispatches, dispatchToWire(&b.Dispatches[i]))
	}
	m.Released = toStrings(b.Released)
	return m
}

func dispatchToWire(d *Dispatch) *spanwirev1.Dispatch {
	m := &spanwirev1.Dispatch{
		Id: uint64(d.ID), SocketId: string(d.Socket), Namespace: string(d.Namespace),
		WantsAck: d.WantsAck, Redeliveries: uint32(d.Redeliveries),
	}
	switch d.Kind {
	case KindEvent:
		m.Kind = &spanwirev1.Dispatch_Event{Event: eventToWire(d.Event)}
	case KindConnect:
		m.Kind = &spanwirev1.Dispatch_Connect{Connect: &spanwirev1.Connect{Recovered: d.Recovered}}
	case KindDisconnected:
		m.Kind = &spanwirev1.Dispatch_Disconnected{Disconnected: &spanwirev1.Disconnected{
			Reason: string(d.Reason), Rooms: toStrings(d.Rooms),
		}}
	case KindRoomEvent:
		m.Kind = &spanwirev1.Dispatch_RoomEvent{RoomEvent: &spanwirev1.RoomEvent{
			// the numbers are the contract's
			Change: spanwirev1.RoomChange(d.RoomEvent.Change), Room: string(d.RoomEvent.Room),
		}}
	}
	if i := d.Introduction; i != nil {
		m.Introduction = &spanwirev1.Introduction{
			Handshake: handshakeToWire(i.Handshake, i.Auth), Data: i.Data.Value, DataVersion: i.Data.Version,
		}
	}
	return m
}

// handshakeToWire mends what a browser may have sent in other encodings, since strings on the wire
// are UTF-8.
func handshakeToWire(h *sio.Handshake, auth []byte) *spanwirev1.Handshake {
	m := &spanwirev1.Handshake{Auth: auth}
	if h == nil {
		return m
	}
	m.Method, m.Url, m.Host = utf8(h.Method), utf8(h.URL), utf8(h.Host)
	m.Address, m.Secure, m.CrossDomain, m.IssuedMs = h.Address, h.Secure, h.CrossDomain, h.IssuedMs
	m.Transport, m.EngineProtocol = h.Transport, uint32(h.EngineProtocol)
	for _, header := range h.Headers {
		m.Headers = append(m.Headers, &spanwirev1.Header{Name: utf8(header.Name), Value: utf8(header.Value)})
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
	m := &spanwirev1.Result{DispatchId: uint64(r.ID)}
	switch r.Result.Outcome {
	case sio.Handled:
	case sio.Answered:
		m.Outcome = &spanwirev1.Result_Ack{Ack: ackToWire(&r.Result.Ack)}
	case sio.Refused:
		m.Outcome = &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: utf8(r.Result.Message), Data: r.Result.Data}}
	case sio.Failed, sio.Abandoned:
		m.Outcome = &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: utf8(r.Result.Message)}}
	}
	return &backplanev1.Result{Result: m, Abandoned: r.Result.Outcome == sio.Abandoned}
}

func toStrings[S ~string](list []S) []string {
	if len(list) == 0 {
		return nil
	}
	s := make([]string, len(list))
	for i, x := range list {
		s[i] = string(x)
	}
	return s
}

func utf8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func toMilliseconds(d time.Duration) uint32 { return uint32(min(d.Milliseconds(), 1<<31)) }

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
