// SPDX-License-Identifier: Apache-2.0

package apijson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Answers as JSON: what the HTTP API responds and what `broker sockets`, `rooms` and `tail` print.
// Types here only have fields; the functions below fill them from messages of the contract.

// Ack is what one socket answered.
type Ack struct {
	SocketID string          `json:"socket_id"`
	Args     json.RawMessage `json:"args"`
}

// InstanceAck is what one instance answered.
type InstanceAck struct {
	Service    string          `json:"service"`
	InstanceID string          `json:"instance_id"`
	Args       json.RawMessage `json:"args"`
}

// Socket is what is known of one socket.
type Socket struct {
	SocketID    string          `json:"socket_id"`
	Rooms       []string        `json:"rooms"`
	Data        json.RawMessage `json:"data"`
	DataVersion uint64          `json:"data_version"`
	Replica     string          `json:"replica"`
	Transport   string          `json:"transport,omitempty"`
	Handshake   *Handshake      `json:"handshake,omitempty"`
}

// Room is one room.
type Room struct {
	Name    string `json:"name"`
	Sockets uint32 `json:"sockets"`
}

// Event is an event or a message.
type Event struct {
	Name string          `json:"name,omitempty"`
	Args json.RawMessage `json:"args,omitempty"`
	// instead of the arguments, when they were cut off
	Text string `json:"args_cut,omitempty"`
}

// TraceEvent is one thing that happened.
type TraceEvent struct {
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace,omitempty"`
	SocketID   string    `json:"socket_id,omitempty"`
	Rooms      []string  `json:"rooms,omitempty"`
	Service    string    `json:"service,omitempty"`
	InstanceID string    `json:"instance_id,omitempty"`
	Event      *Event    `json:"event,omitempty"`
	DispatchID uint64    `json:"dispatch_id,omitempty,string"`
	Detail     string    `json:"detail,omitempty"`
	Missed     uint64    `json:"missed,omitempty"`
	Replica    string    `json:"replica,omitempty"`
}

// Acks translates the acks of sockets.
func Acks(list []*spanwirev1.SocketAck) []Ack {
	all := make([]Ack, len(list))
	for i, a := range list {
		all[i] = Ack{a.GetSocketId(), Pack(a.GetAck().GetArgs(), a.GetAck().GetAttachments())}
	}
	return all
}

// InstanceAcks translates the acks of instances.
func InstanceAcks(list []*spanwirev1.InstanceAck) []InstanceAck {
	all := make([]InstanceAck, len(list))
	for i, a := range list {
		all[i] = InstanceAck{a.GetService(), a.GetInstanceId(), Pack(a.GetAck().GetArgs(), a.GetAck().GetAttachments())}
	}
	return all
}

// Sockets translates what was found.
func Sockets(list []*spanwirev1.SocketInfo) []Socket {
	all := make([]Socket, len(list))
	for i, s := range list {
		all[i] = Socket{
			SocketID: s.GetSocketId(), Rooms: NotNil(s.GetRooms()), Data: Value(s.GetData()), DataVersion: s.GetDataVersion(), Replica: s.GetReplica(),
			Transport: s.GetTransport(),
		}
		if h := s.GetHandshake(); h != nil {
			all[i].Handshake = handshakeToJSON(h)
		}
	}
	return all
}

// Handshake is what the browser sent when it opened its session, without what authenticates it.
type Handshake struct {
	URL            string   `json:"url"`
	Method         string   `json:"method"`
	Host           string   `json:"host"`
	Headers        []Header `json:"headers"`
	Address        string   `json:"address"`
	Secure         bool     `json:"secure"`
	CrossDomain    bool     `json:"cross_domain"`
	IssuedMs       int64    `json:"issued_ms"`
	Transport      string   `json:"transport"`
	EngineProtocol uint32   `json:"engine_protocol"`
}

// Header is one line of its header.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func handshakeToJSON(h *spanwirev1.Handshake) *Handshake {
	x := &Handshake{
		URL: h.GetUrl(), Method: h.GetMethod(), Host: h.GetHost(), Headers: make([]Header, len(h.GetHeaders())), Address: h.GetAddress(),
		Secure: h.GetSecure(), CrossDomain: h.GetCrossDomain(), IssuedMs: h.GetIssuedMs(), Transport: h.GetTransport(),
		EngineProtocol: h.GetEngineProtocol(),
	}
	for i, line := range h.GetHeaders() {
		x.Headers[i] = Header{line.GetName(), line.GetValue()}
	}
	return x
}

// Rooms translates what was found.
func Rooms(list []*spanwirev1.RoomInfo) []Room {
	all := make([]Room, len(list))
	for i, r := range list {
		all[i] = Room{r.GetName(), r.GetSockets()}
	}
	return all
}

// TraceEventFromProto translates what happened at the replica.
func TraceEventFromProto(o *spanwirev1.Occurrence, replica string) TraceEvent {
	x := TraceEvent{
		Time: time.UnixMicro(o.GetTimeUs()).UTC(), Kind: Kind(o.GetKind()), Namespace: o.GetNamespace(), SocketID: o.GetSocketId(),
		Rooms: o.GetRooms(), Service: o.GetService(), InstanceID: o.GetInstanceId(), DispatchID: o.GetDispatchId(), Detail: o.GetDetail(),
		Missed: o.GetMissed(), Replica: replica,
	}
	if e := o.GetEvent(); e != nil {
		x.Event = &Event{Name: e.GetName()}
		if args := e.GetArgs(); len(args) == 0 || json.Valid(args) {
			x.Event.Args = Pack(args, e.GetAttachments())
		} else {
			x.Event.Text = strings.ToValidUTF8(string(args), "\uFFFD")
		}
	}
	return x
}

// Kind names a kind of traceEvent: "connected".
func Kind(k spanwirev1.OccurrenceKind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "OCCURRENCE_KIND_"))
}

// Partial says in one sentence what is known when a command may not have reached every replica, and
// what that means for asking again. It is empty when all is known.
func Partial(a interface {
	GetSockets() uint32
	GetSilentReplicas() []string
	GetFault() *spanwirev1.Fault
},
) string {
	unavailable := a.GetFault().GetCode() == spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE
	silent := strings.Join(a.GetSilentReplicas(), ", ")
	switch {
	case silent == "" && !unavailable:
		return ""
	case silent == "":
		silent = "others, none of which is known"
	}
	return fmt.Sprintf("carried out for the %d sockets counted here; not known to be carried out at replicas that are silent: %s. "+
		"Asking again reaches the former twice, unless it is done with the idempotency key of this call", a.GetSockets(), silent)
}

// Value is a JSON value that may be absent.
func Value(data []byte) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("null")
	}
	return data
}

// NotNil gives a list that is written as [] when it is empty.
func NotNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// Message writes a message of the contract that holds no payloads, with the contract's names.
func Message(m proto.Message) json.RawMessage {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return json.RawMessage("null")
	}
	var b bytes.Buffer
	if json.Compact(&b, data) != nil { // protojson varies its spaces on purpose
		return data
	}
	return b.Bytes()
}
