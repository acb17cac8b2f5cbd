// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
)

// An instance that answers no frame is ended after the stall timeout, and its dispatches go to
// another.
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
	h := startHouse(t, Options{StallTimeout: 2 * time.Second}, dispatch.Options{QueueEvents: 100000, QueueBytes: 1 << 30}, l,
		func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		})
	p := h.attach(nil)
	b := h.connect("socket1")
	for range 60 { // more than the stream's flow control takes
		b.emit(t, 1, "chat", `["`+strings.Repeat("x", 200<<10)+`"]`)
	}
	// It answers, yet it reads nothing. The stream may have ended by then.
	p.stream.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_FrameAck{FrameAck: &spanwirev1.FrameAck{Answered: 1}}})
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

// An instance that floods commands and reads no answers, or faults and reads none, is ended and
// harms nobody.
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
