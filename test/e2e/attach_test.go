// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// services opens a connection to the services' listener.
func services(t *testing.T) (context.Context, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient(shared.broker.Services, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
	})
	return ctx, conn
}

// instance is a stream that says what a test wants.
type instance struct {
	spanwirev1.HandlerService_AttachClient
	t *testing.T
}

func attach(t *testing.T) *instance {
	t.Helper()
	ctx, conn := services(t)
	stream, err := spanwirev1.NewHandlerServiceClient(conn).Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &instance{stream, t}
}

func (i *instance) register(r *spanwirev1.Register) {
	i.t.Helper()
	if err := i.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: r}}); err != nil {
		i.t.Fatal(err)
	}
}

// ends reads until the stream ends and gives how.
func (i *instance) ends() *status.Status {
	for {
		if _, err := i.Recv(); err != nil {
			return status.Convert(err)
		}
	}
}

// registration is one that makes sense.
func registration(service string) *spanwirev1.Register {
	return &spanwirev1.Register{
		ProtocolVersion: 1, Service: service, InstanceId: service + "-1", SdkName: "e2e",
		Registrations: []*spanwirev1.Registration{{Namespace: "/" + service, Events: []string{"x"}, Connect: true, Disconnect: true}},
	}
}

// A registration that makes no sense ends its stream with INVALID_ARGUMENT and says what to change;
// nothing was registered.
func TestAttach_ErrRegister(t *testing.T) {
	watch(t)
	for name, change := range map[string]func(*spanwirev1.Register){
		"no protocol version":  func(r *spanwirev1.Register) { r.ProtocolVersion = 0 },
		"a later version":      func(r *spanwirev1.Register) { r.ProtocolVersion = 99 },
		"no service":           func(r *spanwirev1.Register) { r.Service = "" },
		"service with a space": func(r *spanwirev1.Register) { r.Service = "a b" },
		"service too long":     func(r *spanwirev1.Register) { r.Service = strings.Repeat("s", 129) },
		"no instance":          func(r *spanwirev1.Register) { r.InstanceId = "" },
		"instance of noise":    func(r *spanwirev1.Register) { r.InstanceId = "\x00/../" },
		"no registrations":     func(r *spanwirev1.Register) { r.Registrations = nil },
		"namespace, no slash":  func(r *spanwirev1.Register) { r.Registrations[0].Namespace = "nope" },
		"same namespace twice": func(r *spanwirev1.Register) { r.Registrations = append(r.Registrations, r.Registrations[0]) },
		"event twice":          func(r *spanwirev1.Register) { r.Registrations[0].Events = []string{"", ""} },
		"reserved event":       func(r *spanwirev1.Register) { r.Registrations[0].Events = []string{"connect"} },
		"unknown delivery":     func(r *spanwirev1.Register) { r.DeliveryMode = 77 },
	} {
		t.Run(name, func(t *testing.T) {
			r := registration("bad")
			change(r)
			i := attach(t)
			i.register(r)
			s := i.ends()
			if s.Code() != codes.InvalidArgument || s.Message() == "" {
				t.Errorf("ended with %v", s)
			}
			t.Log(s.Message())
		})
	}
}

// A stream whose first frame is no registration, or that never says anything, is ended.
func TestAttach_ErrFirstFrame(t *testing.T) {
	watch(t)
	t.Run("batch", func(t *testing.T) {
		i := attach(t)
		if err := i.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{Sequence: 1}}}); err != nil {
			t.Fatal(err)
		}
		if s := i.ends(); s.Code() != codes.InvalidArgument {
			t.Errorf("ended with %v", s)
		}
	})
	t.Run("nothing in it", func(t *testing.T) {
		i := attach(t)
		if err := i.Send(&spanwirev1.AttachRequest{}); err != nil {
			t.Fatal(err)
		}
		if s := i.ends(); s.Code() == codes.OK {
			t.Errorf("ended with %v", s)
		}
	})
	t.Run("silence", func(t *testing.T) {
		if s := attach(t).ends(); s.Code() == codes.OK || s.Code() == codes.Canceled {
			t.Errorf("ended with %v", s)
		}
	})
}

// serving attaches a service of its own namespace and gives a client that is connecting to it.
func serving(t *testing.T, name string) (*instance, *client) {
	t.Helper()
	i := attach(t)
	i.register(registration(name))
	first, err := i.Recv()
	if err != nil || first.GetWelcome() == nil {
		t.Fatalf("the first frame is %v, %v", first, err)
	}
	c := open(t)
	c.send("40/" + name + ",")
	return i, c
}

// dispatch reads until a dispatch comes.
func (i *instance) dispatch() *spanwirev1.Dispatch {
	i.t.Helper()
	for {
		frame, err := i.Recv()
		if err != nil {
			i.t.Fatal(err)
		}
		if list := frame.GetBatch().GetDispatches(); len(list) > 0 {
			return list[0]
		}
	}
}

func (i *instance) act(sequence uint64, actions ...*spanwirev1.Action) {
	i.t.Helper()
	batch := &spanwirev1.ActionBatch{Sequence: sequence, Answered: sequence, Actions: actions}
	if err := i.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: batch}}); err != nil {
		i.t.Fatal(err)
	}
}

func accept(id uint64) *spanwirev1.Action {
	return &spanwirev1.Action{Action: &spanwirev1.Action_Result{Result: &spanwirev1.Result{
		DispatchId: id, Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{}},
	}}}
}

// Answers that are given twice, for nobody, or that make no sense change nothing for others; the
// stream goes on.
func TestAttach_ErrResults(t *testing.T) {
	watch(t)
	i, c := serving(t, "twice")
	connectID := i.dispatch().GetId()
	i.act(1, accept(connectID), accept(connectID), accept(12345), &spanwirev1.Action{})
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, "40/twice,{") {
		t.Fatalf("%q, %v", got, err)
	}
	c.send(`42/twice,1["x"]`)
	d := i.dispatch()
	bad := accept(d.GetId())
	bad.GetResult().GetAck().Args = []byte(`{"not":"an array"`)
	refusal := &spanwirev1.Action{Action: &spanwirev1.Action_Result{Result: &spanwirev1.Result{
		DispatchId: d.GetId(), Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: "on an event"}},
	}}}
	i.act(2, bad, refusal, accept(d.GetId()))
	c.send(`42/twice,2["x"]`)
	i.act(3, accept(i.dispatch().GetId()))
	for {
		got, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if got == "43/twice,2[]" {
			return
		}
		if got != "43/twice,1[]" {
			t.Fatalf("the browser got %q", got)
		}
	}
}

// Commands that make no sense are answered with a fault that says why.
func TestAttach_ErrCommands(t *testing.T) {
	watch(t)
	i, _ := serving(t, "commands")
	connectID := i.dispatch().GetId()
	emit := func(e *spanwirev1.Emit) *spanwirev1.Command {
		return &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: e}}
	}
	target := &spanwirev1.Target{Namespace: "/commands"}
	bad := []*spanwirev1.Command{
		{},
		emit(&spanwirev1.Emit{}),
		emit(&spanwirev1.Emit{Target: target}),
		emit(&spanwirev1.Emit{Target: target, Event: &spanwirev1.Event{Name: "disconnect"}}),
		emit(&spanwirev1.Emit{Target: target, Event: &spanwirev1.Event{Name: "x", Args: []byte(`{"a":1}`)}}),
		emit(&spanwirev1.Emit{Target: target, Event: &spanwirev1.Event{Name: "x", Args: []byte(`["a"`)}}),
		emit(&spanwirev1.Emit{Target: target, Event: &spanwirev1.Event{Name: "x", Args: []byte("[\"\xff\"]")}}),
		emit(&spanwirev1.Emit{Target: target, Event: &spanwirev1.Event{Name: "x", Args: []byte(`[{"_placeholder":true,"num":3}]`), Attachments: [][]byte{{1}}}}),
		emit(&spanwirev1.Emit{Target: &spanwirev1.Target{Namespace: "no slash"}, Event: &spanwirev1.Event{Name: "x"}}),
		{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: target}}},
		{Command: &spanwirev1.Command_Leave{Leave: &spanwirev1.Leave{}}},
		{Command: &spanwirev1.Command_Disconnect{Disconnect: &spanwirev1.Disconnect{}}},
	}
	actions := []*spanwirev1.Action{accept(connectID)}
	for n, c := range bad {
		c.Id = uint64(n + 1)
		actions = append(actions, &spanwirev1.Action{Action: &spanwirev1.Action_Command{Command: c}})
	}
	i.act(1, actions...)
	answered := make(map[uint64]bool)
	for len(answered) < len(bad) {
		frame, err := i.Recv()
		if err != nil {
			t.Fatalf("%v after %d of %d answers", err, len(answered), len(bad))
		}
		for _, a := range frame.GetBatch().GetAnswers() {
			answered[a.GetId()] = true
			if f := a.GetFault(); f.GetCode() == spanwirev1.FaultCode_FAULT_CODE_UNSPECIFIED || f.GetMessage() == "" {
				t.Errorf("command %d was answered %v", a.GetId(), a)
			}
		}
	}
}

// Unknown frames and fields are skipped, and the stream goes on.
func TestAttach_ErrUnknownFrames(t *testing.T) {
	watch(t)
	i, c := serving(t, "unknown")
	connectID := i.dispatch().GetId()
	later := &spanwirev1.AttachRequest{}
	later.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1999, protowire.BytesType), "from the future"))
	for range 3 {
		if err := i.Send(later); err != nil {
			t.Fatal(err)
		}
	}
	arm := &spanwirev1.Action{}
	arm.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 77, protowire.BytesType), ""))
	i.act(1, arm, accept(connectID))
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, "40/unknown,{") {
		t.Fatalf("%q, %v", got, err)
	}
}

// A second registration on one stream, and sequences that jump, end it or are skipped; nobody else
// is harmed.
func TestAttach_ErrConversation(t *testing.T) {
	watch(t)
	for name, frame := range map[string]*spanwirev1.AttachRequest{
		"register twice": {Frame: &spanwirev1.AttachRequest_Register{Register: registration("again")}},
		"sequence jumps": {Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{Sequence: 99}}},
		"answers what was never sent": {Frame: &spanwirev1.AttachRequest_FrameAck{
			FrameAck: &spanwirev1.FrameAck{Answered: 1 << 60}}},
	} {
		t.Run(name, func(t *testing.T) {
			i, _ := serving(t, "conversation")
			i.dispatch()
			if err := i.Send(frame); err != nil {
				t.Fatal(err)
			}
			if err := i.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Drain{Drain: &spanwirev1.Drain{}}}); err != nil {
				t.Log(err) // it was ended already
			}
			t.Log(i.CloseSend())
		})
	}
}

// An instance that never reads nor answers is cut off; its browsers' events wait, and others do not
// feel it.
func TestAttach_ErrNeverReads(t *testing.T) {
	watch(t)
	ctx, conn := services(t)
	stream, err := spanwirev1.NewHandlerServiceClient(conn).Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{stream, t}
	r := registration("deaf")
	r.Registrations[0].Connect = false
	i.register(r)
	if first, err := i.Recv(); err != nil || first.GetWelcome() == nil {
		t.Fatalf("the first frame is %v, %v", first, err)
	}
	c := open(t)
	c.send("40/deaf,")
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, "40/deaf,{") {
		t.Fatalf("%q, %v", got, err)
	}
	flood := fmt.Sprintf(`42/deaf,["x","%s"]`, strings.Repeat("y", 90_000))
	for range 50 { // the broker stops reading from this browser at some point
		if c.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) != nil || c.WriteMessage(1, []byte(flood)) != nil {
			break
		}
	}
	<-time.After(3 * time.Second) // the stall timeout passes meanwhile
	if s := i.ends(); s.Code() == codes.OK {
		t.Errorf("ended with %v", s)
	}
}
