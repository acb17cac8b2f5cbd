// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHub records what it executes, and answers at once.
type fakeHub struct {
	executed []sio.Command
	queries  []sio.Query
	err      error
}

func (h *fakeHub) Execute(cmd sio.Command) (int, error) {
	h.executed = append(h.executed, cmd)
	return 3, h.err
}

func (h *fakeHub) AskEveryone(ctx context.Context, e *sio.Emit) (int, func() (sio.Acks, error)) {
	h.executed = append(h.executed, e)
	return 2, func() (sio.Acks, error) {
		<-ctx.Done()
		return sio.Acks{Came: []sio.SocketAck{{Socket: "s"}}, Missing: 1}, nil
	}
}

func (h *fakeHub) CountEveryone(_ context.Context, e *sio.Emit) (func() (sio.Acks, error), bool) {
	h.executed = append(h.executed, e)
	return func() (sio.Acks, error) { return sio.Acks{Sockets: 9}, nil }, false
}

func (h *fakeHub) Query(_ context.Context, q sio.Query) (func() (sio.Found, error), bool) {
	h.queries = append(h.queries, q)
	return func() (sio.Found, error) { return sio.Found{Reached: 4}, h.err }, false
}

func (h *fakeHub) Others(*sio.Target) int { return 1 }

// fakeDispatcher counts messages.
type fakeDispatcher struct{ sent []*sio.Message }

func (d *fakeDispatcher) Tell(_ context.Context, m *sio.Message) func() (sio.InstanceAcks, error) {
	d.sent = append(d.sent, m)
	return func() (sio.InstanceAcks, error) { return sio.InstanceAcks{Missing: 1}, nil }
}

func newExecutor(t *testing.T, o Options) (*Executor, *fakeHub, *fakeDispatcher) {
	t.Helper()
	h, d := &fakeHub{}, &fakeDispatcher{}
	calls := idempotency.New(idempotency.Options{}, metrics.NewIdempotency(nil))
	return New(t.Context(), o, h, d, calls, metrics.NewBridge(nil), slog.New(slog.DiscardHandler)), h, d
}

func emit(change func(*spanwirev1.Emit)) *spanwirev1.Command {
	e := &spanwirev1.Emit{Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}}
	if change != nil {
		change(e)
	}
	return &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: e}}
}

// Each kind of command reaches the hub or the dispatcher once, and its answer comes back.
func TestExecutor_Execute(t *testing.T) {
	target := &spanwirev1.Target{}
	for name, c := range map[string]struct {
		m       *spanwirev1.Command
		sockets uint32
		others  uint32
	}{
		"emit":         {emit(nil), 3, 1},
		"counted emit": {emit(func(e *spanwirev1.Emit) { e.WantCount = true }), 9, 1},
		"acks":         {emit(func(e *spanwirev1.Emit) { e.WantAcks, e.AckTimeoutMs = true, 1 }), 2, 1},
		"join": {&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{
			Target: target, Rooms: []string{"r"},
		}}}, 3, 1},
		"counted leave": {&spanwirev1.Command{Command: &spanwirev1.Command_Leave{Leave: &spanwirev1.Leave{
			Target: target, Rooms: []string{"r"}, WantCount: true,
		}}}, 4, 1},
		"disconnect": {&spanwirev1.Command{Command: &spanwirev1.Command_Disconnect{Disconnect: &spanwirev1.Disconnect{Target: target}}}, 3, 1},
		"sockets":    {&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{Target: target}}}, 4, 0},
		"rooms":      {&spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{ListRooms: &spanwirev1.ListRooms{}}}, 4, 0},
		"message": {&spanwirev1.Command{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: &spanwirev1.ServerSideEmit{
			Event: &spanwirev1.Event{Name: "m"},
		}}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x, h, d := newExecutor(t, Options{})
			a, replayed, err := x.Execute(t.Context(), "", c.m, NewCaller(nil))
			if err != nil || replayed || a.GetSockets() != c.sockets || a.GetOtherReplicas() != c.others || a.GetFault() != nil {
				t.Errorf("%v, %v, %v", a, replayed, err)
			}
			if n := len(h.executed) + len(h.queries) + len(d.sent); n != 1 {
				t.Errorf("%d calls: %v %v %v", n, h.executed, h.queries, d.sent)
			}
		})
	}
}

// What is invalid is rejected before anything happens.
func TestExecutor_Begin_rejects(t *testing.T) {
	instance := &Caller{Sender: sio.Addressee{Service: "s", Instance: "i"}}
	for name, c := range map[string]struct {
		m    *spanwirev1.Command
		by   *Caller
		says string
	}{
		"no command":         {&spanwirev1.Command{}, instance, "does not know the command"},
		"no target":          {emit(func(e *spanwirev1.Emit) { e.Target = nil }), instance, "it has no target"},
		"namespace":          {emit(func(e *spanwirev1.Emit) { e.Target.Namespace = "x" }), instance, "must begin with a slash"},
		"reserved event":     {emit(func(e *spanwirev1.Emit) { e.Event.Name = "connect" }), instance, "kept by Socket.IO"},
		"arguments":          {emit(func(e *spanwirev1.Emit) { e.Event.Args = []byte("{}") }), instance, "is not a JSON array"},
		"answer for nobody":  {emit(func(e *spanwirev1.Emit) { e.WantAcks = true }), instance, "it needs a command id"},
		"join without rooms": {&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: &spanwirev1.Target{}}}}, instance, "names no rooms"},
		"another socket's room": {&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{
			Target: &spanwirev1.Target{}, Rooms: []string{string(sio.NewSocketID(sio.NewReplicaID()))},
		}}}, instance, "allow-socket-id-rooms"},
		"large data": {&spanwirev1.Command{Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{Data: make([]byte, 9)}}}, instance, "max-socket-data"},
	} {
		t.Run(name, func(t *testing.T) {
			x, h, d := newExecutor(t, Options{MaxSocketData: 8})
			if _, err := x.Begin(c.m, c.by); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if len(h.executed)+len(h.queries)+len(d.sent) > 0 {
				t.Error("something was executed")
			}
		})
	}
}

// Under a key a command is executed once, and answered each time.
func TestExecutor_Execute_once(t *testing.T) {
	x, h, _ := newExecutor(t, Options{})
	for i, want := range []bool{false, true, true} {
		a, replayed, err := x.Execute(t.Context(), "k", emit(nil), NewCaller(nil))
		if err != nil || replayed != want || a.GetSockets() != 3 {
			t.Errorf("call %d: %v, %v, %v", i, a, replayed, err)
		}
	}
	if len(h.executed) != 1 {
		t.Errorf("executed %d times", len(h.executed))
	}
	if _, _, err := x.Execute(t.Context(), strings.Repeat("k", maxKey+1), emit(nil), NewCaller(nil)); sio.CodeOf(err) != sio.CodeInvalid {
		t.Errorf("long key: %v", err)
	}
}

// An answer comes before the caller's deadline.
func TestExecutor_Do_deadline(t *testing.T) {
	x, _, _ := newExecutor(t, Options{AckTimeout: time.Hour})
	r, err := x.Begin(emit(func(e *spanwirev1.Emit) { e.WantAcks = true }), NewCaller(nil))
	if err != nil || !r.Waits() || r.Timeout() != time.Hour {
		t.Fatalf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if a := x.Do(ctx, &r); ctx.Err() != nil || len(a.GetAcks()) != 1 || a.GetMissing() != 1 {
		t.Errorf("%v, %v", a, ctx.Err())
	}
}

// Every code has a place in every table, or the default that its comment says.
func TestStatus(t *testing.T) {
	for code, want := range map[sio.Code]struct {
		fault spanwirev1.FaultCode
		grpc  codes.Code
		http  int
	}{
		sio.CodeInvalid:         {spanwirev1.FaultCode_FAULT_CODE_INVALID, codes.InvalidArgument, http.StatusBadRequest},
		sio.CodeTooLarge:        {spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE, codes.ResourceExhausted, http.StatusRequestEntityTooLarge},
		sio.CodeNotFound:        {spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, codes.NotFound, http.StatusNotFound},
		sio.CodeConflict:        {spanwirev1.FaultCode_FAULT_CODE_CONFLICT, codes.AlreadyExists, http.StatusConflict},
		sio.CodeUnavailable:     {spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE, codes.Unavailable, http.StatusServiceUnavailable},
		sio.CodeDenied:          {spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED, codes.PermissionDenied, http.StatusForbidden},
		sio.CodeDeadline:        {spanwirev1.FaultCode_FAULT_CODE_INVALID, codes.DeadlineExceeded, http.StatusGatewayTimeout},
		sio.CodeUnauthenticated: {spanwirev1.FaultCode_FAULT_CODE_INVALID, codes.Unauthenticated, http.StatusUnauthorized},
		sio.CodeClosed:          {spanwirev1.FaultCode_FAULT_CODE_INVALID, codes.Unavailable, http.StatusServiceUnavailable},
	} {
		err := sio.E(code, "op", "text")
		if got := FaultFromError(err); got.GetCode() != want.fault || got.GetMessage() != err.Error() {
			t.Errorf("%v: fault %v", code, got)
		}
		if got := status.Code(GRPCError(err)); got != want.grpc || HTTPStatus(got) != want.http {
			t.Errorf("%v: %v, HTTP %d", code, got, HTTPStatus(got))
		}
	}
	for n := range spanwirev1.FaultCode_name {
		f := &spanwirev1.Fault{Code: spanwirev1.FaultCode(n)}
		if s := HTTPStatusFromFault(f); n > 0 && s == http.StatusInternalServerError || n == 0 && s != http.StatusInternalServerError {
			t.Errorf("%v: HTTP %d", f.GetCode(), s)
		}
	}
	if FaultFromError(nil) != nil || HTTPStatusFromFault(nil) != http.StatusOK || status.Code(GRPCError(errors.New("x"))) != codes.Internal {
		t.Error("borders")
	}
	if got := FaultFromError(errUnknownCommand).GetCode(); got != spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED {
		t.Errorf("unknown command: %v", got)
	}
}

// A fault of a call without an answer becomes a status of its own.
func TestGRPCErrorFromFault(t *testing.T) {
	for fault, want := range map[spanwirev1.FaultCode]codes.Code{
		spanwirev1.FaultCode_FAULT_CODE_INVALID: codes.InvalidArgument, spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE: codes.ResourceExhausted,
		spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND: codes.NotFound, spanwirev1.FaultCode_FAULT_CODE_CONFLICT: codes.AlreadyExists,
		spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED:     codes.PermissionDenied,
		spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE: codes.Unavailable,
	} {
		err := GRPCErrorFromFault(&spanwirev1.Fault{Code: fault, Message: "m"})
		if status.Code(err) != want || status.Convert(err).Message() != "m" {
			t.Errorf("%v: %v", fault, err)
		}
	}
	if HTTPStatus(codes.FailedPrecondition) != http.StatusConflict || HTTPStatus(codes.Unimplemented) != http.StatusNotImplemented {
		t.Error("HTTP status of FailedPrecondition or Unimplemented")
	}
}

// A caller is limited to its rights and namespaces, and what it may not do is not executed.
func TestExecutor_Permit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "callers.yaml")
	text := "callers: [{name: reader, tokens: [token-of-reader-1], may: [query], namespaces: [/a]}]"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	callers, err := auth.Open(nil, file)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := callers.Authenticate("token-of-reader-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	by := NewCaller(nil)
	by.Identify(identity)
	rooms := func(ns string) *spanwirev1.Command {
		return &spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{ListRooms: &spanwirev1.ListRooms{Namespace: ns}}}
	}
	data := &spanwirev1.Command{Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{Namespace: "/a", Data: []byte("1")}}}
	message := &spanwirev1.Command{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: &spanwirev1.ServerSideEmit{
		Namespace: "/a", Event: &spanwirev1.Event{Name: "m"},
	}}}
	for name, c := range map[string]struct {
		m  *spanwirev1.Command
		ok bool
	}{
		"query": {rooms("/a"), true}, "query elsewhere": {rooms("/b"), false}, "emit": {emit(nil), false}, "data": {data, false}, "message": {message, false},
	} {
		x, h, d := newExecutor(t, Options{})
		_, _, err := x.Execute(t.Context(), "", c.m, by)
		if c.ok != (err == nil) || !c.ok && sio.CodeOf(err) != sio.CodeDenied {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok && len(h.executed)+len(h.queries)+len(d.sent) > 0 {
			t.Errorf("%s was executed", name)
		}
	}
}
