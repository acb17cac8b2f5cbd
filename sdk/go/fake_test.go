// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBroker is the broker's side of the conversation, played by hand. It keeps to the rules of
// handler.proto and notes it when the instance does not.
type fakeBroker struct {
	spanwirev1.UnimplementedHandlerServiceServer
	spanwirev1.UnimplementedEmitterServiceServer

	replica     string
	frameWindow uint32
	maxFrame    uint32
	topology    *spanwirev1.Topology
	refuse      error  // what Attach ends with at once
	welcomes    string // the replica that it says it is, when not its own name

	server   *grpc.Server
	listener *bufconn.Listener
	streams  chan *fakeStream
	emits    chan *spanwirev1.Emit
	commands chan *spanwirev1.Command
	answer   func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error)
	retire   func(service string) (*spanwirev1.RetireServiceResponse, error)

	mu         sync.Mutex
	violations []string
	attempts   int
	shown      []string // authorization of each call
	keys       []string // idempotency key of each call
}

func newFakeBroker(t *testing.T, replica string) *fakeBroker {
	b, stop := startFakeBroker(replica)
	t.Cleanup(func() {
		stop()
		for _, v := range b.violations {
			t.Error("the instance broke a rule:", v)
		}
	})
	return b
}

func startFakeBroker(replica string) (b *fakeBroker, stop func()) {
	b = &fakeBroker{
		replica: replica, frameWindow: 2, maxFrame: 1 << 20,
		listener: bufconn.Listen(1 << 20), streams: make(chan *fakeStream, 16), emits: make(chan *spanwirev1.Emit, 16),
		commands: make(chan *spanwirev1.Command, 16),
	}
	b.server = grpc.NewServer()
	spanwirev1.RegisterHandlerServiceServer(b.server, b)
	spanwirev1.RegisterEmitterServiceServer(b.server, b)
	served := make(chan struct{})
	go func() { // ends with stop
		defer close(served)
		_ = b.server.Serve(b.listener)
	}()
	return b, func() {
		b.server.Stop()
		<-served
	}
}

func (b *fakeBroker) violate(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.violations = append(b.violations, fmt.Sprintf(format, args...))
}

// options gives options that lead to the brokers, each under the address of its replica's name.
func fakeOptions(brokers ...*fakeBroker) Options {
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		for _, b := range brokers {
			if b.replica == address {
				return b.listener.DialContext(ctx)
			}
		}
		return nil, errors.New("no such broker: " + address)
	}
	return Options{
		Address: "passthrough:///" + brokers[0].replica, InstanceID: "test",
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(dial)},
		Logger:      slog.New(slog.DiscardHandler),
	}
}

// fakeStream is one attached instance.
type fakeStream struct {
	broker   *fakeBroker
	register *spanwirev1.Register
	metadata metadata.MD
	stream   grpc.BidiStreamingServer[spanwirev1.AttachRequest, spanwirev1.AttachResponse]
	frames   chan *spanwirev1.AttachRequest // everything after register
	gone     chan struct{}                  // closed when the instance ended the stream
	finish   chan error                     // what Attach returns

	mu        sync.Mutex
	sent      uint64 // sequence of our last batch
	confirmed uint64 // the highest of ours that the instance answered
	received  uint64 // sequence of the instance's last batch
	answered  uint64 // the highest of the instance's that we answered
	auto      bool   // answer each batch at once
}

// Attach implements the contract's server side.
func (b *fakeBroker) RetireService(_ context.Context, m *spanwirev1.RetireServiceRequest) (*spanwirev1.RetireServiceResponse, error) {
	return b.retire(m.GetService())
}

func (b *fakeBroker) Attach(g grpc.BidiStreamingServer[spanwirev1.AttachRequest, spanwirev1.AttachResponse]) error {
	b.mu.Lock()
	b.attempts++
	refuse := b.refuse
	b.mu.Unlock()
	first, err := g.Recv()
	if err != nil {
		return err
	}
	if refuse != nil {
		return refuse
	}
	if first.GetRegister() == nil {
		return status.Error(codes.InvalidArgument, "the first frame is not register")
	}
	md, _ := metadata.FromIncomingContext(g.Context())
	s := &fakeStream{
		broker: b, register: first.GetRegister(), metadata: md, stream: g, auto: true,
		frames: make(chan *spanwirev1.AttachRequest, 4096), gone: make(chan struct{}), finish: make(chan error, 1),
	}
	welcome := &spanwirev1.Welcome{
		Replica: cmp.Or(b.welcomes, b.replica), FrameWindow: b.frameWindow, MaxFrameBytes: b.maxFrame, Window: 1024, Topology: b.topology,
	}
	if err := g.Send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	go s.read() // ends with the stream
	b.streams <- s
	select {
	case err := <-s.finish:
		return err
	case <-s.gone:
		return nil
	}
}

func (s *fakeStream) read() {
	defer close(s.gone)
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return
		}
		switch {
		case m.GetBatch() != nil:
			s.noteBatch(m.GetBatch(), proto.Size(m))
		case m.GetFrameAck() != nil:
			s.noteAnswered(m.GetFrameAck().GetAnswered())
		}
		s.frames <- m
	}
}

func (s *fakeStream) noteBatch(b *spanwirev1.ActionBatch, size int) {
	s.mu.Lock()
	s.received++
	if b.GetSequence() != s.received {
		s.broker.violate("batch %d came where %d was due", b.GetSequence(), s.received)
	}
	if s.received-s.answered > uint64(s.broker.frameWindow) {
		s.broker.violate("batch %d came while only %d was answered", s.received, s.answered)
	}
	if size > int(s.broker.maxFrame) {
		s.broker.violate("a frame of %d bytes came", size)
	}
	auto := s.auto
	s.mu.Unlock()
	s.noteAnswered(b.GetAnswered())
	if auto {
		s.ackFrames()
	}
}

func (s *fakeStream) noteAnswered(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.sent {
		s.broker.violate("frame %d was answered and never sent", n)
	}
	s.confirmed = max(s.confirmed, n)
}

func (s *fakeStream) send(m *spanwirev1.AttachResponse) {
	// An error means that the instance is gone; the test sees what it waits for missing.
	_ = s.stream.Send(m)
}

func (s *fakeStream) ackFrames() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = s.received
	s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_FrameAck{FrameAck: &spanwirev1.FrameAck{Answered: s.answered}}})
}

func (s *fakeStream) batch(b *spanwirev1.DispatchBatch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	b.Sequence = s.sent
	s.send(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Batch{Batch: b}})
}

func (s *fakeStream) dispatch(list ...*spanwirev1.Dispatch) {
	s.batch(&spanwirev1.DispatchBatch{Dispatches: list})
}

// actions waits for n actions, answers to frames not counted.
func (s *fakeStream) actions(t *testing.T, n int) []*spanwirev1.Action {
	t.Helper()
	var list []*spanwirev1.Action
	for len(list) < n {
		select {
		case m := <-s.frames:
			list = append(list, m.GetBatch().GetActions()...)
		case <-s.gone:
			t.Fatalf("the stream ended after %d of %d actions", len(list), n)
		}
	}
	if len(list) > n {
		t.Fatalf("got %d actions, want %d: %v", len(list), n, list)
	}
	return list
}

// event makes a dispatch of an event.
func event(id uint64, sid, name, args string) *spanwirev1.Dispatch {
	return &spanwirev1.Dispatch{
		Id: id, SocketId: sid, Namespace: "/", WantsAck: true,
		Kind: &spanwirev1.Dispatch_Event{Event: &spanwirev1.Event{Name: name, Args: []byte(args)}},
	}
}

// fakeRun is a service that runs against a fake broker.
type fakeRun struct {
	stop  context.CancelFunc
	ended chan error
}

func runService(svc *Service) *fakeRun {
	ctx, cancel := context.WithCancel(context.Background())
	r := &fakeRun{stop: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- svc.Run(ctx) }() // ends with stop
	return r
}

// leave stops the service and plays the broker's part of the drain on its streams.
func (r *fakeRun) leave(t *testing.T, streams ...*fakeStream) {
	t.Helper()
	synctest.Wait()
	r.stop()
	for _, s := range streams {
		for drained := false; !drained; {
			select {
			case m := <-s.frames:
				drained = m.GetDrain() != nil
			case <-s.gone:
				t.Fatal("the instance left without a drain")
			}
		}
		s.finish <- nil
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// attached makes a broker, runs the service that setup fills, and gives the attached stream.
func attached(t *testing.T, setup func(svc *Service)) (*Service, *fakeStream, *fakeRun) {
	t.Helper()
	b := newFakeBroker(t, "a")
	svc := NewService("test", fakeOptions(b))
	setup(svc)
	run := runService(svc)
	return svc, <-b.streams, run
}

// bubble runs a test with faked time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
