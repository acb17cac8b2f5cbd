// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/bench/loadgen"
	"github.com/spanwire/spanwire/test/process"
)

// One of two instances is stopped, and wakes when its events have long been given to the other:
// what it says of them then reaches nobody, and it attaches again.
func TestStop(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		w := newWorld(t, p, "--stall-timeout", "5s")
		stopped, other := w.start(work), w.start(work)
		w.serving(2)
		l := w.emit(200, 600)
		l.acked(600)
		w.signal(stopped, syscall.SIGSTOP)
		w.await(w.back, 1, "spanwire_bridge_streams_total", `outcome="stalled"`)
		w.serving(1)
		before := len(w.entries(other))
		w.until("the other instance to take over", func() bool { return len(w.entries(other))-before > 1000 })
		w.signal(stopped, syscall.SIGCONT)
		w.await(w.back, 3, "spanwire_bridge_streams_total", `outcome="attached"`)
		w.serving(2)
		// Whom the instance served is served by the other now, but it is given those that come.
		come := w.emit(50, 200)
		come.acked(200)
		l.settle()
		come.settle()
		if b := w.audit(); b.redelivered == 0 {
			t.Error("the instance had nothing open when it was stopped")
		}
		again := 0
		for _, e := range w.entries(stopped) {
			if e.client >= 200 {
				again++
			}
		}
		if again == 0 {
			t.Error("the instance was given nothing after it woke")
		}
	}, "go", "python")
}

// An instance registers and never reads: its sockets are served by the other as soon as that is
// noticed. Until then the broker keeps no more of it than its settings allow, and another service
// does not notice.
func TestStuck(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		const (
			browsers = 60
			padding  = 8 << 10
			kept     = 64 + 2*browsers // what window and queues hold of such events
			slack    = 100
			memory   = 64 << 20
		)
		w := newWorld(t, p, "--stall-timeout", "5s", "--instance-window-bytes", fmt.Sprint(64*padding), "--socket-queue-bytes", fmt.Sprint(2*padding))
		w.start("CONNECTS=no")
		healthy := w.start("CONNECTS=no", "SERVICE=healthy", "EVENT=well")
		w.serving(2)
		// Without the one that is stuck, the same load shows what memory it takes.
		calm := w.emitNumbers(browsers, loadgen.Numbers{Event: "number", PerSecond: 600, Padding: padding})
		calm.acked(600)
		calm.settle()
		before := w.resident()
		w.deaf("faults", "number")
		w.serving(3)
		well := w.emitNumbers(50, loadgen.Numbers{Event: "well", PerSecond: 200})
		l := w.emitNumbers(browsers, loadgen.Numbers{Event: "number", PerSecond: 600, Padding: padding})
		w.until("a queue to be full", func() bool { return w.metric(w.front, "spanwire_dispatch_blocked_sockets") > 0 })
		peak, most, meanwhile := before, 0, well.Acked()
		w.until("the instance to be given up", func() bool {
			if w.metric(w.back, "spanwire_bridge_streams_total", `outcome="stalled"`) == 1 {
				return true
			}
			peak = max(peak, w.resident())
			// What the other service has open is not kept of this one.
			acked := well.Acked()
			sum := w.metric(w.front, "spanwire_dispatch_open_dispatches") + w.metric(w.front, "spanwire_dispatch_queued_dispatches")
			most = max(most, sum-(well.Sent()-acked))
			return false
		})
		meanwhile = well.Acked() - meanwhile
		waiting := l.Sent() - l.Acked()
		l.acked(waiting)
		l.settle()
		well.settle()
		t.Logf("while the instance was stuck: %d MiB more memory, %d events kept of %d that waited, %d of the other service acked",
			(peak-before)>>20, most, waiting, meanwhile)
		if most > kept+slack || peak-before > memory {
			t.Error("the broker keeps more than it may")
		}
		if meanwhile < 50 {
			t.Errorf("%d events of the other service were acked while the instance was stuck", meanwhile)
		}
		if b := w.audit(); b.redelivered == 0 {
			t.Error("the stuck instance was given nothing")
		}
		if len(w.entries(healthy)) != well.Sent() {
			t.Error("the other service's events were handled elsewhere")
		}
	}, "go")
}

// deaf attaches an instance that never reads its stream.
func (w *world) deaf(service, event string) {
	w.t.Helper()
	conn, err := grpc.NewClient(w.back.Services, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(func() {
		cancel()
		_ = conn.Close()
	})
	stream, err := spanwirev1.NewHandlerServiceClient(conn).Attach(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	err = stream.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: &spanwirev1.Register{
		ProtocolVersion: 1, Service: service, InstanceId: "deaf", SdkName: "faults",
		Registrations: []*spanwirev1.Registration{{Namespace: "/", Events: []string{event, "poison"}}},
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// resident is the memory of all replicas.
func (w *world) resident() (sum int64) {
	w.t.Helper()
	replicas := map[*process.Broker]bool{w.front: true, w.back: true}
	for b := range replicas {
		n, err := process.Resident(b.PID())
		if err != nil {
			w.t.Fatal(err)
		}
		sum += n
	}
	return sum
}
