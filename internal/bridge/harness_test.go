// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a bridge with the rooms below it, reached over a pipe in memory.
type house struct {
	t          testing.TB
	dispatcher *dispatch.Dispatcher
	hub        *hub.Hub
	server     *Server
	metrics    *metrics.Bridge
	dispatched *metrics.Dispatch
	conn       *grpc.ClientConn
	stop       func()
	token      string // that instances show
}

func newHouse(t testing.TB, o Options, d dispatch.Options) *house {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	return startHouse(t, o, d, l, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
}

func startHouse(t testing.TB, o Options, d dispatch.Options, l net.Listener, dial func(context.Context, string) (net.Conn, error)) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	h := &house{t: t, metrics: metrics.NewBridge(nil), dispatched: metrics.NewDispatch(nil)}
	h.dispatcher = dispatch.New(d, h.dispatched, log)
	h.hub = hub.New("repl01", hub.Alone{}, metrics.NewHub(nil))
	h.server = New(o, h.dispatcher, h.hub, h.metrics, log)
	g := grpc.NewServer(o.ServerOptions()...)
	h.server.Register(g)
	served := make(chan struct{})
	go func() { defer close(served); g.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///house", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	h.conn = conn
	h.stop = sync.OnceFunc(func() {
		conn.Close()
		g.Stop()
		<-served
		h.server.running.Wait()
	})
	t.Cleanup(h.stop)
	return h
}

// peer is an instance that speaks the proto by itself.
type peer struct {
	t      testing.TB
	stream grpc.BidiStreamingClient[spanwirev1.AttachRequest, spanwirev1.AttachResponse]
	cancel context.CancelFunc
	sent   uint64 // sequence of its last batch
	taken  uint64 // sequence of the broker's last batch
	parts  int    // of answers that came
}

func (h *house) open() *peer {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if h.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+h.token)
	}
	h.t.Cleanup(cancel)
	stream, err := spanwirev1.NewHandlerServiceClient(h.conn).Attach(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return &peer{t: h.t, stream: stream, cancel: cancel}
}

func registration() *spanwirev1.Register {
	return &spanwirev1.Register{
		ProtocolVersion: 1, Service: "chat", InstanceId: "chat-1", SdkName: "test",
		Registrations: []*spanwirev1.Registration{{CatchAll: true, Disconnect: true}},
	}
}

func (h *house) attach(change func(*spanwirev1.Register)) *peer {
	h.t.Helper()
	p, reg := h.open(), registration()
	if change != nil {
		change(reg)
	}
	p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: reg}})
	if w := p.receive().GetWelcome(); w == nil {
		h.t.Fatal("the first frame is no welcome")
	}
	for h.welcoming() {
		runtime.Gosched()
	}
	return p
}

// welcoming tells whether the broker is not done with a welcome: what is queued meanwhile goes into
// one frame.
func (h *house) welcoming() bool {
	return slices.ContainsFunc(h.server.attached(), func(in *Instance) bool { return in.attached() == nil })
}

func (p *peer) send(m *spanwirev1.AttachRequest) {
	p.t.Helper()
	if err := p.stream.Send(m); err != nil {
		_, err = p.stream.Recv()
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) receive() *spanwirev1.AttachResponse {
	p.t.Helper()
	m, err := p.stream.Recv()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return m
}

// batch gives the next batch frame; faults are skipped.
func (p *peer) batch() *spanwirev1.DispatchBatch {
	p.t.Helper()
	for {
		if b := p.receive().GetBatch(); b != nil {
			p.taken = b.GetSequence()
			return b
		}
	}
}

// dispatches collects n dispatches, and answers each frame as it comes.
func (p *peer) dispatches(n int) (all []*spanwirev1.Dispatch) {
	p.t.Helper()
	for len(all) < n {
		all = append(all, p.batch().GetDispatches()...)
		p.answerFrames(p.taken)
	}
	return all
}

func (p *peer) answerFrames(sequence uint64) {
	p.t.Helper()
	p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_FrameAck{FrameAck: &spanwirev1.FrameAck{Answered: sequence}}})
}

func (p *peer) act(actions ...*spanwirev1.Action) {
	p.t.Helper()
	p.sent++
	p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{
		Sequence: p.sent, Answered: p.taken, Actions: actions,
	}}})
}

// ends waits for the stream's status, whatever comes before.
func (p *peer) ends(code codes.Code, words ...string) {
	p.t.Helper()
	for {
		_, err := p.stream.Recv()
		if err == nil {
			continue
		}
		if status.Code(err) != code {
			p.t.Fatalf("the stream ended with %v, want %v", err, code)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				p.t.Errorf("status %q does not say %q", err, w)
			}
		}
		return
	}
}

func acked(id uint64, args string) *spanwirev1.Action {
	return result(&spanwirev1.Result{DispatchId: id, Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{Args: []byte(args)}}})
}

func result(r *spanwirev1.Result) *spanwirev1.Action {
	return &spanwirev1.Action{Action: &spanwirev1.Action_Result{Result: r}}
}

func command(c *spanwirev1.Command) *spanwirev1.Action {
	return &spanwirev1.Action{Action: &spanwirev1.Action_Command{Command: c}}
}

func emit(id uint64, room, name, args string) *spanwirev1.Action {
	return command(&spanwirev1.Command{Id: id, Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{Rooms: []string{room}}, Event: &spanwirev1.Event{Name: name, Args: []byte(args)},
	}}})
}

// browser is a socket that writes down what reaches it. It implements dispatch.Socket and
// hub.Socket.
type browser struct {
	id        sio.SocketID
	handshake *sio.Handshake
	recovered bool
	binding   *dispatch.Binding
	data      atomic.Pointer[sio.Data]
	decisions chan dispatch.Decision
	seen      chan string // "ack 3 [1]", "event news [2]"
}

func (h *house) connect(id sio.SocketID) *browser {
	h.t.Helper()
	b := h.dial(id)
	if d := <-b.decisions; d.Kind != dispatch.Accepted {
		h.t.Fatalf("the connect was not accepted: %+v", d)
	}
	return b
}

func (h *house) dial(id sio.SocketID) *browser {
	b := &browser{
		id: id, handshake: &sio.Handshake{URL: "/socket.io/?EIO=4", Method: "GET", Headers: []sio.Header{
			{Name: "Authorization", Value: "secret"}, {Name: "Cookie", Value: "secret"}, {Name: "User-Agent", Value: "test\xff"},
		}},
		decisions: make(chan dispatch.Decision, 1), seen: make(chan string, 10000),
	}
	h.hub.Add(sio.MainNamespace, b)
	b.binding = h.dispatcher.ConnectAfter(nil, b, func(d dispatch.Decision) { b.decisions <- d })
	return b
}

func (b *browser) ID() sio.SocketID         { return b.id }
func (b *browser) Namespace() sio.Namespace { return sio.MainNamespace }
func (b *browser) Flush()                   {}
func (b *browser) Disconnect(bool)          {}
func (b *browser) Introduction() dispatch.Introduction {
	i := dispatch.Introduction{Handshake: b.handshake, Auth: []byte(`{"token":"x"}`), Recovered: b.recovered}
	if data := b.data.Load(); data != nil {
		i.Data = *data
	}
	return i
}

func (b *browser) Describe() sio.SocketInfo {
	i := b.Introduction()
	return sio.SocketInfo{Handshake: i.Handshake, Auth: i.Auth, Data: i.Data}
}

func (b *browser) Keep(value []byte, ifVersion uint64) (now sio.Data, kept bool) {
	now = b.Introduction().Data
	if ifVersion != 0 && ifVersion != now.Version {
		return now, false
	}
	now = sio.Data{Value: value, Version: now.Version + 1}
	b.data.Store(&now)
	return now, true
}

func (b *browser) Acknowledge(id sio.AckID, ack sio.Ack) {
	b.seen <- fmt.Sprintf("ack %d %s", id, ack.Args)
}

func (b *browser) Deliver(d *hub.Delivery) {
	b.seen <- fmt.Sprintf("event %s %s", d.Event.Name, d.Event.Args)
	if d.WantsAck {
		d.Acked(b.id, sio.Ack{Args: []byte(`["got it"]`)})
	}
}

func (b *browser) emit(t testing.TB, ack sio.AckID, name, args string) {
	t.Helper()
	if err := b.binding.Dispatch(context.Background(), &sio.Event{Name: name, Args: []byte(args)}, ack, true); err != nil {
		t.Fatal(err)
	}
}

func (b *browser) sees(t testing.TB, want string) {
	t.Helper()
	if got := <-b.seen; got != want {
		t.Errorf("the browser saw %q, want %q", got, want)
	}
}
