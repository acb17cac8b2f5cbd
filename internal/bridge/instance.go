// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// Instance is one handler process on one stream. It implements dispatch.Instance.
type Instance struct {
	// Fixed at birth.
	server     *Server
	stream     grpc.ServerStream
	register   *sio.Register
	attachment *dispatch.Attachment
	log        *slog.Logger
	ackWaits   chan struct{} // one for each emit that waits for acks

	out outbox

	ending sync.Once
	ended  chan struct{} // closed when the stream is to end
	err    error         // the stream's status; written before ended is closed
	work   sync.WaitGroup

	stallMu sync.Mutex // guards the timer
	stall   *time.Timer
}

func newInstance(s *Server, stream grpc.ServerStream, reg *sio.Register) *Instance {
	return &Instance{
		server: s, stream: stream, register: reg,
		log:      s.log.With("service", reg.Service, "instance", reg.Instance),
		ackWaits: make(chan struct{}, s.o.MaxAckWaits),
		out:      outbox{maxChunk: s.o.MaxFrame - batchOverhead},
		ended:    make(chan struct{}),
	}
}

// Queue implements dispatch.Instance.
func (in *Instance) Queue(d *dispatch.Dispatch) {
	var intro []byte
	if d.Introduce {
		intro = introduction(d.Socket.Introduction(), in.register.Credentials)
	}
	l := layout(d, intro)
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	if in.out.closed {
		return
	}
	b := in.out.tailLocked(l.whole)
	*b = appendDispatch(*b, d, &l, intro)
}

// answer queues the answer to a command.
func (in *Instance) answer(a *spanwirev1.Answer) {
	data, err := proto.Marshal(a)
	if err != nil || bytesSize(len(data)) > in.out.maxChunk {
		data, _ = proto.Marshal(&spanwirev1.Answer{Id: a.GetId(), Sockets: a.GetSockets(), Missing: a.GetMissing(), Fault: &spanwirev1.Fault{
			Code:    spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE,
			Message: "the acks are larger than a frame may be (setting max-frame)",
		}})
	}
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	if !in.out.closed {
		b := in.out.tailLocked(bytesSize(len(data)))
		*b = append(appendHead(*b, batchAnswers, len(data)), data...)
	}
}

// queueFrame queues a frame that is no batch.
func (in *Instance) queueFrame(m *spanwirev1.AttachResponse) {
	const most = 64 // an instance that reads nothing loses notices, which are for logs
	data, err := proto.Marshal(m)
	if err != nil {
		return
	}
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	if !in.out.closed && len(in.out.frames) < most {
		in.out.frames = append(in.out.frames, data)
	}
}

// fault tells the instance about something that no answer can carry.
func (in *Instance) fault(code spanwirev1.FaultCode, message string) {
	in.server.metrics.Faults.Inc()
	in.log.Warn("an instance did something odd", "code", code.String(), "message", message)
	in.queueFrame(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{
		Fault: &spanwirev1.Fault{Code: code, Message: message},
	}})
}

// inlineBytes is how many bytes may be on their way for a send from the caller's goroutine: gRPC takes so much for a stream without
// waiting for its peer. More is sent by a goroutine that may wait.
const inlineBytes = 64 << 10

// Flush implements dispatch.Instance. It returns at once when somebody else is sending, who sees what was queued meanwhile.
func (in *Instance) Flush() {
	o := &in.out
	o.mu.Lock()
	if o.sending {
		o.mu.Unlock()
		return
	}
	if len(o.chunks) > 0 && o.flying+len(o.chunks[0]) > inlineBytes {
		o.sending = true
		in.work.Add(1)
		o.mu.Unlock()
		go func() { // ends when what may be sent was sent, or with the stream
			defer in.work.Done()
			o.mu.Lock()
			in.sendLocked()
		}()
		return
	}
	in.sendLocked()
}

// sendLocked sends what may be sent, and unlocks.
func (in *Instance) sendLocked() {
	o := &in.out
	for {
		f, ok := o.takeLocked()
		if !ok {
			break
		}
		o.sending = true
		full := o.sent-o.answered >= frameWindow
		o.mu.Unlock()
		if full {
			in.watch()
		}
		err := in.stream.SendMsg(&f)
		in.server.metrics.FramesOut.Inc()
		o.mu.Lock()
		if f.head != nil {
			o.reuseLocked(f.body)
		}
		if err != nil { // the stream has ended; its reader is told why
			break
		}
	}
	o.sending = false
	o.mu.Unlock()
}

// watch looks whether the window that is full now still is after the stall timeout.
func (in *Instance) watch() {
	in.stallMu.Lock()
	defer in.stallMu.Unlock()
	if in.stall == nil {
		sent, _ := in.out.full()
		// Ends with the instance, or when it answered.
		in.stall = time.AfterFunc(in.server.o.StallTimeout, func() { in.stalled(sent) })
	}
}

func (in *Instance) stalled(since uint64) {
	in.stallMu.Lock()
	in.stall = nil
	in.stallMu.Unlock()
	sent, full := in.out.full()
	switch {
	case full && sent == since:
		in.server.metrics.Stalled.Inc()
		in.end(status.Error(codes.DeadlineExceeded, fmt.Sprintf(
			"the instance answered no frame for %v (setting stall-timeout); its events go to other instances", in.server.o.StallTimeout)))
	case full:
		in.watch()
	}
}

// end makes the stream end with the status; the first call counts.
func (in *Instance) end(err error) {
	in.ending.Do(func() {
		in.err = err
		close(in.ended)
	})
}

// close frees what the instance holds. Its stream has ended.
func (in *Instance) close() {
	in.out.close()
	in.stallMu.Lock()
	if in.stall != nil {
		in.stall.Stop()
	}
	in.stallMu.Unlock()
}
