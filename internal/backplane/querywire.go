// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

func queryToWire(r *QueryRequest) *backplanev1.QueryRequest {
	m := &backplanev1.QueryRequest{Id: r.ID, TimeoutMs: contract.MillisecondsToProto(r.Timeout)}
	switch q := r.Query.(type) {
	case *sio.FetchSockets:
		m.Credentials = q.Credentials
		m.Query = &backplanev1.QueryRequest_FetchSockets{FetchSockets: contract.FetchSocketsToProto(q)}
	case *sio.ListRooms:
		m.Limit = uint32(q.Limit)
		m.Query = &backplanev1.QueryRequest_ListRooms{ListRooms: contract.ListRoomsToProto(q)}
	case *sio.SetData:
		m.Query = &backplanev1.QueryRequest_SetData{SetData: contract.SetDataToProto(q)}
	case *sio.FindCall:
		m.Query = &backplanev1.QueryRequest_FindCall{FindCall: &backplanev1.FindCall{Caller: contract.ValidText(q.Key.Caller), Key: contract.ValidText(q.Key.Key)}}
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
		DispatchId: uint64(x.ID), Namespace: string(x.Namespace), Event: contract.EventToProto(&x.Event), WantAcks: x.WantAcks,
		Sender: addresseeToWire(x.Sender), Services: contract.ToStrings(x.Services), Served: contract.ToStrings(x.Served),
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
		m.Found = append(m.Found, contract.SocketToProto(&a.Found.Sockets[i], contract.WithCredentials))
	}
	if len(a.Found.Calls) > 0 { // a replica knows one call of a key
		m.Call = callToWire(&a.Found.Calls[0])
	}
	m.Rooms = contract.RoomsToProto(a.Found.Rooms)
	if set := a.Found.Set; set != nil {
		m.Set = &backplanev1.Data{Value: set.Value, Version: set.Version}
	}
	for _, x := range a.Asked {
		m.Asked = append(m.Asked, addresseeToWire(x))
	}
	absenceToWire(m, &a.Found)
	m.Acks = contract.InstanceAcksToProto(a.Acks)
	return m
}

func queryFromWire(m *backplanev1.QueryRequest) (*QueryRequest, error) {
	r := &QueryRequest{ID: m.GetId(), Timeout: contract.MillisecondsFromProto(m.GetTimeoutMs())}
	switch q := m.GetQuery().(type) {
	case *backplanev1.QueryRequest_FetchSockets:
		fetch := contract.FetchSocketsFromProto(q.FetchSockets)
		fetch.Credentials = m.GetCredentials()
		r.Query = fetch
		_, err := targeted(fetch, q.FetchSockets.GetTarget())
		return r, err
	case *backplanev1.QueryRequest_ListRooms:
		list := contract.ListRoomsFromProto(q.ListRooms)
		list.Limit = int(m.GetLimit())
		r.Query = list
		return r, nil
	case *backplanev1.QueryRequest_SetData:
		r.Query = contract.SetDataFromProto(q.SetData)
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
		ID: sio.DispatchID(m.GetDispatchId()), Namespace: contract.NamespaceFromProto(m.GetNamespace()), Event: contract.EventFromProto(m.GetEvent()),
		WantAcks: m.GetWantAcks(), Sender: addresseeFromWire(m.GetSender()),
		Services: contract.FromStrings[sio.ServiceName](m.GetServices()), Served: contract.FromStrings[sio.InstanceID](m.GetServed()),
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
		a.Found.Sockets = append(a.Found.Sockets, contract.SocketFromProto(s))
	}
	a.Found.Rooms = contract.RoomsFromProto(m.GetRooms())
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
	a.Acks = contract.InstanceAcksFromProto(m.GetAcks())
	return a
}
