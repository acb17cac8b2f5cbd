// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
)

// echoBroker is a broker that keeps a number of events outstanding, as cheaply as can be, so that
// what is measured is the SDK and gRPC. It speaks bytes: a result is found by its tag.
type echoBroker struct {
	outstanding int
	sockets     int
	total       int
	frames      atomic.Int64
	done        chan struct{}
}

type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (b *echoBroker) dispatches(from, n int) []byte {
	batch := &spanwirev1.DispatchBatch{}
	for i := from; i < from+n; i++ {
		d := event(uint64(i+1), fmt.Sprintf("socket-%016d", i%b.sockets), "my event", `[{"data":"hello there, this is a message"}]`)
		if i < b.sockets {
			d.Introduction = &spanwirev1.Introduction{Handshake: &spanwirev1.Handshake{Url: "/socket.io/?EIO=4&transport=websocket"}}
		}
		batch.Dispatches = append(batch.Dispatches, d)
	}
	data, _ := proto.Marshal(batch)
	return data
}

// frame wraps prebuilt dispatches with the numbers of this frame.
func (b *echoBroker) frame(sequence, answered uint64, dispatches []byte) *[]byte {
	body := protowire.AppendTag(nil, 1, protowire.VarintType)
	body = protowire.AppendVarint(body, sequence)
	body = protowire.AppendTag(body, 2, protowire.VarintType)
	body = protowire.AppendVarint(body, answered)
	out := protowire.AppendTag(make([]byte, 0, len(body)+len(dispatches)+16), 2, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(len(body)+len(dispatches)))
	out = append(append(out, body...), dispatches...)
	return &out
}

func (b *echoBroker) attach(_ any, g grpc.ServerStream) error {
	var in []byte
	if err := g.RecvMsg(&in); err != nil {
		return err
	}
	welcome, _ := proto.Marshal(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Welcome{
		Welcome: &spanwirev1.Welcome{Replica: "r", FrameWindow: 2, MaxFrameBytes: 4 << 20, Window: 8192}}})
	if err := g.SendMsg(&welcome); err != nil {
		return err
	}
	chunk := map[int][]byte{}
	get := func(n int) []byte { // prebuilt; ids repeat, which the instance does not look at
		if chunk[n] == nil {
			chunk[n] = b.dispatches(b.sockets, n)
		}
		return chunk[n]
	}
	var sequence, answered, confirmed uint64
	credit, sent, got, owed := b.outstanding, 0, 0, false
	first := b.dispatches(0, b.outstanding)
	for got < b.total {
		for credit > 0 && sequence-confirmed < 2 && sent < b.total {
			n := min(credit, b.total-sent)
			data := first
			if sent > 0 || n != b.outstanding {
				data = get(n)
			}
			sequence++
			if err := g.SendMsg(b.frame(sequence, answered, data)); err != nil {
				return err
			}
			credit -= n
			sent += n
			owed = false
		}
		if owed { // no batch could carry the answer
			ack, _ := proto.Marshal(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_FrameAck{
				FrameAck: &spanwirev1.FrameAck{Answered: answered}}})
			if err := g.SendMsg(&ack); err != nil {
				return err
			}
			owed = false
		}
		if err := g.RecvMsg(&in); err != nil {
			return err
		}
		b.frames.Add(1)
		f, _, _ := wire.Next(in)
		for data := f.Data; len(data) > 0; {
			f2, rest, _ := wire.Next(data)
			data = rest
			switch {
			case f.Key == 3<<3|wire.Length:
				confirmed = f2.Number
			case f2.Key == 1<<3|wire.Varint && f.Key == 2<<3|wire.Length:
				answered, owed = f2.Number, true
			case f2.Key == 2<<3|wire.Varint:
				confirmed = f2.Number
			case f2.Key == 3<<3|wire.Length:
				if f2.Data[0] == 0x0a { // a result, not a command
					credit++
					got++
				}
			}
		}
	}
	close(b.done)
	return nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchmarkEcho(b *testing.B, sockets, outstanding int, setup func(svc *Service)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	e := &echoBroker{outstanding: min(outstanding, b.N), sockets: sockets, total: b.N, done: make(chan struct{})}
	server := grpc.NewServer(grpc.ForceServerCodecV2(bytesCodec{}), grpc.InitialWindowSize(4<<20), grpc.InitialConnWindowSize(4<<20))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "spanwire.v1.HandlerService", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Attach", Handler: e.attach, ServerStreams: true, ClientStreams: true}},
	}, e)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	svc := NewService("bench", Options{Address: listener.Addr().String(), Logger: slog.New(slog.DiscardHandler), OneReplica: true})
	setup(svc)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	go func() { defer close(ended); _ = svc.Run(ctx) }()
	<-e.done
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/float64(max(e.frames.Load(), 1)), "events/frame")
	cancel()
	server.Stop()
	<-served
	<-ended
}

// The shape of the budget: 1,000 clients with 4 events outstanding each; the handler acks with what
// it was given.
func BenchmarkEcho_Ack(b *testing.B) {
	benchmarkEcho(b, 1000, 1024, func(svc *Service) {
		svc.On("my event", func(_ context.Context, e *Event) error { return e.Ack(e.Args()[0]) })
	})
}

// The handler decodes, emits an answer and acks.
func BenchmarkEcho_EmitAndAck(b *testing.B) {
	benchmarkEcho(b, 1000, 1024, func(svc *Service) {
		svc.On("my event", func(_ context.Context, e *Event) error {
			var in struct{ Data string }
			if err := e.Bind(&in); err != nil {
				return err
			}
			return e.Socket.Emit("my response", in)
		})
	})
}

// One event at a time: nothing can be batched.
func BenchmarkEcho_Lone(b *testing.B) {
	benchmarkEcho(b, 1, 1, func(svc *Service) {
		svc.On("my event", func(_ context.Context, e *Event) error { return e.Ack(e.Args()[0]) })
	})
}
