// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// stream is one attachment to one replica, from its welcome to its end.
type stream struct {
	// fixed at birth
	service *Service
	grpc    grpc.ClientStream
	welcome *spanwirev1.Welcome
	log     *slog.Logger
	via     string // the address of the connection
	out     outbox

	// guarded by the scheduler's mu
	detached bool              // removed from the scheduler
	replicas map[string]string // the addresses of the replicas, as announced last

	ended atomic.Bool
	// drains is set when the broker announced that it will stop.
	drains atomic.Bool
	done   chan struct{} // closed when the stream has ended
	// outdated is closed when the stream must be replaced by one with the last declaration.
	outdated chan struct{}
	// replace is called when another link attached to the same replica. It closes replaced.
	replace  func()
	replaced chan struct{}
	err      error // why the stream ended; written before done is closed

	declared declaredTo

	head [32]byte // of the frame being sent; owned by the sender

	mu      sync.Mutex // guards what follows
	lastID  uint64
	pending map[uint64]*pendingAnswer // commands without an answer yet
}

// pendingAnswer waits for an answer, which may arrive in parts.
type pendingAnswer struct {
	whole chan *spanwirev1.Answer // buffers the answer
	part  *spanwirev1.Answer      // what has arrived; nil before
}

func newStream(service *Service, via string, g grpc.ClientStream, welcome *spanwirev1.Welcome) *stream {
	const fallback = 1 << 20 // bytes of a frame, for a broker that announces no limit
	limit := int(welcome.GetMaxFrameBytes())
	if limit <= 2*batchOverhead {
		limit = fallback
	}
	replaced := make(chan struct{})
	return &stream{
		service: service,
		grpc:    g,
		welcome: welcome,
		via:     via,
		log:     service.options.Logger.With("peer", welcome.GetReplica()),
		out: outbox{
			window:   uint64(max(welcome.GetFrameWindow(), 1)),
			maxChunk: limit - batchOverhead,
			maxQueue: service.options.MaxQueue,
		},
		done:     make(chan struct{}),
		outdated: make(chan struct{}),
		replaced: replaced,
		replace:  sync.OnceFunc(func() { close(replaced) }),
		pending:  map[uint64]*pendingAnswer{},
		replicas: addressesFromProto(welcome.GetTopology()),
	}
}

// receive waits for a frame. Only the goroutine with the reader's role calls it.
func (s *stream) receive() ([]byte, error) {
	var f inFrame
	err := s.grpc.RecvMsg(&f)
	return f.data, err
}

// take handles a frame. An error is a protocol violation by the broker.
func (s *stream) take(frame []byte, r *runner) error {
	data, ok := batchFromFrame(frame)
	if !ok {
		return s.handleOther(frame)
	}
	b := &r.batch
	if err := b.read(data); err != nil {
		return fmt.Errorf("%w: %w", errBadFrame, err)
	}
	s.out.arrived(b.sequence, b.answered, len(b.dispatches) > 0)
	for _, raw := range b.answers {
		if err := s.answer(raw); err != nil {
			return err
		}
	}
	s.service.stats.dispatches.Add(uint64(len(b.dispatches)))
	s.service.scheduler.accept(s, b)
	if len(b.dispatches) == 0 {
		s.flush() // the answer may have freed a place in the window
	}
	return nil
}

// handleOther handles a frame that is not a batch.
func (s *stream) handleOther(data []byte) error {
	var m spanwirev1.AttachResponse
	if err := proto.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%w: %w", errBadFrame, err)
	}
	switch f := m.GetFrame().(type) {
	case *spanwirev1.AttachResponse_FrameAck:
		s.out.arrived(0, f.FrameAck.GetAnswered(), false)
		s.flush()
	case *spanwirev1.AttachResponse_Drain:
		s.drains.Store(true)
		s.log.Info("replica drains; attached until it ends the stream")
	case *spanwirev1.AttachResponse_Registered:
		if !s.service.registered(s, 0, f.Registered.GetFault()) {
			s.service.stats.unknown.Add(1)
		}
	case *spanwirev1.AttachResponse_Fault:
		if f.Fault.GetCode() == spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED && s.service.registered(s, 0, f.Fault) {
			return nil
		}
		s.service.stats.faults.Add(1)
		s.log.Error("broker rejected what this instance sent", faultFacts(f.Fault)...)
	case *spanwirev1.AttachResponse_Topology:
		s.service.scheduler.topologyChanged(s, addressesFromProto(f.Topology))
		s.service.learn(f.Topology)
	default:
		s.service.stats.unknown.Add(1)
	}
	return nil
}

// answer passes an answer to the command that waits for it.
func (s *stream) answer(raw []byte) error {
	var a spanwirev1.Answer
	if err := proto.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("%w: %w", errBadFrame, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[a.GetId()]
	if p == nil {
		return nil
	}
	more := a.GetMore()
	if p.part == nil {
		p.part = &a
	} else {
		proto.Merge(p.part, &a)
	}
	if !more {
		delete(s.pending, a.GetId())
		p.whole <- p.part
	}
	return nil
}

// resolve queues the result of a dispatch.
func (s *stream) resolve(id uint64, o *outcome) {
	_, _, size := resultSizes(o)
	if size > s.out.maxChunk {
		s.log.Error("ack of a handler is too large for a frame", "bytes", size, "limit", s.out.maxChunk, "setting", "max-frame")
		s.service.stats.failed.Add(1)
		o = &outcome{failed: true, message: ErrTooLarge.Error()}
		_, _, size = resultSizes(o)
	}
	if s.out.result(id, o, size) {
		s.flush()
	}
}

// ask queues a command and waits for its answer.
func (s *stream) ask(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	answer := make(chan *spanwirev1.Answer, 1)
	s.mu.Lock()
	s.lastID++
	c.id = s.lastID
	s.pending[c.id] = &pendingAnswer{whole: answer}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.pending, c.id)
		s.mu.Unlock()
	}()
	if err := s.out.command(c, s.service.options.EmitTimeout); err != nil {
		return nil, err
	}
	s.flush()
	s.service.scheduler.yield(s)
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
		return nil, ErrBrokerUnavailable
	}
}

// flush sends what is queued, as far as the frame window allows. It returns at once when another
// goroutine is sending, which also sends what was queued meanwhile.
func (s *stream) flush() {
	o := &s.out
	o.mu.Lock()
	if o.sending {
		o.mu.Unlock()
		return
	}
	for {
		f, ok := o.takeLocked(s.head[:])
		if !ok {
			break
		}
		o.sending = true
		o.mu.Unlock()
		// An error means that the stream has ended; the reader gets the reason.
		err := s.grpc.SendMsg(&f)
		o.mu.Lock()
		o.sending = false
		o.reuseLocked(f.body)
		if err != nil {
			break
		}
	}
	o.mu.Unlock()
}

// tick reports whether something can be sent now, and whether the next tick is needed.
func (s *stream) tick() (send, more bool) { return s.out.tick() }

// leave starts the drain of the stream, and retires the service if wanted. The broker sends nothing
// new, and ends the stream when the last open dispatch is resolved.
func (s *stream) leave(retire bool) {
	s.out.mu.Lock()
	s.out.drain, s.out.retire = drainWanted, retire
	s.out.mu.Unlock()
	s.flush()
}

// end is called once, by the reader. It wakes all goroutines that wait for the stream.
func (s *stream) end(err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.ended.Store(true)
	s.out.close()
	s.err = err
	close(s.done)
}

// faultFacts returns the facts of a fault for a log line. A fault of a result names the event in
// its message only.
func faultFacts(f *spanwirev1.Fault) []any {
	facts := []any{"code", f.GetCode().String(), "err", f.GetMessage()}
	if f.GetEvent() == "" && f.GetNamespace() == "" && f.GetBytes() == 0 {
		return facts
	}
	return append(facts, "event", f.GetEvent(), "namespace", cmp.Or(f.GetNamespace(), mainNamespace), "bytes", f.GetBytes())
}
