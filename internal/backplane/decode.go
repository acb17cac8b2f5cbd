// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"

	"google.golang.org/protobuf/proto"

	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

// Why an envelope is not taken. The metrics count them apart; none of them has any effect.
var (
	errGarbage = errors.New("not an envelope")
	errVersion = errors.New("revision of the wire not known")
	errUnknown = errors.New("kind of envelope not known")
)

// maxID bounds the ids of replicas and instances that are taken from the wire.
const maxID = 128

// Decode reads an envelope. Whatever the bytes are, it gives an envelope that makes sense or an
// error. Data is not kept.
func Decode(data []byte) (*Envelope, error) {
	m := &backplanev1.Envelope{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, errGarbage
	}
	if m.GetVersion() != wireVersion {
		return nil, errVersion
	}
	if n := len(m.GetOrigin()); n == 0 || n > maxID || len(m.GetTo()) > maxID || m.GetSequence() == 0 {
		return nil, errGarbage
	}
	body, err := bodyFromWire(m)
	if err != nil {
		return nil, err
	}
	return &Envelope{
		Origin: sio.ReplicaID(m.GetOrigin()), To: sio.ReplicaID(m.GetTo()), Epoch: m.GetEpoch(), Sequence: m.GetSequence(),
		Commands: m.GetCommands(), Body: body, sealed: len(m.GetMac()) > 0,
	}, nil
}

func bodyFromWire(m *backplanev1.Envelope) (Body, error) {
	switch b := m.GetBody().(type) {
	case *backplanev1.Envelope_Command:
		cmd, err := commandFromWire(b.Command)
		return &Command{Command: cmd}, err
	case *backplanev1.Envelope_GatherRequest:
		emit, err := emitFromWire(b.GatherRequest.GetEmit())
		return &GatherRequest{ID: b.GatherRequest.GetId(), Emit: emit, Timeout: contract.MillisecondsFromProto(b.GatherRequest.GetTimeoutMs())}, err
	case *backplanev1.Envelope_GatherAnswer:
		return answerFromWire(b.GatherAnswer), nil
	case *backplanev1.Envelope_Heartbeat:
		return heartbeatFromWire(b.Heartbeat)
	case *backplanev1.Envelope_Bye:
		return &Bye{Sent: sentFromWire(b.Bye.GetSent())}, nil
	case *backplanev1.Envelope_DispatchBatch:
		return dispatchesFromWire(b.DispatchBatch)
	case *backplanev1.Envelope_ResultBatch:
		return resultsFromWire(b.ResultBatch), nil
	case *backplanev1.Envelope_QueryRequest:
		return queryFromWire(b.QueryRequest)
	case *backplanev1.Envelope_QueryAnswer:
		return queryAnswerFromWire(b.QueryAnswer), nil
	case *backplanev1.Envelope_Lost:
		return &Lost{}, nil
	}
	return nil, errUnknown
}

func commandFromWire(m *backplanev1.Command) (sio.Command, error) {
	switch c := m.GetCommand().(type) {
	case *backplanev1.Command_Emit:
		return emitFromWire(c.Emit)
	case *backplanev1.Command_Join:
		return targeted(contract.JoinFromProto(c.Join), c.Join.GetTarget())
	case *backplanev1.Command_Leave:
		return targeted(contract.LeaveFromProto(c.Leave), c.Leave.GetTarget())
	case *backplanev1.Command_Disconnect:
		return targeted(contract.DisconnectFromProto(c.Disconnect), c.Disconnect.GetTarget())
	}
	return nil, errUnknown
}

// targeted rejects a command without a target, which would reach the main namespace.
func targeted[C any](command C, t *spanwirev1.Target) (C, error) {
	if t == nil {
		return command, errGarbage
	}
	return command, nil
}

func emitFromWire(m *spanwirev1.Emit) (*sio.Emit, error) {
	if m.GetTarget() == nil || m.GetEvent() == nil || sio.ReservedEvent(m.GetEvent().GetName()) {
		return nil, errGarbage
	}
	return contract.EmitFromProto(m), nil
}

func answerFromWire(m *backplanev1.GatherAnswer) *GatherAnswer {
	return &GatherAnswer{
		ID: m.GetId(), Sockets: int(m.GetSockets()), Dropped: int(m.GetDropped()), Last: m.GetLast(),
		Acks: contract.SocketAcksFromProto(m.GetAcks()),
	}
}

func heartbeatFromWire(m *backplanev1.Heartbeat) (*Heartbeat, error) {
	h := &Heartbeat{
		Cluster: m.GetCluster(), GRPCAddress: m.GetGrpcAddress(), HTTPAddress: m.GetHttpAddress(), StartedMs: m.GetStartedMs(),
		Hello: m.GetHello(), ForwardAddress: m.GetForwardAddress(), HelloID: m.GetHelloId(), Answers: m.GetAnswers(),
		Sent: sentFromWire(m.GetSent()),
	}
	for _, i := range m.GetInstances() {
		r, err := registerFromWire(i.GetRegister())
		if err != nil {
			return nil, err
		}
		h.Instances = append(h.Instances, Instance{Register: r, Generation: i.GetGeneration(), Draining: i.GetDraining()})
	}
	return h, nil
}

func sentFromWire(m []*backplanev1.Sent) (all []Sent) {
	for _, s := range m {
		all = append(all, Sent{Replica: sio.ReplicaID(s.GetReplica()), Epoch: s.GetEpoch(), Sequence: s.GetSequence(), Commands: s.GetCommands()})
	}
	return all
}

func registerFromWire(m *spanwirev1.Register) (*sio.Register, error) {
	r := contract.RegisterFromProto(m)
	if r.Service == "" || r.Instance == "" || len(r.Service) > maxID || len(r.Instance) > maxID || r.Window <= 0 {
		return nil, errGarbage
	}
	return r, nil
}

func dispatchesFromWire(m *backplanev1.DispatchBatch) (*DispatchBatch, error) {
	b := &DispatchBatch{
		Instance: sio.InstanceID(m.GetInstanceId()), Generation: m.GetGeneration(), Lease: m.GetLoan(), Sequence: m.GetSequence(),
		Dispatches: make([]Dispatch, len(m.GetDispatches())), Released: contract.FromStrings[sio.SocketID](m.GetReleased()),
	}
	for i, d := range m.GetDispatches() {
		if err := dispatchFromWire(d, &b.Dispatches[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func dispatchFromWire(m *spanwirev1.Dispatch, d *Dispatch) error {
	*d = Dispatch{
		ID: sio.DispatchID(m.GetId()), Socket: sio.SocketID(m.GetSocketId()), Namespace: contract.NamespaceFromProto(m.GetNamespace()),
		WantsAck: m.GetWantsAck(), Redeliveries: int(m.GetRedeliveries()),
	}
	switch k := m.GetKind().(type) {
	case *spanwirev1.Dispatch_Event:
		event := contract.EventFromProto(k.Event)
		d.Kind, d.Event = KindEvent, &event
	case *spanwirev1.Dispatch_Connect:
		d.Kind, d.Recovered = KindConnect, k.Connect.GetRecovered()
	case *spanwirev1.Dispatch_Disconnected:
		d.Kind, d.Reason = KindDisconnected, sio.Reason(k.Disconnected.GetReason())
		d.Rooms = contract.FromStrings[sio.Room](k.Disconnected.GetRooms())
	case *spanwirev1.Dispatch_RoomEvent:
		change, ok := contract.RoomEventFromProto(k.RoomEvent)
		if !ok {
			return errGarbage
		}
		d.Kind, d.RoomEvent = KindRoomEvent, change
	default:
		return errUnknown
	}
	if i := m.GetIntroduction(); i != nil {
		d.Introduction = &Introduction{
			Handshake: contract.HandshakeFromProto(i.GetHandshake()), Auth: i.GetHandshake().GetAuth(),
			Data: sio.Data{Value: i.GetData(), Version: i.GetDataVersion()},
		}
	}
	return nil
}

func resultsFromWire(m *backplanev1.ResultBatch) *ResultBatch {
	b := &ResultBatch{
		Instance: sio.InstanceID(m.GetInstanceId()), Generation: m.GetGeneration(), Results: make([]Result, len(m.GetResults())),
	}
	for i, r := range m.GetResults() {
		b.Results[i] = resultFromWire(r)
	}
	return b
}

func resultFromWire(m *backplanev1.Result) (r Result) {
	r.ID, r.Result = contract.ResultFromProto(m.GetResult())
	if m.GetAbandoned() {
		r.Result.Outcome = sio.Abandoned
	}
	return r
}
