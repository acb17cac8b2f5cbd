// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"

	"google.golang.org/protobuf/proto"

	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Why an envelope is not taken. They are told apart for the metrics; none of them harms anything.
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
		return &GatherRequest{ID: b.GatherRequest.GetId(), Emit: emit, Timeout: milliseconds(b.GatherRequest.GetTimeoutMs())}, err
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
		t, err := targetFromWire(c.Join.GetTarget())
		return &sio.Join{Target: t, Rooms: fromStrings[sio.Room](c.Join.GetRooms())}, err
	case *backplanev1.Command_Leave:
		t, err := targetFromWire(c.Leave.GetTarget())
		return &sio.Leave{Target: t, Rooms: fromStrings[sio.Room](c.Leave.GetRooms())}, err
	case *backplanev1.Command_Disconnect:
		t, err := targetFromWire(c.Disconnect.GetTarget())
		return &sio.Disconnect{Target: t, CloseSession: c.Disconnect.GetCloseSession()}, err
	}
	return nil, errUnknown
}

func emitFromWire(m *spanwirev1.Emit) (*sio.Emit, error) {
	t, err := targetFromWire(m.GetTarget())
	if err != nil || m.GetEvent() == nil || sio.ReservedEvent(m.GetEvent().GetName()) {
		return nil, errGarbage
	}
	return &sio.Emit{
		Target: t, Event: eventFromWire(m.GetEvent()), Volatile: m.GetVolatile(), NoCompress: m.GetNoCompress(), CountOnly: m.GetWantCount(),
	}, nil
}

func targetFromWire(m *spanwirev1.Target) (sio.Target, error) {
	if m == nil {
		return sio.Target{}, errGarbage
	}
	return sio.Target{
		Namespace: namespaceFromWire(m.GetNamespace()), Rooms: fromStrings[sio.Room](m.GetRooms()), Except: fromStrings[sio.Room](m.GetExcept()),
		Local: m.GetLocal(), Pattern: m.GetPattern(),
	}, nil
}

func namespaceFromWire(s string) sio.Namespace {
	if s == "" {
		return sio.MainNamespace
	}
	return sio.Namespace(s)
}

func eventFromWire(m *spanwirev1.Event) sio.Event {
	return sio.Event{Name: m.GetName(), Args: m.GetArgs(), Attachments: m.GetAttachments()}
}

func ackFromWire(m *spanwirev1.Ack) sio.Ack {
	return sio.Ack{Args: m.GetArgs(), Attachments: m.GetAttachments()}
}

func answerFromWire(m *backplanev1.GatherAnswer) *GatherAnswer {
	a := &GatherAnswer{ID: m.GetId(), Sockets: int(m.GetSockets()), Dropped: int(m.GetDropped()), Last: m.GetLast()}
	for _, ack := range m.GetAcks() {
		a.Acks = append(a.Acks, sio.SocketAck{Socket: sio.SocketID(ack.GetSocketId()), Ack: ackFromWire(ack.GetAck())})
	}
	return a
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
	r := &sio.Register{
		Service: sio.ServiceName(m.GetService()), Instance: sio.InstanceID(m.GetInstanceId()),
		SDKName: m.GetSdkName(), SDKVersion: m.GetSdkVersion(), Window: int(m.GetWindow()), Credentials: m.GetCredentials(),
		AtMostOnce: m.GetDeliveryMode() == spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE,
	}
	if r.Service == "" || r.Instance == "" || len(r.Service) > maxID || len(r.Instance) > maxID || r.Window <= 0 {
		return nil, errGarbage
	}
	r.Namespaces = registrationsFromWire(m.GetRegistrations())
	return r, nil
}

func registrationsFromWire(list []*spanwirev1.Registration) (all []sio.Registration) {
	for _, n := range list {
		all = append(all, sio.Registration{
			Namespace: namespaceFromWire(n.GetNamespace()), Pattern: n.GetPattern(), Events: n.GetEvents(), CatchAll: n.GetCatchAll(),
			Connect: n.GetConnect(), ConnectOrder: int(n.GetConnectOrder()), Disconnect: n.GetDisconnect(), RoomEvents: n.GetRoomEvents(),
			Messages: n.GetMessages(), Advisory: n.GetConnectAdvisory(), Concurrent: n.GetConcurrentEvents(),
		})
	}
	return all
}

func dispatchesFromWire(m *backplanev1.DispatchBatch) (*DispatchBatch, error) {
	b := &DispatchBatch{
		Instance: sio.InstanceID(m.GetInstanceId()), Generation: m.GetGeneration(), Loan: m.GetLoan(), Sequence: m.GetSequence(),
		Dispatches: make([]Dispatch, len(m.GetDispatches())), Released: fromStrings[sio.SocketID](m.GetReleased()),
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
		ID: sio.DispatchID(m.GetId()), Socket: sio.SocketID(m.GetSocketId()), Namespace: namespaceFromWire(m.GetNamespace()),
		WantsAck: m.GetWantsAck(), Redeliveries: int(m.GetRedeliveries()),
	}
	switch k := m.GetKind().(type) {
	case *spanwirev1.Dispatch_Event:
		event := eventFromWire(k.Event)
		d.Kind, d.Event = KindEvent, &event
	case *spanwirev1.Dispatch_Connect:
		d.Kind, d.Recovered = KindConnect, k.Connect.GetRecovered()
	case *spanwirev1.Dispatch_Disconnected:
		d.Kind, d.Reason = KindDisconnected, sio.Reason(k.Disconnected.GetReason())
		d.Rooms = fromStrings[sio.Room](k.Disconnected.GetRooms())
	case *spanwirev1.Dispatch_RoomEvent:
		change := k.RoomEvent.GetChange()
		if change <= spanwirev1.RoomChange_ROOM_CHANGE_UNSPECIFIED || change > spanwirev1.RoomChange_ROOM_CHANGE_LEFT {
			return errGarbage
		}
		d.Kind, d.RoomEvent = KindRoomEvent, sio.RoomEvent{Change: sio.RoomChange(change), Room: sio.Room(k.RoomEvent.GetRoom())}
	default:
		return errUnknown
	}
	if i := m.GetIntroduction(); i != nil {
		d.Introduction = &Introduction{
			Handshake: handshakeFromWire(i.GetHandshake()), Auth: i.GetHandshake().GetAuth(),
			Data: sio.Data{Value: i.GetData(), Version: i.GetDataVersion()},
		}
	}
	return nil
}

func handshakeFromWire(m *spanwirev1.Handshake) *sio.Handshake {
	h := &sio.Handshake{
		Method: m.GetMethod(), URL: m.GetUrl(), Host: m.GetHost(), Address: m.GetAddress(), Secure: m.GetSecure(),
		CrossDomain: m.GetCrossDomain(), IssuedMs: m.GetIssuedMs(), Transport: m.GetTransport(),
		EngineProtocol: int(m.GetEngineProtocol()),
	}
	for _, header := range m.GetHeaders() {
		h.Headers = append(h.Headers, sio.Header{Name: header.GetName(), Value: header.GetValue()})
	}
	return h
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

func resultFromWire(m *backplanev1.Result) Result {
	r := Result{ID: sio.DispatchID(m.GetResult().GetDispatchId())}
	switch o := m.GetResult().GetOutcome().(type) {
	case *spanwirev1.Result_Ack:
		r.Result = sio.Result{Outcome: sio.Answered, Ack: ackFromWire(o.Ack)}
	case *spanwirev1.Result_Refusal:
		r.Result = sio.Result{Outcome: sio.Refused, Message: o.Refusal.GetMessage(), Data: o.Refusal.GetData()}
	case *spanwirev1.Result_Failure:
		r.Result = sio.Result{Outcome: sio.Failed, Message: o.Failure.GetMessage()}
	}
	if m.GetAbandoned() {
		r.Result.Outcome = sio.Abandoned
	}
	return r
}

func fromStrings[S ~string](s []string) []S {
	if len(s) == 0 {
		return nil
	}
	list := make([]S, len(s))
	for i := range s {
		list[i] = S(s[i])
	}
	return list
}
