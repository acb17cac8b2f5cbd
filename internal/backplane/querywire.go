// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

func queryToWire(r *QueryRequest) *backplanev1.QueryRequest {
	m := &backplanev1.QueryRequest{Id: r.ID, TimeoutMs: toMilliseconds(r.Timeout)}
	switch q := r.Query.(type) {
	case *sio.FetchSockets:
		m.Credentials = q.Credentials
		m.Query = &backplanev1.QueryRequest_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{
			Target: targetToWire(&q.Target), Limit: uint32(q.Limit),
		}}
	case *sio.ListRooms:
		m.Limit = uint32(q.Limit)
		m.Query = &backplanev1.QueryRequest_ListRooms{ListRooms: &spanwirev1.ListRooms{
			Namespace: string(q.Namespace), IncludeOwn: q.IncludeOwn, Local: q.Local,
		}}
	case *sio.SetData:
		m.Query = &backplanev1.QueryRequest_SetData{SetData: &spanwirev1.SetData{
			Namespace: string(q.Namespace), SocketId: string(q.Socket), Data: q.Data, IfVersion: q.IfVersion,
		}}
	case *sio.FindCall:
		m.Query = &backplanev1.QueryRequest_FindCall{FindCall: &backplanev1.FindCall{Caller: utf8(q.Key.Caller), Key: utf8(q.Key.Key)}}
	case *sio.Counted:
		m.Query = &backplanev1.QueryRequest_Command{Command: commandToWire(q.Command)}
	case *sio.RetireService:
		m.Query = &backplanev1.QueryRequest_RetireService{RetireService: &backplanev1.RetireService{
			Service: string(q.Service), InstanceId: string(q.Instance),
		}}
	case *sio.ListAbsent:
		m.Query = &backplanev1.QueryRequest_ListAbsent{ListAbsent: &backplanev1.ListAbsent{}}
	case nil:
		if r.Message != nil {
			m.Query = &backplanev1.QueryRequest_Message{Message: messageToWire(r.Message)}
		}
	}
	return m
}

func messageToWire(x *sio.Message) *backplanev1.Message {
	m := &backplanev1.Message{
		DispatchId: uint64(x.ID), Namespace: string(x.Namespace), Event: eventToWire(&x.Event), WantAcks: x.WantAcks,
		Sender: addresseeToWire(x.Sender),
	}
	for _, s := range x.Services {
		m.Services = append(m.Services, string(s))
	}
	for _, i := range x.Served {
		m.Served = append(m.Served, string(i))
	}
	return m
}

func addresseeToWire(a sio.Addressee) *backplanev1.Addressee {
	return &backplanev1.Addressee{Service: string(a.Service), InstanceId: string(a.Instance)}
}

func callToWire(c *sio.Call) *backplanev1.Call {
	return &backplanev1.Call{
		// the numbers are the contract's
		Request: c.Request[:], State: backplanev1.CallState(c.State), Replica: string(c.Replica), Answer: c.Answer,
	}
}

// callFromWire gives a call with an empty digest, which no request has, when that of the message is
// none.
func callFromWire(m *backplanev1.Call) sio.Call {
	c := sio.Call{Replica: sio.ReplicaID(m.GetReplica()), State: sio.CallState(m.GetState()), Answer: m.GetAnswer()}
	if len(m.GetRequest()) == len(c.Request) {
		copy(c.Request[:], m.GetRequest())
	}
	return c
}

func queryAnswerToWire(a *QueryAnswer) *backplanev1.QueryAnswer {
	m := &backplanev1.QueryAnswer{
		Id: a.ID, Truncated: a.Found.Truncated, Conflict: a.Found.Conflict, Last: a.Last, Refused: a.Refused,
		Sockets: uint32(a.Found.Reached),
	}
	for i := range a.Found.Sockets {
		m.Found = append(m.Found, socketToWire(&a.Found.Sockets[i]))
	}
	if len(a.Found.Calls) > 0 { // a replica knows one call of a key
		m.Call = callToWire(&a.Found.Calls[0])
	}
	for _, r := range a.Found.Rooms {
		m.Rooms = append(m.Rooms, &spanwirev1.RoomInfo{Name: string(r.Name), Sockets: uint32(r.Sockets)})
	}
	if set := a.Found.Set; set != nil {
		m.Set = &backplanev1.Data{Value: set.Value, Version: set.Version}
	}
	for _, x := range a.Asked {
		m.Asked = append(m.Asked, addresseeToWire(x))
	}
	absenceToWire(m, &a.Found)
	for i := range a.Acks {
		x := &a.Acks[i]
		m.Acks = append(m.Acks, &spanwirev1.InstanceAck{
			Service: string(x.Service), InstanceId: string(x.Instance), Ack: ackToWire(&x.Ack),
		})
	}
	return m
}

func socketToWire(s *sio.SocketInfo) *spanwirev1.SocketInfo {
	x := &spanwirev1.SocketInfo{
		SocketId: string(s.ID), Rooms: toStrings(s.Rooms), Handshake: handshakeToWire(s.Handshake, s.Auth),
		Data: s.Data.Value, DataVersion: s.Data.Version, Replica: string(s.Replica), Transport: s.Transport,
	}
	for _, w := range s.Waiting {
		x.Waiting = append(x.Waiting, &spanwirev1.SocketWait{Service: string(w.Service), Events: uint32(w.Events), Unread: w.Unread})
	}
	return x
}

func waitingFromWire(list []*spanwirev1.SocketWait) (all []sio.Wait) {
	for _, w := range list {
		all = append(all, sio.Wait{Service: sio.ServiceName(w.GetService()), Events: int(w.GetEvents()), Unread: w.GetUnread()})
	}
	return all
}

func queryFromWire(m *backplanev1.QueryRequest) (*QueryRequest, error) {
	r := &QueryRequest{ID: m.GetId(), Timeout: milliseconds(m.GetTimeoutMs())}
	switch q := m.GetQuery().(type) {
	case *backplanev1.QueryRequest_FetchSockets:
		t, err := targetFromWire(q.FetchSockets.GetTarget())
		r.Query = &sio.FetchSockets{Target: t, Limit: int(q.FetchSockets.GetLimit()), Credentials: m.GetCredentials()}
		return r, err
	case *backplanev1.QueryRequest_ListRooms:
		r.Query = &sio.ListRooms{
			Namespace: namespaceFromWire(q.ListRooms.GetNamespace()), IncludeOwn: q.ListRooms.GetIncludeOwn(), Local: q.ListRooms.GetLocal(),
			Limit: int(m.GetLimit()),
		}
		return r, nil
	case *backplanev1.QueryRequest_SetData:
		r.Query = &sio.SetData{
			Namespace: namespaceFromWire(q.SetData.GetNamespace()), Socket: sio.SocketID(q.SetData.GetSocketId()), Data: q.SetData.GetData(),
			IfVersion: q.SetData.GetIfVersion(),
		}
		return r, nil
	case *backplanev1.QueryRequest_FindCall:
		r.Query = &sio.FindCall{Key: sio.CallKey{Caller: q.FindCall.GetCaller(), Key: q.FindCall.GetKey()}}
		return r, nil
	case *backplanev1.QueryRequest_Command:
		command, err := commandFromWire(q.Command)
		if _, emit := command.(*sio.Emit); emit {
			return nil, errGarbage
		}
		r.Query = &sio.Counted{Command: command}
		return r, err
	case *backplanev1.QueryRequest_RetireService:
		r.Query = &sio.RetireService{
			Service: sio.ServiceName(q.RetireService.GetService()), Instance: sio.InstanceID(q.RetireService.GetInstanceId()),
		}
		return r, nil
	case *backplanev1.QueryRequest_ListAbsent:
		r.Query = &sio.ListAbsent{}
		return r, nil
	case *backplanev1.QueryRequest_Message:
		var err error
		r.Message, err = messageFromWire(q.Message)
		return r, err
	}
	return nil, errUnknown
}

func messageFromWire(m *backplanev1.Message) (*sio.Message, error) {
	if name := m.GetEvent().GetName(); name == "" || sio.ReservedEvent(name) {
		return nil, errGarbage
	}
	x := &sio.Message{
		ID: sio.DispatchID(m.GetDispatchId()), Namespace: namespaceFromWire(m.GetNamespace()), Event: eventFromWire(m.GetEvent()),
		WantAcks: m.GetWantAcks(), Sender: addresseeFromWire(m.GetSender()),
	}
	for _, s := range m.GetServices() {
		x.Services = append(x.Services, sio.ServiceName(s))
	}
	for _, i := range m.GetServed() {
		x.Served = append(x.Served, sio.InstanceID(i))
	}
	return x, nil
}

func addresseeFromWire(m *backplanev1.Addressee) sio.Addressee {
	return sio.Addressee{Service: sio.ServiceName(m.GetService()), Instance: sio.InstanceID(m.GetInstanceId())}
}

func queryAnswerFromWire(m *backplanev1.QueryAnswer) *QueryAnswer {
	a := &QueryAnswer{ID: m.GetId(), Last: m.GetLast(), Refused: m.GetRefused()}
	a.Found.Truncated, a.Found.Conflict, a.Found.Reached = m.GetTruncated(), m.GetConflict(), int(m.GetSockets())
	for _, s := range m.GetFound() {
		a.Found.Sockets = append(a.Found.Sockets, sio.SocketInfo{
			ID: sio.SocketID(s.GetSocketId()), Rooms: fromStrings[sio.Room](s.GetRooms()), Handshake: handshakeFromWire(s.GetHandshake()),
			Auth: s.GetHandshake().GetAuth(), Data: sio.Data{Value: s.GetData(), Version: s.GetDataVersion()},
			Replica: sio.ReplicaID(s.GetReplica()), Waiting: waitingFromWire(s.GetWaiting()), Transport: s.GetTransport(),
		})
	}
	for _, r := range m.GetRooms() {
		a.Found.Rooms = append(a.Found.Rooms, sio.RoomInfo{Name: sio.Room(r.GetName()), Sockets: int(r.GetSockets())})
	}
	if m.GetCall() != nil {
		a.Found.Calls = []sio.Call{callFromWire(m.GetCall())}
	}
	if set := m.GetSet(); set != nil {
		a.Found.Set = &sio.Data{Value: set.GetValue(), Version: set.GetVersion()}
	}
	for _, x := range m.GetAsked() {
		a.Asked = append(a.Asked, addresseeFromWire(x))
	}
	absenceFromWire(&a.Found, m)
	for _, x := range m.GetAcks() {
		a.Acks = append(a.Acks, sio.InstanceAck{
			Addressee: sio.Addressee{Service: sio.ServiceName(x.GetService()), Instance: sio.InstanceID(x.GetInstanceId())},
			Ack:       ackFromWire(x.GetAck()),
		})
	}
	return a
}
