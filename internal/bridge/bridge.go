// SPDX-License-Identifier: Apache-2.0

// Package bridge is the handlers' entry point: it speaks spanwire.v1 by gRPC, turns its frames into
// the words of dispatch and hub, and back. It never meets a browser.
package bridge

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
	"github.com/spanwire/spanwire/internal/trace"
)

// Options says how the entry point behaves. Zero fields take their defaults.
type Options struct {
	// Replica, Cluster, Version and PublicURL are sent to instances.
	Replica   sio.ReplicaID
	Cluster   string
	Version   string
	PublicURL string
	// Topology lists the replicas of the cluster. Nil means that there is only this one.
	Topology func() []Replica
	// Whereabouts tells to which other replicas each instance is attached. Nil means that there are
	// none.
	Whereabouts func() map[sio.InstanceID][]sio.ReplicaID
	// Callers are who may call, and what each may do. Nil asks nobody.
	Callers *auth.Callers
	// Calls remembers calls with idempotency keys. Nil means a memory of the entry point's own.
	Calls *idempotency.Calls
	// Board passes what happens to those who follow. Nil means that nobody can follow.
	Board *trace.Board
	// Rejected is called for calls that were rejected, for who made them or for what they register.
	// Nil tells nobody.
	Rejected func(ctx context.Context, method string, err error)
	// Commands bounds what one command may ask.
	Commands commands.Options
	// MaxFrame bounds one frame in bytes. Default 4 MiB.
	MaxFrame int
	// StallTimeout is how long an instance may leave its frame window full. Default 10 s.
	StallTimeout time.Duration
	// RegisterTimeout bounds the wait for the first frame. Default 10 s.
	RegisterTimeout time.Duration
	// HandlerTimeout is sent to instances; dispatch enforces it.
	HandlerTimeout time.Duration
	// ReplicaTimeout is sent to instances: a replica that is silent for so long is considered dead.
	ReplicaTimeout time.Duration
	// MaxAckWaits bounds the commands of one instance that wait for acks or for other replicas.
	// Default 1,024.
	MaxAckWaits int
	// MaxAnswers bounds the bytes of answers that an instance leaves unread before its stream is
	// ended. Default 16 MiB.
	MaxAnswers int
	// Keepalive is how long an instance or caller may be silent before it is asked whether it
	// lives, and how long the answer may take. At least 1 s; default 5 s.
	Keepalive time.Duration
	// MaxStreams bounds the calls of one connection. Default 100.
	MaxStreams int
}

// Replica is a replica of the cluster, as instances learn of it.
type Replica struct {
	ID      sio.ReplicaID
	Address string // host:port of its services, or empty
}

func (o Options) withDefaults() Options {
	o.Commands = o.Commands.WithDefaults()
	config.Complete(o.Settings())
	if o.Board == nil {
		o.Board = trace.New(trace.Options{}, metrics.NewTrace(nil))
	}
	if o.Calls == nil {
		o.Calls = idempotency.New(idempotency.Options{}, metrics.NewIdempotency(nil))
	}
	if o.Whereabouts == nil {
		o.Whereabouts = func() map[sio.InstanceID][]sio.ReplicaID { return nil }
	}
	if o.Topology == nil {
		o.Topology = func() []Replica { return nil }
	}
	return o
}

// ServerOptions are what the gRPC server needs for this entry point: bounds against floods, the
// codec of its frames, and who may call.
func (o Options) ServerOptions() []grpc.ServerOption {
	o = o.withDefaults()
	who := authInterceptor{o.Callers, o.Rejected}
	const window = 1 << 20 // bytes that a peer may send ahead
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(o.MaxFrame),
		grpc.MaxConcurrentStreams(uint32(o.MaxStreams)),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(o.RegisterTimeout),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(2 * window),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: o.Keepalive, Timeout: o.Keepalive}),
		grpc.StreamInterceptor(who.stream),
		grpc.UnaryInterceptor(who.unary),
		grpc.UnknownServiceHandler(who.unknown),
	}
}

// Server serves both services of spanwire.v1.
type Server struct {
	spanwirev1.UnimplementedHandlerServiceServer
	spanwirev1.UnimplementedEmitterServiceServer

	// Fixed at birth.
	o          Options
	dispatcher *dispatch.Dispatcher
	hub        *hub.Hub
	commands   *commands.Executor
	metrics    *metrics.Bridge
	log        *slog.Logger

	// life ends with Drain: what is carried out for callers that may have left ends with it.
	life context.Context
	end  context.CancelFunc

	mu        sync.Mutex             // guards what follows
	instances map[*Instance]struct{} // attached
	draining  bool
	running   sync.WaitGroup // streams, and what they started
}

// New makes the entry point.
func New(o Options, d *dispatch.Dispatcher, h *hub.Hub, m *metrics.Bridge, log *slog.Logger) *Server {
	s := &Server{o: o.withDefaults(), dispatcher: d, hub: h, metrics: m, log: log, instances: make(map[*Instance]struct{})}
	s.life, s.end = context.WithCancel(context.Background())
	s.commands = commands.New(s.life, s.o.Commands, h, d, s.o.Calls, m, log)
	return s
}

// Register puts the services on a gRPC server made with ServerOptions.
func (s *Server) Register(g *grpc.Server) {
	spanwirev1.RegisterHandlerServiceServer(g, s)
	spanwirev1.RegisterEmitterServiceServer(g, s)
}

func (s *Server) add(in *Instance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return status.Error(codes.Unavailable, "this replica is stopping; attach to another")
	}
	s.instances[in] = struct{}{}
	s.running.Add(1)
	return nil
}

func (s *Server) remove(in *Instance) {
	s.mu.Lock()
	delete(s.instances, in)
	s.mu.Unlock()
	s.running.Done()
}

func (s *Server) attached() []*Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Instance, 0, len(s.instances))
	for in := range s.instances {
		all = append(all, in)
	}
	return all
}

// TopologyChanged tells every instance the replicas of the cluster.
func (s *Server) TopologyChanged() {
	frame := &spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Topology{Topology: s.topology()}}
	for _, in := range s.attached() {
		in.notice(frame)
		in.Flush()
	}
}

func (s *Server) topology() *spanwirev1.Topology {
	t := new(spanwirev1.Topology)
	for _, r := range s.o.Topology() {
		t.Replicas = append(t.Replicas, &spanwirev1.Replica{Id: string(r.ID), Address: r.Address})
	}
	return t
}

// Announce takes no new instances, and tells those that are attached that this replica is about to
// stop. They are still given what happens to this replica's sockets. Calls after the first do
// nothing.
func (s *Server) Announce() {
	s.mu.Lock()
	before := s.draining
	s.draining = true
	s.mu.Unlock()
	if before {
		return
	}
	for _, in := range s.attached() {
		in.notice(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Drain{Drain: &spanwirev1.Drain{}}})
		in.Flush()
	}
}

// Drain announces the stop, gives instances nothing new, and lets them finish what they have; then
// their streams end, and Drain returns when all they started has ended. When ctx ends first, the
// streams are cut and the error says so.
func (s *Server) Drain(ctx context.Context) error {
	s.Announce()
	stopped := status.Error(codes.Unavailable, "this replica has stopped; attach to another")
	var finishing sync.WaitGroup
	var cut atomic.Bool
	for _, in := range s.attached() {
		a := in.attached()
		if a == nil { // its welcome has not been sent
			in.end(stopped)
			continue
		}
		finishing.Go(func() { // ends with its last dispatch, its stream or ctx
			select {
			case <-a.Drain():
				in.finish(ctx, stopped)
			case <-in.ended:
			case <-ctx.Done():
				cut.Store(true)
				in.end(stopped)
			}
		})
	}
	finishing.Wait()
	s.end()
	s.running.Wait()
	if cut.Load() {
		return context.Cause(ctx)
	}
	return nil
}
