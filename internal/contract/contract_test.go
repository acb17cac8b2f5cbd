// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stays lists fields that do not travel, each with the reason.
var stays = map[string]string{
	"Emit.Origin":              "only the replica of the sender knows it",
	"Emit.Tally":               "it counts on one replica",
	"Registration.Compiled":    "it is compiled from the name",
	"FetchSockets.Credentials": "the caller's rights decide it",
	"ListRooms.Limit":          "the limit of the replica that answers",
}

// Every field of a type survives the translation to a message and back: a field that is added to a
// type of sio and forgotten here fails.
func TestRoundTrip(t *testing.T) {
	for name, translate := range map[string]func(r *random) (in, out any){
		"event":  func(r *random) (in, out any) { x := fill[sio.Event](r); return x, EventFromProto(EventToProto(&x)) },
		"ack":    func(r *random) (in, out any) { x := fill[sio.Ack](r); return x, AckFromProto(AckToProto(&x)) },
		"target": func(r *random) (in, out any) { x := fill[sio.Target](r); return x, TargetFromProto(TargetToProto(&x)) },
		"emit":   func(r *random) (in, out any) { x := fill[sio.Emit](r); return x, *EmitFromProto(EmitToProto(&x)) },
		"join":   func(r *random) (in, out any) { x := fill[sio.Join](r); return x, *JoinFromProto(JoinToProto(&x)) },
		"leave":  func(r *random) (in, out any) { x := fill[sio.Leave](r); return x, *LeaveFromProto(LeaveToProto(&x)) },
		"disconnect": func(r *random) (in, out any) {
			x := fill[sio.Disconnect](r)
			return x, *DisconnectFromProto(DisconnectToProto(&x))
		},
		"register": func(r *random) (in, out any) {
			x := fill[sio.Register](r)
			return x, *RegisterFromProto(RegisterToProto(&x))
		},
		"socket": func(r *random) (in, out any) {
			x := fill[sio.SocketInfo](r)
			return x, SocketFromProto(SocketToProto(&x, WithCredentials))
		},
		"rooms": func(r *random) (in, out any) { x := fill[[]sio.RoomInfo](r); return x, RoomsFromProto(RoomsToProto(x)) },
		"socket acks": func(r *random) (in, out any) {
			x := fill[[]sio.SocketAck](r)
			return x, SocketAcksFromProto(SocketAcksToProto(x))
		},
		"instance acks": func(r *random) (in, out any) {
			x := fill[[]sio.InstanceAck](r)
			return x, InstanceAcksFromProto(InstanceAcksToProto(x))
		},
		"fetch sockets": func(r *random) (in, out any) {
			x := fill[sio.FetchSockets](r)
			return x, *FetchSocketsFromProto(FetchSocketsToProto(&x))
		},
		"list rooms": func(r *random) (in, out any) {
			x := fill[sio.ListRooms](r)
			return x, *ListRoomsFromProto(ListRoomsToProto(&x))
		},
		"set data": func(r *random) (in, out any) {
			x := fill[sio.SetData](r)
			return x, *SetDataFromProto(SetDataToProto(&x))
		},
		"handshake": func(r *random) (in, out any) {
			x := fill[sio.Handshake](r)
			return x, *HandshakeFromProto(HandshakeToProto(&x, nil, WithCredentials))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				in, out := translate(&random{rand.New(rand.NewPCG(seed, 0))})
				if !reflect.DeepEqual(in, out) {
					t.Fatalf("seed %d:\n%+v became\n%+v", seed, in, out)
				}
			}
		})
	}
}

// Results keep their outcome; a failure and an abandoned dispatch are the same to a handler.
func TestResult(t *testing.T) {
	for _, r := range []sio.Result{
		{Outcome: sio.Handled}, {Outcome: sio.Answered, Ack: sio.Ack{Args: []byte("[1]")}},
		{Outcome: sio.Refused, Message: "no", Data: []byte("1")}, {Outcome: sio.Failed, Message: "broke"},
	} {
		if id, got := ResultFromProto(ResultToProto(7, &r)); id != 7 || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v became %d, %+v", r, id, got)
		}
	}
	if _, got := ResultFromProto(ResultToProto(7, &sio.Result{Outcome: sio.Abandoned})); got.Outcome != sio.Failed {
		t.Errorf("abandoned became %+v", got)
	}
}

// Without credentials a handshake has no header that authenticates the browser, and text of a
// browser that is not UTF-8 is replaced.
func TestHandshakeToProto(t *testing.T) {
	h := &sio.Handshake{URL: "/\xff", Headers: []sio.Header{{Name: "Cookie", Value: "secret"}, {Name: "X", Value: "\xff"}}}
	m := HandshakeToProto(h, []byte("{}"), WithoutCredentials)
	if len(m.GetHeaders()) != 1 || m.GetHeaders()[0].GetValue() != "\uFFFD" || m.GetUrl() != "/\uFFFD" || string(m.GetAuth()) != "{}" {
		t.Errorf("got %v", m)
	}
	if m := HandshakeToProto(nil, nil, WithCredentials); m == nil {
		t.Error("no handshake")
	}
}

// Times and names have their borders.
func TestScalars(t *testing.T) {
	if MillisecondsToProto(1000*24*time.Hour) != 1<<31 || MillisecondsFromProto(5) != 5*time.Millisecond {
		t.Error("milliseconds")
	}
	if NamespaceFromProto("") != sio.MainNamespace || NamespaceFromProto("/a") != "/a" {
		t.Error("namespaces")
	}
	if ToStrings[sio.Room](nil) != nil || FromStrings[sio.Room](nil) != nil {
		t.Error("empty lists are not nil")
	}
	if _, ok := RoomEventFromProto(RoomEventToProto(sio.RoomEvent{Change: 99})); ok {
		t.Error("an unknown change of a room is accepted")
	}
}

// random fills values, so that no field is zero.
type random struct{ *rand.Rand }

func fill[T any](r *random) (x T) {
	v := reflect.ValueOf(&x).Elem()
	r.value(v, v.Type().Name())
	return x
}

func (r *random) value(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if path := v.Type().Name() + "." + v.Type().Field(i).Name; stays[path] == "" && v.Field(i).CanSet() {
				r.value(v.Field(i), path)
			}
		}
	case reflect.Slice:
		n := 1 + r.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.value(v.Index(i), name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(v.Elem(), name)
	case reflect.String:
		v.SetString(fmt.Sprintf("/%s%d", name, r.IntN(1000)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(1000))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + r.Uint64N(100))
	default:
		panic("no random value for " + name + ", a " + v.Kind().String())
	}
}

// Trace events, changes of rooms, introductions and delivery modes carry every fact.
func TestToProto_facts(t *testing.T) {
	at := time.UnixMicro(12345)
	e := &sio.TraceEvent{
		Kind: 2, Namespace: "/n", Socket: "s", Rooms: []sio.Room{"r"}, Service: "v", Instance: "i", Dispatch: 7, Detail: "d",
		Event: sio.Event{Name: "e", Args: []byte("[1]")},
	}
	m := TraceEventToProto(e, at)
	if m.GetTimeUs() != 12345 || int(m.GetKind()) != 2 || m.GetNamespace() != "/n" || m.GetSocketId() != "s" || m.GetRooms()[0] != "r" ||
		m.GetService() != "v" || m.GetInstanceId() != "i" || m.GetDispatchId() != 7 || m.GetDetail() != "d" || m.GetEvent().GetName() != "e" {
		t.Errorf("trace event: %v", m)
	}
	change := sio.RoomEvent{Change: sio.RoomCreated, Room: "r"}
	if got, ok := RoomEventFromProto(RoomEventToProto(change)); !ok || got != change {
		t.Errorf("room event: %+v", got)
	}
	i := IntroductionToProto(&sio.Handshake{URL: "/u"}, []byte("{}"), sio.Data{Value: []byte("1"), Version: 9}, WithCredentials)
	if i.GetHandshake().GetUrl() != "/u" || string(i.GetData()) != "1" || i.GetDataVersion() != 9 {
		t.Errorf("introduction: %v", i)
	}
	for _, atMostOnce := range []bool{false, true} {
		if mode := RegisterToProto(&sio.Register{AtMostOnce: atMostOnce}).GetDeliveryMode(); mode == spanwirev1.DeliveryMode_DELIVERY_MODE_UNSPECIFIED {
			t.Errorf("at most once %v: %v", atMostOnce, mode)
		}
	}
}
