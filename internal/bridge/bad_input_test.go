// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// An invalid registration is rejected with every error in it.
func TestServer_Attach_badRegister(t *testing.T) {
	many := make([]string, 1000)
	pattern := func(text string) func(*spanwirev1.Register) {
		return func(r *spanwirev1.Register) { r.Registrations[0].Namespace, r.Registrations[0].Pattern = text, true }
	}
	messages := func(names ...string) func(*spanwirev1.Register) {
		return func(r *spanwirev1.Register) { r.Registrations[0].Messages = names }
	}
	for _, tc := range []struct {
		name   string
		change func(*spanwirev1.Register)
		words  []string
	}{
		{"version", func(r *spanwirev1.Register) { r.ProtocolVersion = 9 }, []string{"protocol_version 9"}},
		{"names", func(r *spanwirev1.Register) { r.Service, r.InstanceId = "a b", "" }, []string{"service", "instance_id"}},
		{"long", func(r *spanwirev1.Register) { r.Service = strings.Repeat("x", 1<<20) }, []string{"service"}},
		{"nothing", func(r *spanwirev1.Register) { r.Registrations = nil }, []string{"registrations"}},
		{"mode", func(r *spanwirev1.Register) { r.DeliveryMode = 77 }, []string{"delivery_mode 77"}},
		{"twice", func(r *spanwirev1.Register) { r.Registrations = append(r.Registrations, r.Registrations[0]) }, []string{"twice"}},
		{"slash", func(r *spanwirev1.Register) { r.Registrations[0].Namespace = "chat" }, []string{"slash"}},
		{"comma", func(r *spanwirev1.Register) { r.Registrations[0].Namespace = "/a,b" }, []string{"comma"}},
		{"reserved", func(r *spanwirev1.Register) { r.Registrations[0].Events = []string{"connect"} }, []string{"kept by Socket.IO"}},
		{"no pattern", pattern("/room-[a"), []string{`pattern "/room-[a" is no pattern of namespaces (RE2): missing closing ], at byte 6: "[a"`}},
		{"look-ahead", pattern("/(?=x)"), []string{"invalid or unsupported Perl syntax, at byte 1"}},
		{"empty pattern", pattern(""), []string{`pattern ""`, "it has 0 bytes, and must have 1 to 255"}},
		{"long pattern", pattern("/" + strings.Repeat("x", 255)), []string{"it has 256 bytes"}},
		{"costly pattern", pattern("/(a{999}){1}b{999}"), []string{"at most 1000 are taken"}},
		{"pattern without slash", pattern("room-.*"), []string{`it begins with "room-" and names begin with a slash`}},
		{"pattern twice", func(r *spanwirev1.Register) {
			pattern("/.*")(r)
			r.Registrations = append(r.Registrations, r.Registrations[0])
		}, []string{`pattern "/.*" stands twice`}},
		{"many patterns", func(r *spanwirev1.Register) {
			for n := range 101 {
				r.Registrations = append(r.Registrations, &spanwirev1.Registration{Namespace: fmt.Sprint("/", n), Pattern: true})
			}
		}, []string{"there are 101 patterns; at most 100"}},
		{"reserved message", messages("disconnect"), []string{`message "disconnect" of namespace "/" is kept by Socket.IO`}},
		{"message twice", messages("a", "a"), []string{`message "a" of namespace "/" stands twice`}},
		{"message without name", messages(""), []string{`a message of namespace "/" has no name`}},
		{"many messages", messages(make([]string, 10001)...), []string{`has 10001 messages; at most 10000 are taken, "*" takes any`}},
		{"many", func(r *spanwirev1.Register) { r.Registrations[0].Events = many }, []string{"stands twice", "more"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, Options{}, dispatch.Options{})
			p, reg := h.open(), registration()
			tc.change(reg)
			p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: reg}})
			p.ends(codes.InvalidArgument, tc.words...)
			if len(h.dispatcher.Attached()) != 0 {
				t.Error("it was attached")
			}
		})
	}
}

// What a registration says about patterns, orders, rooms and messages arrives.
func TestServer_Attach_registration(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.attach(func(r *spanwirev1.Register) {
		r.Registrations = append(r.Registrations, &spanwirev1.Registration{
			Namespace: "/", Pattern: true, Connect: true, ConnectOrder: 3, RoomEvents: true, Messages: []string{"*", "m"},
			Events: []string{"e"}, ConcurrentEvents: []string{"e"},
		})
	})
	got := h.dispatcher.Attached()[0].Register.Namespaces[1]
	if got.Compiled == nil || !got.Compiled.Matches("/") {
		t.Errorf("compiled %v", got.Compiled)
	}
	got.Compiled = nil
	want := sio.Registration{Namespace: "/", Pattern: true, Connect: true, ConnectOrder: 3, RoomEvents: true, Messages: []string{"*", "m"},
		Events: []string{"e"}, Concurrent: []string{"e"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("registration %+v, want %+v", got, want)
	}
}

// Frames against the conversation end the stream with a status that says why.
func TestServer_Attach_badFrames(t *testing.T) {
	batch := func(sequence, answered uint64) *spanwirev1.AttachRequest {
		return &spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{Sequence: sequence, Answered: answered}}}
	}
	for _, tc := range []struct {
		name  string
		frame *spanwirev1.AttachRequest
		words string
	}{
		{"second register", &spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: registration()}}, "twice"},
		{"no sequence", batch(0, 0), "out of sequence"},
		{"gap", batch(2, 0), "out of sequence"},
		{"answers what was never sent", batch(1, 5), "out of sequence"},
		{"acks what was never sent", &spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_FrameAck{FrameAck: &spanwirev1.FrameAck{Answered: 1 << 60}}},
			"never sent"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, Options{}, dispatch.Options{})
			p := h.attach(nil)
			p.send(tc.frame)
			p.ends(codes.InvalidArgument, tc.words)
		})
	}
	t.Run("first is no register", func(t *testing.T) {
		h := newHouse(t, Options{}, dispatch.Options{})
		p := h.open()
		p.send(batch(1, 0))
		p.ends(codes.InvalidArgument, "register")
	})
	t.Run("ends before register", func(t *testing.T) {
		h := newHouse(t, Options{}, dispatch.Options{})
		p := h.open()
		p.stream.CloseSend()
		p.ends(codes.InvalidArgument, "before register")
	})
	t.Run("larger than allowed", func(t *testing.T) {
		h := newHouse(t, Options{MaxFrame: 1000}, dispatch.Options{})
		p := h.attach(nil)
		p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{
			Sequence: 1, Actions: []*spanwirev1.Action{acked(1, strings.Repeat(" ", 2000))},
		}}})
		p.ends(codes.ResourceExhausted)
	})
}

// rawCodec sends bytes that need not be a frame.
type rawCodec struct{}

func (rawCodec) Name() string                       { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }

// Bytes that are no protobuf end the stream; an arm of tomorrow is skipped.
func TestServer_Attach_rawFrames(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	for _, tc := range []struct {
		frame string
		code  codes.Code
	}{{"\xff\xff\xff", codes.InvalidArgument}, {"\x12\xff\x01", codes.InvalidArgument}, {"\x12\x02\x08", codes.InvalidArgument},
		{"", codes.OK}, {"\x9a\x06\x03abc", codes.OK}} {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			spanwirev1.HandlerService_Attach_FullMethodName, grpc.ForceCodec(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		register := []byte("\x0a\x17\x08\x01\x12\x04chat\x1a\x06chat-1\x32\x05\x12\x03foo")
		var got []byte
		if err := errors.Join(stream.SendMsg(&register), stream.RecvMsg(&got)); err != nil {
			t.Fatal(err)
		}
		frame := []byte(tc.frame)
		if err := stream.SendMsg(&frame); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&got); status.Code(err) != tc.code || (tc.code == codes.OK && got[0] != 5<<3|2) {
			t.Errorf("frame %q gave %q, %v", tc.frame, got, err)
		}
		cancel()
		for stream.RecvMsg(&got) == nil {
		}
	}
}

// A stream on which nothing is said is ended.
func TestServer_Attach_registerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Options{RegisterTimeout: time.Second}, dispatch.Options{})
		h.open().ends(codes.DeadlineExceeded, "register-timeout")
		h.stop()
	})
}

// Invalid results and commands are reported, counted, and have no other effect.
func TestServer_Attach_badActions(t *testing.T) {
	h := newHouse(t, Options{Commands: commands.Options{MaxDepth: 5}}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	fault := func(code spanwirev1.FaultCode, words string, actions ...*spanwirev1.Action) {
		t.Helper()
		p.act(actions...)
		for {
			m := p.receive()
			f := m.GetFault()
			for _, a := range m.GetBatch().GetAnswers() {
				p.taken = m.GetBatch().GetSequence()
				f = a.GetFault()
			}
			if f == nil {
				continue
			}
			if f.GetCode() != code || !strings.Contains(f.GetMessage(), words) {
				t.Errorf("fault %v, want %v %q", f, code, words)
			}
			return
		}
	}
	const invalid, unknown = spanwirev1.FaultCode_FAULT_CODE_INVALID, spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED
	fault(spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, "not open", acked(12345, `[]`))
	next := func() uint64 {
		b.emit(t, 1, "chat", `[]`)
		return p.dispatches(1)[0].GetId()
	}
	id := next()
	fault(spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, "not open", acked(id, `[1]`), acked(id, `[2]`))
	b.sees(t, "ack 1 [1]")
	fault(invalid, "well-formed", acked(next(), `[1`))
	fault(invalid, "UTF-8", acked(next(), "[\"\xff\"]"))
	fault(invalid, "array", acked(next(), `{}`))
	fault(invalid, "max-json-depth", acked(next(), `[[[[[[]]]]]]`))
	fault(invalid, "only a connect", result(&spanwirev1.Result{DispatchId: next(), Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{}}}))
	fault(unknown, "action", &spanwirev1.Action{})
	fault(unknown, "command", command(&spanwirev1.Command{Id: 9}))
	fault(invalid, "no event", command(&spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{Target: &spanwirev1.Target{}}}}))
	fault(invalid, "kept by", emit(9, "socket1", "disconnect", `[]`))
	fault(invalid, "well-formed", emit(9, "socket1", "x", `[1,]`))
	fault(invalid, "kept by", emit(0, "socket1", "disconnect", `[]`))
	fault(invalid, "target", command(&spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Disconnect{}}))
	fault(invalid, "rooms", command(&spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: &spanwirev1.Target{}}}}))
	fault(invalid, "allow-socket-id-rooms", command(&spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{
		Target: &spanwirev1.Target{Rooms: []string{"socket1"}}, Rooms: []string{"x", "abcdeAabcdefghijklmnopqrstuvwx"}}}}))
	fault(invalid, "allow-socket-id-rooms", command(&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{
		Target: &spanwirev1.Target{}, Rooms: []string{"abcdeAabcdefghijklmnopqrstuvwx"}}}}))
	fault(invalid, "command id", command(&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantAcks: true}}}))
	id = next()
	p.act(acked(id, `["still here"]`))
	b.sees(t, `ack 1 ["still here"]`)
}
