// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBackplane notes what is published.
type fakeBackplane struct {
	losses atomic.Uint64

	mu   sync.Mutex
	err  error
	sent []sentData
}

type sentData struct {
	to   sio.ReplicaID
	data []byte
}

func (b *fakeBackplane) Publish(to sio.ReplicaID, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.sent = append(b.sent, sentData{to, data})
	return nil
}

func (b *fakeBackplane) Subscribe(sio.ReplicaID, func([]byte)) (func(), error) { return func() {}, nil }
func (b *fakeBackplane) Healthy() error                                        { return nil }
func (b *fakeBackplane) Losses() uint64                                        { return b.losses.Load() }
func (b *fakeBackplane) Changes() <-chan struct{}                              { return nil }
func (b *fakeBackplane) Close()                                                {}

// take gives the envelopes published since the last time.
func (b *fakeBackplane) take(t *testing.T) []*Envelope {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*Envelope
	for _, s := range b.sent {
		e, err := Decode(s.data)
		if err != nil {
			t.Fatal(err)
		}
		if e.To != s.to {
			t.Errorf("an envelope to %q went to %q", e.To, s.to)
		}
		all = append(all, e)
	}
	b.sent = nil
	return all
}

func newPublisher() (*Publisher, *fakeBackplane) {
	b := &fakeBackplane{}
	return NewPublisher(b, "AAAAAA", nil, 1<<20, metrics.NewBackplane(nil)), b
}

func newInbox() *Inbox {
	return NewInbox("BBBBBB", nil, metrics.NewBackplane(nil), slog.New(slog.DiscardHandler))
}

var (
	target = sio.Target{Namespace: "/n", Rooms: []sio.Room{"a.*>", "é \x00"}, Except: []sio.Room{"b"}, Local: true, Pattern: true}
	event  = sio.Event{Name: "e", Args: []byte(`[1,{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1, 2}, {}}}
	emit   = &sio.Emit{Target: target, Event: event, EmitFlags: sio.EmitFlags{Volatile: true, NoCompress: true}}
	ack    = sio.Ack{Args: []byte(`["x"]`), Attachments: [][]byte{{0, 255}}}
	intro  = &Introduction{Auth: []byte(`{"t":1}`), Data: sio.Data{Value: []byte("1"), Version: 2}, Handshake: &sio.Handshake{
		Method: "GET", URL: "/socket.io/?EIO=4", Host: "h", Headers: []sio.Header{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}},
		Address: "::1", Secure: true, CrossDomain: true, IssuedMs: math.MaxInt64, Transport: "polling", EngineProtocol: 4,
	}}
	register = &sio.Register{
		Service: "s", Instance: "i", SDKName: "n", SDKVersion: "v", Window: 8, AtMostOnce: true, Credentials: true,
		Namespaces: []sio.Registration{
			{Namespace: "/", Events: []string{"a", "b"}, CatchAll: true, Connect: true, Disconnect: true, Concurrent: []string{"b", "*"}}, {Namespace: "/x"},
			{Namespace: "/.*", Pattern: true, Connect: true, ConnectOrder: 7, RoomEvents: true, Messages: []string{"m", "*"}},
		},
	}
)

func bodies() map[string]Body {
	return map[string]Body{
		"emit":           &Command{Command: emit},
		"emit all":       &Command{Command: &sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "e"}}},
		"join":           &Command{Command: &sio.Join{Target: target, Rooms: []sio.Room{"r", "q"}}},
		"leave":          &Command{Command: &sio.Leave{Target: target, Rooms: []sio.Room{"r"}}},
		"disconnect":     &Command{Command: &sio.Disconnect{Target: target, CloseSession: true}},
		"gather request": &GatherRequest{ID: math.MaxUint64, Emit: emit, Timeout: 1500 * time.Millisecond},
		"find call":      &QueryRequest{ID: 3, Query: &sio.FindCall{Key: sio.CallKey{Caller: "c", Key: "k"}}, Timeout: time.Second},
		"counted":        &QueryRequest{ID: 3, Query: &sio.Counted{Command: &sio.Join{Target: target, Rooms: []sio.Room{"r"}}}, Timeout: time.Second},
		"reached":        &QueryAnswer{ID: 3, Found: sio.Found{Reached: 7}, Last: true},
		"calls": &QueryAnswer{ID: 3, Found: sio.Found{Calls: []sio.Call{
			{Replica: "BBBBBB", State: sio.CallDone, Request: sio.CallDigest{1, 31: 2}, Answer: []byte("a")},
		}}, Last: true},
		"count request": &GatherRequest{ID: 1, Emit: &sio.Emit{Target: emit.Target, Event: emit.Event, CountOnly: true}, Timeout: time.Second},
		"gather answer": &GatherAnswer{ID: 7, Sockets: 3, Dropped: 1, Acks: []sio.SocketAck{{Socket: "x", Ack: ack}, {Socket: "y"}}, Last: true},
		"heartbeat": &Heartbeat{
			Cluster: "c", GRPCAddress: "g:1", HTTPAddress: "h:2", StartedMs: 12345, Instances: []Instance{{Register: register, Generation: 9, Draining: true}},
			Sent: []Sent{{Replica: "BBBBBB", Epoch: 5, Sequence: 6}}, Hello: true, ForwardAddress: "f:3",
		},
		"bye": &Bye{},
		"dispatches": &DispatchBatch{Instance: "i", Generation: 3, Lease: 9, Sequence: 4, Released: []sio.SocketID{"s8", "s9"}, Dispatches: []Dispatch{
			{ID: math.MaxUint64, Socket: "s", Namespace: "/n", Kind: KindEvent, Event: &event, WantsAck: true, Redeliveries: 2},
			{ID: 1, Socket: "s", Namespace: "/", Kind: KindConnect, Introduction: intro, Recovered: true},
			{ID: 2, Socket: "s", Namespace: "/", Kind: KindDisconnected, Reason: sio.ReasonPingTimeout, Rooms: []sio.Room{"s", "r"}},
			{ID: 3, Socket: "s", Namespace: "/", Kind: KindRoomEvent, RoomEvent: sio.RoomEvent{Change: sio.RoomLeft, Room: "r"}},
		}},
		"results": &ResultBatch{Instance: "i", Generation: 3, Results: []Result{
			{ID: 1, Result: sio.Result{Outcome: sio.Handled}},
			{ID: 2, Result: sio.Result{Outcome: sio.Answered, Ack: ack}},
			{ID: 3, Result: sio.Result{Outcome: sio.Refused, Message: "no", Data: []byte(`{"a":1}`)}},
			{ID: 4, Result: sio.Result{Outcome: sio.Failed, Message: "boom"}},
			{ID: 5, Result: sio.Result{Outcome: sio.Abandoned, Message: "late"}},
		}},
		"lost":  &Lost{},
		"fetch": &QueryRequest{ID: math.MaxUint64, Timeout: time.Second, Query: &sio.FetchSockets{Target: target, Limit: 9, Credentials: true}},
		"rooms": &QueryRequest{ID: 1, Query: &sio.ListRooms{Namespace: "/n", IncludeOwn: true, Local: true, Limit: 9}},
		"data":  &QueryRequest{ID: 1, Query: &sio.SetData{Namespace: "/n", Socket: "s", Data: []byte("1"), IfVersion: math.MaxUint64}},
		"message": &QueryRequest{ID: 1, Message: &sio.Message{
			ID: math.MaxUint64, Namespace: "/n", Services: []sio.ServiceName{"s"}, Event: event, WantAcks: true,
			Sender: sio.Addressee{Service: "s", Instance: "i"}, Served: []sio.InstanceID{"i", "j"},
		}},
		"found": &QueryAnswer{ID: 7, Last: true, Refused: true, Found: sio.Found{
			Sockets: []sio.SocketInfo{{
				ID: "s", Rooms: []sio.Room{"s", "é"}, Handshake: intro.Handshake, Auth: []byte("{}"), Data: intro.Data, Replica: "r",
			}},
			Rooms: []sio.RoomInfo{{Name: "r", Sockets: 3}}, Set: &sio.Data{Value: []byte("1"), Version: 2}, Conflict: true, Truncated: true,
		}},
		"asked": &QueryAnswer{ID: 7, Asked: []sio.Addressee{{Service: "s", Instance: "i"}}, Acks: []sio.InstanceAck{
			{Addressee: sio.Addressee{Service: "s", Instance: "i"}, Ack: ack},
		}},
	}
}

// What is written is read back the same.
func TestDecode_OK(t *testing.T) {
	for name, body := range bodies() {
		for _, to := range []sio.ReplicaID{"", "BBBBBB"} {
			want := &Envelope{Origin: "AAAAAA", To: to, Epoch: math.MaxUint64, Sequence: 1 << 40, Body: body}
			data, err := Encode(want)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := Decode(data)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\ngot  %+v\nwant %+v", name, got.Body, want.Body)
			}
		}
	}
}

// Whatever comes that makes no sense is refused with its kind of reason.
func TestDecode_Err(t *testing.T) {
	valid, err := Encode(&Envelope{Origin: "AAAAAA", Sequence: 1, Body: &Bye{}})
	if err != nil {
		t.Fatal(err)
	}
	encode := func(e *Envelope) []byte {
		data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	noWindow := *register
	noWindow.Window = 0
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":        {nil, errVersion},
		"text":           {[]byte("hello"), errGarbage},
		"cut":            {valid[:len(valid)-1], errGarbage},
		"other version":  {append([]byte{}, append(valid, 8, 2)...), errVersion},
		"no origin":      {encode(&Envelope{Sequence: 1, Body: &Bye{}}), errGarbage},
		"long origin":    {encode(&Envelope{Origin: sio.ReplicaID(strings.Repeat("x", 1000)), Sequence: 1, Body: &Bye{}}), errGarbage},
		"no sequence":    {encode(&Envelope{Origin: "A", Body: &Bye{}}), errGarbage},
		"no body":        {encode(&Envelope{Origin: "A", Sequence: 1}), errUnknown},
		"no command":     {encode(&Envelope{Origin: "A", Sequence: 1, Body: &Command{}}), errUnknown},
		"reserved event": {encode(&Envelope{Origin: "A", Sequence: 1, Body: &Command{Command: &sio.Emit{Event: sio.Event{Name: "connect"}}}}), errGarbage},
		"no window":      {encode(&Envelope{Origin: "A", Sequence: 1, Body: &Heartbeat{Instances: []Instance{{Register: &noWindow}}}}), errGarbage},
		"no query":       {encode(&Envelope{Origin: "A", Sequence: 1, Body: &QueryRequest{}}), errUnknown},
		"no message":     {encode(&Envelope{Origin: "A", Sequence: 1, Body: &QueryRequest{Message: &sio.Message{}}}), errGarbage},
		"no dispatch":    {encode(&Envelope{Origin: "A", Sequence: 1, Body: &DispatchBatch{Dispatches: make([]Dispatch, 1)}}), errUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := Decode(test.data); !errors.Is(err, test.want) || e != nil {
				t.Errorf("got %+v, %v; want %v", e, err, test.want)
			}
		})
	}
}

// A handshake that is not UTF-8 is repaired rather than rejected: browsers may send such headers.
func TestEncode_NotUTF8(t *testing.T) {
	d := Dispatch{Kind: KindConnect, Introduction: &Introduction{Handshake: &sio.Handshake{
		URL: "/\xff", Headers: []sio.Header{{Name: "A", Value: "b\xc3("}},
	}}}
	data, err := Encode(&Envelope{Origin: "A", Sequence: 1, Body: &DispatchBatch{Dispatches: []Dispatch{d}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	h := e.Body.(*DispatchBatch).Dispatches[0].Introduction.Handshake
	if h.URL != "/\uFFFD" || h.Headers[0].Value != "b\uFFFD(" {
		t.Errorf("got %+v", h)
	}
	if _, err := Encode(&Envelope{Origin: "A", Body: &Command{Command: &sio.Join{Rooms: []sio.Room{"\xff"}}}}); sio.CodeOf(err) != sio.CodeInvalid {
		t.Errorf("a room that is not UTF-8: %v", err)
	}
}

// No bytes make the decoder panic, and what it takes it writes back to the same.
func FuzzDecode(f *testing.F) {
	for _, body := range bodies() {
		data, err := Encode(&Envelope{Origin: "AAAAAA", To: "BBBBBB", Epoch: 1, Sequence: 1, Body: body})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(e)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		e2, err := Decode(again)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		third, err := Encode(e2)
		if err != nil || string(third) != string(again) {
			t.Fatalf("written differently:\n%x\n%x", again, third)
		}
		in := newInbox()
		in.Open(data)
	})
}

// BenchmarkEnvelope measures what an emit costs on its way to and from the backplane, with and
// without authentication.
func BenchmarkEnvelope(b *testing.B) {
	for name, secret := range map[string]*Secret{"plain": nil, "secret": NewSecret("a secret of the cluster", "c")} {
		for _, size := range []int{100, 10_000} {
			e := &sio.Emit{Target: sio.Target{Namespace: "/", Rooms: []sio.Room{"room"}}, Event: sio.Event{Name: "message", Args: make([]byte, size)}}
			b.Run(fmt.Sprintf("publish/%s/%d", name, size), func(b *testing.B) {
				p := NewPublisher(&dropBackplane{}, "AAAAAA", secret, 1<<20, metrics.NewBackplane(nil))
				b.ReportAllocs()
				for b.Loop() {
					p.Publish(e) //nolint:errcheck // it cannot fail
				}
			})
			b.Run(fmt.Sprintf("open/%s/%d", name, size), func(b *testing.B) {
				in := NewInbox("BBBBBB", secret, metrics.NewBackplane(nil), slog.New(slog.DiscardHandler))
				in.Ask(1)
				fake := &fakeBackplane{}
				p := NewPublisher(fake, "AAAAAA", secret, 1<<20, metrics.NewBackplane(nil))
				if err := errors.Join(p.Send("", &Heartbeat{Answers: 1}), p.Publish(e)); err != nil {
					b.Fatal(err)
				}
				in.Open(fake.sent[0].data)
				b.ReportAllocs()
				for b.Loop() {
					in.Open(fake.sent[1].data)
				}
			})
		}
	}
}

type dropBackplane struct{ fakeBackplane }

func (*dropBackplane) Publish(sio.ReplicaID, []byte) error { return nil }
