// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// echoPeer answers each dispatch, as cheaply as can be, so that what is measured is the broker and
// gRPC.
func echoPeer(h *house) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		spanwirev1.HandlerService_Attach_FullMethodName, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		h.t.Fatal(err)
	}
	reg := registration()
	reg.Window = 16384
	register, _ := proto.Marshal(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: reg}})
	var in []byte
	if stream.SendMsg(&register) != nil || stream.RecvMsg(&in) != nil {
		h.t.Fatal("no welcome")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sequence := uint64(1); stream.RecvMsg(&in) == nil; {
			f, _, _ := wire.Next(in)
			if f.Key>>3 != wire.FrameBatch {
				continue
			}
			var items []byte
			var taken uint64
			wire.Each(f.Data, func(f wire.Field) error {
				switch f.Key >> 3 {
				case wire.BatchSequence:
					taken = f.Number
				case wire.BatchItems:
					d, _, _ := wire.Next(f.Data)
					result := protowire.AppendFixed64([]byte{wire.ResultDispatchID<<3 | 1}, d.Number)
					result = append(result, "\x12\x09\x0a\x07[\"got\"]"...)
					items = wire.AppendHead(items, wire.BatchItems, wire.BytesSize(len(result)))
					items = append(wire.AppendHead(items, wire.ActionResult, len(result)), result...)
				}
				return nil
			})
			out := append(appendBatchHead(nil, sequence, taken, len(items)), items...)
			sequence++
			if stream.SendMsg(&out) != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// echoSocket emits its next event when the ack of the last is written.
type echoSocket struct {
	browser
	left  *atomic.Int64
	ready int
	done  chan struct{}
}

func (s *echoSocket) Acknowledge(sio.AckID, sio.Ack) { s.ready++ }

func (s *echoSocket) Flush() {
	for ; s.ready > 0; s.ready-- {
		switch n := s.left.Add(-1); {
		case n >= 0:
			s.binding.Dispatch(context.Background(), &sio.Event{Name: "my event", Args: echoArgs}, 1, true)
		case n == -1:
			close(s.done)
		}
	}
}

var echoArgs = []byte(`[{"data":"hello there, this is a message"}]`)

// BenchmarkServer_Attach is one event and its ack over real loopback gRPC, with events of many
// sockets outstanding.
func BenchmarkServer_Attach(b *testing.B) {
	for _, outstanding := range []int{1, 64, 4000} {
		b.Run(fmt.Sprint("outstanding=", outstanding), func(b *testing.B) { benchmarkAttach(b, outstanding) })
	}
}

func benchmarkAttach(b *testing.B, outstanding int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	h := startHouse(b, Options{}, dispatch.Options{}, l, func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
	end := echoPeer(h)
	left, done := new(atomic.Int64), make(chan struct{})
	sockets := make([]*echoSocket, min(outstanding, 1000))
	for i := range sockets {
		s := &echoSocket{browser: browser{id: sio.NewSocketID("repl01"), handshake: &sio.Handshake{URL: "/socket.io/"}}, left: left, done: done}
		s.binding = h.dispatcher.ConnectAfter(nil, s, func(dispatch.Decision) {})
		sockets[i] = s
	}
	first := min(outstanding, b.N)
	left.Store(int64(b.N - first)) // the acks of the last events find nothing left
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	for i := range first {
		s := sockets[i%len(sockets)]
		s.binding.Dispatch(context.Background(), &sio.Event{Name: "my event", Args: echoArgs}, 1, true)
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
	end()
	h.stop()
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
