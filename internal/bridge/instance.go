// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/sio"
)

// Instance is one handler process on one stream. It implements dispatch.Instance.
type Instance struct {
	// Fixed at birth.
	server   *Server
	stream   grpc.ServerStream
	register *sio.Register
	log      *slog.Logger
	caller   commands.Caller
	declared atomic.Pointer[[]sio.Registration] // what it may handle
	ackWaits chan struct{}                      // one for each command whose answer takes a while
	// ends with the stream, or when it is about to end: this type is the stream's life
	ctx    context.Context
	cancel context.CancelFunc

	out        outbox
	attachment *dispatch.Attachment // written once, under out.mu; nil before

	ending sync.Once
	ended  chan struct{} // closed when the stream is to end
	err    error         // the stream's status; written before ended is closed

	abandoning bool // guarded by out.mu: a goroutine drops what is too large

	stallMu sync.Mutex // guards the timer
	stall   *time.Timer

	violations loglimit.Limiter
	partials   loglimit.Limiter
}

// violationLinesPerSecond keeps the log readable when an instance violates the protocol often.
const violationLinesPerSecond = 5

func newInstance(s *Server, stream grpc.ServerStream, reg *sio.Register) *Instance {
	in := &Instance{
		server: s, stream: stream, register: reg,
		log:        s.log.With("service", reg.Service, "instance", reg.Instance),
		ackWaits:   make(chan struct{}, s.o.MaxAckWaits),
		out:        outbox{maxItem: s.o.MaxFrame - batchOverhead, maxAnswers: s.o.MaxAnswers},
		ended:      make(chan struct{}),
		violations: loglimit.Limiter{PerSecond: violationLinesPerSecond},
		partials:   loglimit.Limiter{PerSecond: 1},
	}
	in.declared.Store(&reg.Namespaces)
	in.caller.Credentials, in.caller.Sender = reg.Credentials, sio.Addressee{Service: reg.Service, Instance: reg.Instance}
	in.caller.Identify(callerFromContext(stream.Context()))
	in.ctx, in.cancel = context.WithCancel(stream.Context())
	return in
}

// Queue implements dispatch.Instance.
func (in *Instance) Queue(d *dispatch.Dispatch) {
	var intro []byte
	if d.Introduce {
		intro = introduction(d.Socket.Introduction(), in.register.Credentials)
	}
	l := layout(d, intro)
	o := &in.out
	if l.whole > o.maxItem && d.Kind == dispatch.Disconnected {
		bare := *d // that the socket is gone matters more than where it was
		bare.Rooms = nil
		d = &bare
		l = layout(d, intro)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
	case l.whole > o.maxItem:
		o.tooLarge = append(o.tooLarge, d.ID) // Flush gives it up
	default:
		c := o.roomLocked(l.whole)
		c.data = appendDispatch(c.data, d, &l, intro)
	}
}

// Release implements dispatch.Instance.
func (in *Instance) Release(id sio.SocketID) {
	o := &in.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		c := o.roomLocked(wire.BytesSize(len(id)))
		c.data = append(wire.AppendHead(c.data, wire.BatchReleased, len(id)), id...)
	}
}

// notice queues a frame that is no batch.
func (in *Instance) notice(m *spanwirev1.AttachResponse) {
	data, err := proto.Marshal(m)
	if err != nil {
		return
	}
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	in.out.noticeLocked(data)
}

// fault tells the instance about something that no answer can carry.
func (in *Instance) fault(code spanwirev1.FaultCode, message string) {
	in.reportFault(&spanwirev1.Fault{Code: code, Message: message})
}

func (in *Instance) reportFault(f *spanwirev1.Fault) {
	in.server.metrics.Violations.Inc()
	if ok, suppressed := in.violations.Allow(); ok {
		args := []any{"status", faultName(f.GetCode()), "reason", f.GetMessage(), "suppressed", suppressed}
		if f.GetBytes() > 0 {
			args = append(args, "event", f.GetEvent(), "namespace", f.GetNamespace(), "bytes", f.GetBytes())
		}
		in.log.Warn("protocol violation by handler instance", args...)
	}
	in.notice(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{Fault: f}})
}

// partial reports commands that nobody waits for and that may not have reached every replica. It is
// no fault of the instance, and as long as NATS is away it is so for each command: so it is
// reported once in a while, here and there.
func (in *Instance) partial(f *spanwirev1.Fault) {
	in.server.metrics.Violations.Inc()
	if ok, suppressed := in.partials.Allow(); ok {
		in.log.Warn("partial delivery of a handler's command", "reason", f.GetMessage(), "suppressed", suppressed)
		in.notice(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{Fault: f}})
	}
}

// Flush implements dispatch.Instance. It returns at once when another goroutine is sending, which
// sees what was queued meanwhile.
func (in *Instance) Flush() {
	in.abandon()
	in.out.mu.Lock()
	if in.out.sending {
		in.out.mu.Unlock()
		return
	}
	in.sendLocked(false)
}

// abandon gives up the dispatches that no frame can carry. Giving one up may queue the next, so
// only one goroutine does.
func (in *Instance) abandon() {
	o := &in.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.tooLarge) > 0 && in.attachment != nil && !in.abandoning {
		list := o.tooLarge
		o.tooLarge, in.abandoning = nil, true
		o.mu.Unlock()
		for _, id := range list {
			in.attachment.Abandon(id, "it is larger than a frame may be (setting max-frame)")
		}
		o.mu.Lock()
		in.abandoning = false
	}
}

// sendLocked sends what may be sent, and unlocks. Unless it is patient, it leaves what gRPC may
// make it wait for to a goroutine that is.
func (in *Instance) sendLocked(patient bool) {
	o := &in.out
	for {
		f, next := o.takeLocked(patient)
		if next == mustWait {
			in.sendPatientlyLocked()
			return
		}
		if next == nothing {
			break
		}
		o.sending = true
		watch := patient || o.fullLocked()
		o.mu.Unlock()
		if watch {
			in.watch(in.server.o.StallTimeout)
		}
		err := in.stream.SendMsg(&f)
		in.server.metrics.FramesOut.Inc()
		o.mu.Lock()
		if f.reusable {
			o.reuseLocked(f.body)
		}
		if err != nil { // the stream has ended; its reader gets the reason
			break
		}
	}
	o.sending = false
	o.idleLocked()
	o.mu.Unlock()
}

// sendPatientlyLocked hands the sending to a goroutine, and unlocks.
func (in *Instance) sendPatientlyLocked() {
	o := &in.out
	o.sending, o.sentAt = true, time.Now()
	in.server.running.Add(1)
	o.mu.Unlock()
	// ends when what may be sent was sent, or with the stream, which the stall timeout ends if need
	// be
	go func() {
		defer in.server.running.Done()
		o.mu.Lock()
		in.sendLocked(true)
	}()
}

// watch looks after a while whether the instance still takes and answers frames.
func (in *Instance) watch(after time.Duration) {
	in.stallMu.Lock()
	defer in.stallMu.Unlock()
	if in.stall == nil {
		// ends with the instance, or when there is nothing to look for
		in.stall = time.AfterFunc(after, in.look)
	}
}

func (in *Instance) look() {
	in.stallMu.Lock()
	in.stall = nil
	in.stallMu.Unlock()
	stalled, again := in.out.stalled(in.server.o.StallTimeout)
	switch {
	case stalled:
		in.server.metrics.Stalled.Inc()
		in.end(status.Error(codes.DeadlineExceeded, fmt.Sprintf(
			"the instance took or answered no frame for %v (setting stall-timeout); its events go to other instances", in.server.o.StallTimeout)))
	case again > 0:
		in.watch(again)
	}
}

// end makes the stream end with the status; the first call counts.
func (in *Instance) end(err error) {
	in.ending.Do(func() {
		in.err = err
		close(in.ended)
	})
}

// finish ends the stream when all that is queued was sent, or cannot be sent in time.
func (in *Instance) finish(ctx context.Context, err error) {
	timer := time.NewTimer(in.server.o.StallTimeout)
	defer timer.Stop()
	select {
	case <-in.out.whenIdle():
	case <-in.ended:
	case <-ctx.Done():
	case <-timer.C:
	}
	in.end(err)
}

// close frees what the instance holds. Its stream is about to end.
func (in *Instance) close() {
	in.cancel()
	in.out.close()
	in.stallMu.Lock()
	defer in.stallMu.Unlock()
	if in.stall != nil {
		in.stall.Stop()
	}
}
