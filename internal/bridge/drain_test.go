// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
)

// An instance that drains gets nothing new, finishes, and has its stream ended with OK after its
// answers.
func TestServer_Attach_drain(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	d := p.dispatches(1)[0]
	p.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Drain{Drain: &spanwirev1.Drain{}}})
	for !h.dispatcher.Attached()[0].Draining {
		<-h.dispatcher.Changes()
	}
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
