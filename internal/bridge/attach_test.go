// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// An event reaches the instance with an introduction, and its ack the browser; credentials are withheld unless asked for.
func TestServer_Attach(t *testing.T) {
	for _, credentials := range []bool{false, true} {
		t.Run(fmt.Sprintf("credentials=%v", credentials), func(t *testing.T) {
			h := newHouse(t, Options{}, dispatch.Options{})
			p := h.attach(func(r *spanwirev1.Register) { r.Credentials = credentials })
			b := h.connect("socket1")
			b.emit(t, 7, "chat", `[{"a":1}]`)
			d := p.dispatches(1)[0]
			if d.GetSocketId() != "socket1" || d.GetNamespace() != "" || d.GetEvent().GetName() != "chat" ||
				string(d.GetEvent().GetArgs()) != `[{"a":1}]` || !d.GetWantsAck() || d.GetRedeliveries() != 0 {
				t.Errorf("dispatch %v", d)
			}
			hs := d.GetIntroduction().GetHandshake()
			if string(hs.GetAuth()) != `{"token":"x"}` || hs.GetMethod() != "GET" {
				t.Errorf("handshake %v", hs)
			}
			if got := strings.Contains(hs.String(), "secret"); got != credentials {
				t.Errorf("credentials told: %v", got)
			}
			p.act(acked(d.GetId(), `[ ]`))
			b.sees(t, "ack 7 ")
			b.emit(t, 8, "chat", `[]`)
			d = p.dispatches(1)[0]
			if d.GetIntroduction() != nil {
				t.Error("the socket was introduced twice")
			}
			p.act(acked(d.GetId(), ` ["ok"] `))
			b.sees(t, `ack 8 ["ok"]`)
		})
	}
}

// Commands before a result take effect before its ack.
func TestServer_Attach_order(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	d := p.dispatches(1)[0]
	p.act(emit(5, "socket1", "first", `[1]`), acked(d.GetId(), `[2]`), emit(0, "socket1", "last", `[3]`))
	b.sees(t, "event first [1]")
	b.sees(t, "ack 1 [2]")
	b.sees(t, "event last [3]")
	if a := p.batch().GetAnswers(); len(a) != 1 || a[0].GetId() != 5 || a[0].GetSockets() != 1 || a[0].GetFault() != nil {
		t.Errorf("answers %v", a)
	}
}

// A registration that makes no sense is refused with all that is to be mended.
func TestServer_Attach_badRegister(t *testing.T) {
	many := make([]string, 1000)
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
		{"many", func(r *spanwirev1.Register) { r.Registrations[0].Events = many }, []string{"1 to 255 bytes", "more"}},
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

// Results and commands that make no sense are told, counted, and harm nobody.
func TestServer_Attach_badActions(t *testing.T) {
	h := newHouse(t, Options{MaxDepth: 5}, dispatch.Options{})
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
	fault(invalid, "max-depth", acked(next(), `[[[[[[]]]]]]`))
	fault(invalid, "only a connect", result(&spanwirev1.Result{DispatchId: next(), Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{}}}))
	fault(unknown, "action", &spanwirev1.Action{})
	fault(unknown, "command", command(&spanwirev1.Command{Id: 9}))
	fault(invalid, "no name", emit(9, "socket1", "", `[]`))
	fault(invalid, "kept by", emit(9, "socket1", "disconnect", `[]`))
	fault(invalid, "well-formed", emit(9, "socket1", "x", `[1,]`))
	fault(invalid, "kept by", emit(0, "socket1", "disconnect", `[]`))
	fault(invalid, "target", command(&spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Disconnect{}}))
	fault(invalid, "rooms", command(&spanwirev1.Command{Id: 9, Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: &spanwirev1.Target{}}}}))
	fault(invalid, "command id", command(&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantAcks: true}}}))
	id = next()
	p.act(acked(id, `["still here"]`))
	b.sees(t, `ack 1 ["still here"]`)
}

// An emit that wants acks brings them in its answer.
func TestServer_Attach_wantAcks(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	p.act(command(&spanwirev1.Command{Id: 3, Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantAcks: true}}}))
	b.sees(t, "event x ")
	a := p.batch().GetAnswers()[0]
	if a.GetId() != 3 || a.GetSockets() != 1 || len(a.GetAcks()) != 1 || string(a.GetAcks()[0].GetAck().GetArgs()) != `["got it"]` {
		t.Errorf("answer %v", a)
	}
}

// At most two batch frames are unanswered; what waits goes into one frame then, in order.
func TestServer_Attach_frameWindow(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i := range 100 {
		b.emit(t, sio.AckID(i), "chat", fmt.Sprintf(`[%d]`, i))
	}
	first, second := p.batch(), p.batch()
	if len(first.GetDispatches()) != 1 || len(second.GetDispatches()) != 1 {
		t.Errorf("the first frames carry %d and %d", len(first.GetDispatches()), len(second.GetDispatches()))
	}
	p.answerFrames(1)
	third := p.batch()
	if len(third.GetDispatches()) != 98 || third.GetSequence() != 3 {
		t.Errorf("frame %d carries %d", third.GetSequence(), len(third.GetDispatches()))
	}
	for i, d := range third.GetDispatches() {
		if want := fmt.Sprintf(`[%d]`, i+2); string(d.GetEvent().GetArgs()) != want {
			t.Fatalf("dispatch %d is %s, want %s", i, d.GetEvent().GetArgs(), want)
		}
	}
}

// The broker answers the instance's frames when it may send no more.
func TestServer_Attach_frameAck(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	for i := range 10 {
		p.act()
		p.act()
		if got := p.receive().GetFrameAck().GetAnswered(); got != uint64(2*i+2) {
			t.Fatalf("answered %d, want %d", got, 2*i+2)
		}
	}
	for range 3 {
		p.act() // the third without waiting for an answer
	}
	p.act()
	p.act()
}

// A dispatch larger than a frame is given up; the socket's next events go on.
func TestServer_Attach_tooLarge(t *testing.T) {
	h := newHouse(t, Options{MaxFrame: 4000}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for range 50 {
		b.emit(t, 1, "large", `["`+strings.Repeat("x", 5000)+`"]`)
	}
	b.emit(t, 2, "small", `[]`)
	d := p.dispatches(1)[0]
	if d.GetEvent().GetName() != "small" {
		t.Fatalf("dispatch %v", d)
	}
	p.act(acked(d.GetId(), `[]`))
	b.sees(t, "ack 2 ")
}

// Batches are split at the bytes that a frame may have.
func TestServer_Attach_split(t *testing.T) {
	h := newHouse(t, Options{MaxFrame: 4000}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i := range 100 {
		b.emit(t, 1, "chat", fmt.Sprintf(`[%d,"%s"]`, i, strings.Repeat("x", 500)))
	}
	for i, d := range p.dispatches(100) {
		if !strings.HasPrefix(string(d.GetEvent().GetArgs()), fmt.Sprintf(`[%d,`, i)) {
			t.Fatalf("dispatch %d out of order", i)
		}
	}
}

// When the stream breaks, the open dispatches come again on another, in order and marked.
func TestServer_Attach_redelivery(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i := range 20 {
		b.emit(t, sio.AckID(i), "chat", fmt.Sprintf(`[%d]`, i))
	}
	before := p.dispatches(20)
	p.cancel()
	other := h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2" })
	for i, d := range other.dispatches(20) {
		if d.GetId() != before[i].GetId() || d.GetRedeliveries() != 1 || (d.GetIntroduction() != nil) != (i == 0) {
			t.Fatalf("dispatch %d: %v", i, d)
		}
		other.act(acked(d.GetId(), `[]`))
		b.sees(t, fmt.Sprintf("ack %d ", i))
		if i%2 == 1 {
			if other.receive().GetFrameAck() == nil {
				t.Fatal("no frame ack")
			}
		}
	}
}

// A newer stream of an instance takes the place of the older, which is ended.
func TestServer_Attach_replaced(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	older := h.attach(nil)
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	older.dispatches(1)
	newer := h.attach(nil)
	older.ends(codes.Aborted, "newer stream")
	d := newer.dispatches(1)[0]
	newer.act(acked(d.GetId(), `[]`))
	b.sees(t, "ack 1 ")
}

// An instance that drains gets nothing new, finishes, and has its stream ended with OK after its answers.
func TestServer_Attach_drain(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	d := p.dispatches(1)[0]
	p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Drain{Drain: &spanwirev1.Drain{}}})
	other := h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2" })
	b.emit(t, 2, "chat", `[]`)
	p.act(emit(4, "socket1", "news", `[]`), acked(d.GetId(), `[]`))
	if a := p.batch().GetAnswers(); len(a) != 1 || a[0].GetId() != 4 {
		t.Errorf("answers %v", a)
	}
	if _, err := p.stream.Recv(); err == nil || status.Code(err) != codes.OK && !strings.Contains(err.Error(), "EOF") {
		t.Errorf("the stream ended with %v", err)
	}
	b.sees(t, "event news ")
	b.sees(t, "ack 1 ")
	d = other.dispatches(1)[0]
	other.act(acked(d.GetId(), `[]`))
	b.sees(t, "ack 2 ")
}

// A replica that drains tells its instances, lets them finish, and ends their streams.
func TestServer_Drain(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	first := h.attach(nil)
	second := h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2"; r.Service = "other" })
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	d := first.dispatches(1)[0]
	second.dispatches(1)
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		drained <- h.server.Drain(ctx)
	}()
	for _, p := range []*peer{first, second} {
		if p.receive().GetDrain() == nil {
			t.Fatal("no drain frame")
		}
	}
	late := h.open()
	late.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: registration()}})
	late.ends(codes.Unavailable)
	first.act(acked(d.GetId(), `[]`))
	b.sees(t, "ack 1 ")
	first.ends(codes.Unavailable, "stopped")
	second.cancel()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// An instance that does not finish in time is cut off.
func TestServer_Drain_deadline(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	h.connect("socket1").emit(t, 1, "chat", `[]`)
	p.dispatches(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.server.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("drain: %v", err)
	}
	p.ends(codes.Unavailable)
}

// An instance that answers no frame is ended after the stall timeout, and its dispatches go to another.
func TestServer_Attach_stall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Options{}, dispatch.Options{})
		p := h.attach(nil)
		b := h.connect("socket1")
		for range 3 {
			b.emit(t, 1, "chat", `[]`)
		}
		p.ends(codes.DeadlineExceeded, "stall-timeout")
		other := h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2" })
		if n := len(other.dispatches(3)); n != 3 {
			t.Errorf("%d dispatches", n)
		}
		h.stop()
	})
}

// An instance that reads nothing at all holds nobody up, and is ended.
func TestServer_Attach_neverReads(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := startHouse(t, Options{StallTimeout: 200 * time.Millisecond}, dispatch.Options{QueueEvents: 100000, QueueBytes: 1 << 30}, l,
		func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		})
	p := h.attach(nil)
	b := h.connect("socket1")
	for range 60 { // more than the stream's flow control takes
		b.emit(t, 1, "chat", `["`+strings.Repeat("x", 200<<10)+`"]`)
	}
	p.answerFrames(1) // it answers, yet it reads nothing
	<-h.detached()
	other := h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2" })
	if n := len(other.dispatches(60)); n != 60 {
		t.Errorf("%d dispatches", n)
	}
}

// detached is closed when no instance is attached any more.
func (h *house) detached() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(h.dispatcher.Attached()) > 0 {
			<-h.dispatcher.Changes()
		}
	}()
	return done
}

// An instance that floods commands and reads no answers, or faults and reads none, is ended and harms nobody.
func TestServer_Attach_floods(t *testing.T) {
	t.Run("answers", func(t *testing.T) {
		h := newHouse(t, Options{MaxAnswers: 5000}, dispatch.Options{})
		p := h.attach(nil)
		list := make([]*spanwirev1.Action, 2000)
		for i := range list {
			list[i] = emit(uint64(i+1), "nobody", "x", `[]`)
		}
		for p.sent < 3 { // the broker may end the stream before the last
			p.sent++
			p.stream.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{
				Sequence: p.sent, Actions: list,
			}}})
		}
		p.ends(codes.ResourceExhausted, "answers")
	})
	t.Run("faults", func(t *testing.T) {
		h := newHouse(t, Options{}, dispatch.Options{})
		p := h.attach(nil)
		for range 500 {
			p.send(&spanwirev1.AttachRequest{})
		}
		b := h.connect("socket1")
		b.emit(t, 1, "chat", `[]`)
		d := p.dispatches(1)[0]
		p.act(acked(d.GetId(), `[]`))
		b.sees(t, "ack 1 ")
	})
	t.Run("frames", func(t *testing.T) {
		h := newHouse(t, Options{}, dispatch.Options{})
		p := h.attach(nil)
		for range 1000 {
			p.sent++
			if p.stream.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{Sequence: p.sent}}}) != nil {
				break
			}
		}
		h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2" })
	})
}

// A refused connect carries the service's words; a failed one does not.
func TestServer_Attach_connect(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(func(r *spanwirev1.Register) { r.Registrations[0].Connect = true })
	for i, tc := range []struct {
		result *spanwirev1.Result
		want   dispatch.Decision
	}{
		{&spanwirev1.Result{}, dispatch.Decision{Kind: dispatch.Accepted}},
		{&spanwirev1.Result{Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: "no", Data: []byte(` {"a":1} `)}}},
			dispatch.Decision{Kind: dispatch.Refused, Message: "no", Data: []byte(`{"a":1}`)}},
		{&spanwirev1.Result{Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Data: []byte(`{`)}}},
			dispatch.Decision{Kind: dispatch.Refused, Message: "Connection rejected by server"}},
		{&spanwirev1.Result{Outcome: &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: "secret trace"}}},
			dispatch.Decision{Kind: dispatch.Refused, Message: "Connection failed"}},
	} {
		b := h.dial(sio.SocketID(fmt.Sprint("socket", i)))
		d := p.dispatches(1)[0]
		if d.GetConnect() == nil || d.GetIntroduction() == nil {
			t.Fatalf("dispatch %v", d)
		}
		tc.result.DispatchId = d.GetId()
		p.act(result(tc.result))
		if got := <-b.decisions; fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("decision %+v, want %+v", got, tc.want)
		}
	}
}

// Callers need a token when tokens are set.
func TestServer_tokens(t *testing.T) {
	h := newHouse(t, Options{Tokens: []string{"one", "two"}}, dispatch.Options{})
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	request := &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}}}
	for shown, want := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer three": codes.Unauthenticated,
		"two": codes.Unauthenticated, "Bearer two": codes.OK} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", shown)
		if _, err := client.Emit(ctx, request); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", shown, err, want)
		}
	}
	h.open().ends(codes.Unauthenticated, "service-tokens")
}

// Emit reaches sockets, and says what is wrong with a request.
func TestServer_Emit(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.attach(nil)
	b := h.connect("socket1")
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	got, err := client.Emit(t.Context(), &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x", Args: []byte(`[1]`)}, WantAcks: true}})
	if err != nil || got.GetSockets() != 1 || len(got.GetAcks()) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	b.sees(t, "event x [1]")
	if _, err := client.Emit(t.Context(), &spanwirev1.EmitRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("empty request: %v", err)
	}
}
