// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// Attach implements spanwire.v1.HandlerService: the life of one instance.
func (s *Server) Attach(stream grpc.BidiStreamingServer[spanwirev1.AttachRequest, spanwirev1.AttachResponse]) error {
	reg, err := s.awaitRegister(stream)
	if err != nil {
		s.metrics.Rejected.Inc()
		return err
	}
	if err := callerFromContext(stream.Context()).MayRegister(reg.Service, reg.Namespaces); err != nil {
		s.metrics.Unauthorized.Inc()
		s.metrics.Rejected.Inc()
		return commands.GRPCError(err)
	}
	in := newInstance(s, stream, reg)
	defer in.cancel()
	if err := s.add(in); err != nil {
		s.metrics.Rejected.Inc()
		return err
	}
	defer s.remove(in)
	// who may call may have changed since, and from now on CallersChanged sees this stream
	if err := in.identify(); err != nil {
		s.metrics.Rejected.Inc()
		return commands.GRPCError(err)
	}
	a, err := in.welcome()
	if err != nil {
		s.metrics.Rejected.Inc()
		return err
	}
	s.metrics.Attached.Inc()
	// The reader, and a goroutine that sends patiently, end when this call has returned, since gRPC
	// then ends the stream. s.running waits for them.
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		in.end(in.read(a))
	}()
	select {
	case <-in.ended:
	case <-a.Done():
		in.end(status.Error(codes.Aborted, "a newer stream of this instance took the place of this one"))
		<-in.ended
	}
	a.Detach()
	if a.Retires() {
		s.retireElsewhere(in)
	}
	in.close()
	in.log.Log(context.Background(), endLevel(in.err), "an instance's stream ended", "status", status.Convert(in.err).Message())
	return in.err
}

// endLevel is that of the line of a stream's end: a warning where the instance has something to
// change.
func endLevel(err error) slog.Level {
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.InvalidArgument, codes.DeadlineExceeded:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// unread names the setting where gRPC refused a frame for its size.
func (s *Server) unread(err error) error {
	if status.Code(err) != codes.ResourceExhausted {
		return err
	}
	return status.Errorf(codes.ResourceExhausted, "a frame is larger than the setting max-frame allows (%d bytes): %s", s.o.MaxFrame,
		status.Convert(err).Message())
}

// attached gives the attachment; nil before the welcome.
func (in *Instance) attached() *dispatch.Attachment {
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	return in.attachment
}

// welcome attaches the instance and answers its registration, before any dispatch.
func (in *Instance) welcome() (*dispatch.Attachment, error) {
	in.out.mu.Lock()
	in.out.sending = true // nothing leaves before the welcome
	in.out.mu.Unlock()
	a, err := in.server.dispatcher.Attach(in.register, in, dispatch.Local)
	if err != nil {
		return nil, commands.GRPCError(err)
	}
	o := &in.server.o
	err = in.stream.SendMsg(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Welcome{Welcome: &spanwirev1.Welcome{
		Replica:          string(o.Replica),
		Cluster:          o.Cluster,
		Version:          o.Version,
		Window:           uint32(a.Window()),
		FrameWindow:      frameWindow,
		MaxFrameBytes:    uint32(o.MaxFrame),
		HandlerTimeoutMs: uint32(max(o.HandlerTimeout, 0).Milliseconds()),
		Topology:         in.server.topology(),
		PublicUrl:        o.PublicURL,

		RefusesSocketIdRooms: !o.Commands.AllowSocketIDRooms,
		ReplicaTimeoutMs:     uint32(max(o.ReplicaTimeout, 0).Milliseconds()),
	}}})
	if err != nil {
		a.Detach()
		in.close()
		return nil, err
	}
	in.out.mu.Lock()
	in.attachment = a
	in.sendLocked(false)
	in.Flush() // gives up what was too large
	return a, nil
}

// awaitRegister takes the first frame.
func (s *Server) awaitRegister(stream grpc.ServerStream) (*sio.Register, error) {
	first := make(chan error, 1)
	var f inFrame
	s.running.Add(1)
	go func() { // ends with the frame, or with the stream
		defer s.running.Done()
		first <- stream.RecvMsg(&f)
	}()
	timer := time.NewTimer(s.o.RegisterTimeout)
	defer timer.Stop()
	select {
	case err := <-first:
		if errors.Is(err, io.EOF) {
			return nil, status.Error(codes.InvalidArgument, "the stream ended before register was sent")
		}
		if err != nil {
			return nil, err
		}
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "no register frame came within %v (setting register-timeout)", s.o.RegisterTimeout)
	}
	var m spanwirev1.AttachRequest
	if err := proto.Unmarshal(f.data, &m); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the first frame cannot be read: %v", err)
	}
	if m.GetRegister() == nil {
		return nil, status.Error(codes.InvalidArgument, "the first frame must be register")
	}
	reg, err := registerFromProto(m.GetRegister())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return reg, nil
}

// reader is the goroutine that takes an instance's frames.
type reader struct {
	*Instance
	attachment *dispatch.Attachment
}

// read works on the instance's frames until the stream ends, and tells the stream's status.
func (in *Instance) read(a *dispatch.Attachment) error {
	r := reader{in, a}
	for {
		var f inFrame
		if err := in.stream.RecvMsg(&f); err != nil {
			if errors.Is(err, io.EOF) { // the instance said all it had to say
				return nil
			}
			return in.server.unread(err)
		}
		select {
		case <-in.ended: // for another reason; what it says now counts no more
			return nil
		default:
		}
		in.server.metrics.FramesIn.Inc()
		if err := r.take(f.data); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

// take works on one frame. An error ends the stream.
func (r reader) take(frame []byte) error {
	var arm wire.Field // the last one counts, as everywhere in a oneof
	err := wire.Each(frame, func(f wire.Field) error {
		if n := f.Key >> 3; f.Key&7 == wire.Length && n >= wire.FrameRegister && n <= wire.FrameRegistrations {
			arm = f
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("a frame cannot be read: %w", err)
	}
	switch arm.Key >> 3 {
	case wire.FrameBatch:
		return r.takeBatch(arm.Data)
	case wire.FrameAck:
		var m spanwirev1.FrameAck
		if err := proto.Unmarshal(arm.Data, &m); err != nil {
			return fmt.Errorf("a frame_ack cannot be read: %w", err)
		}
		if !r.out.answersTo(m.GetAnswered()) {
			return fmt.Errorf("frame_ack answers frame %d, which was never sent", m.GetAnswered())
		}
	case wire.FrameDrain:
		var m spanwirev1.Drain
		if err := proto.Unmarshal(arm.Data, &m); err != nil {
			return fmt.Errorf("a drain frame cannot be read: %w", err)
		}
		if m.GetRetire() {
			r.attachment.Retire()
		}
		r.drain()
	case wire.FrameRegistrations:
		r.declare(arm.Data)
	case wire.FrameRegister:
		return errors.New("register was sent twice; to change what the instance handles, send registrations")
	default:
		r.server.metrics.Unknown.Inc()
		r.fault(spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED, "this broker does not know that frame; it was skipped")
	}
	r.Flush()
	return nil
}

// declare changes what the instance handles, and answers.
func (r reader) declare(data []byte) {
	answer := new(spanwirev1.Registered)
	if err := r.redeclare(data); err != nil {
		answer.Fault = commands.FaultFromError(err)
		r.log.Warn("registrations of a handler instance rejected; the old ones stay in force", "err", err)
	}
	r.notice(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Registered{Registered: answer}})
}

func (r reader) redeclare(data []byte) error {
	var m spanwirev1.Registrations
	if err := proto.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("registrations cannot be read: %w", err)
	}
	namespaces, err := registrationsFromProto("registrations", m.GetRegistrations())
	if err != nil {
		return err
	}
	if err := r.caller.Identity().MayRegister(r.register.Service, namespaces); err != nil {
		r.server.metrics.Unauthorized.Inc()
		return err
	}
	if err := r.attachment.Declare(namespaces); err != nil {
		return err
	}
	r.Instance.declared.Store(&namespaces)
	return nil
}

// drain lets the instance finish and then ends its stream.
func (r reader) drain() {
	r.log.Info("handler instance draining")
	empty := r.attachment.Drain()
	r.server.running.Add(1)
	go func() { // ends when nothing is open any more, or with the stream
		defer r.server.running.Done()
		select {
		case <-empty:
			r.finish(r.ctx, nil)
		case <-r.ended:
		case <-r.ctx.Done():
		}
	}()
}

// takeBatch works on a batch of actions, in their order.
func (r reader) takeBatch(data []byte) error {
	var sequence, answered uint64
	err := wire.Each(data, func(f wire.Field) error {
		switch f.Key {
		case wire.BatchSequence<<3 | wire.Varint:
			sequence = f.Number
		case wire.BatchAnswered<<3 | wire.Varint:
			answered = f.Number
		case wire.BatchItems<<3 | wire.Length:
			return r.act(f.Data)
		}
		return nil
	})
	// The acks are written before the frame counts as worked on: what browsers send meanwhile goes
	// into one frame, not into many.
	r.attachment.Flush()
	if err != nil {
		return fmt.Errorf("a batch cannot be read: %w", err)
	}
	if !r.out.arrived(sequence, answered) {
		return fmt.Errorf("batch frame %d, which answers frame %d, is out of sequence, or %d before it are unanswered",
			sequence, answered, frameWindow)
	}
	r.Flush()
	return nil
}

// act carries out one action.
func (r reader) act(data []byte) error {
	f, _, err := wire.Next(data)
	switch {
	case len(data) > 0 && err != nil:
		return err
	case f.Key == wire.ActionResult<<3|wire.Length:
		return r.resolve(f.Data)
	case f.Key == wire.ActionCommand<<3|wire.Length:
		return r.command(f.Data)
	}
	r.server.metrics.Unknown.Inc()
	r.fault(spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED, "this broker does not know that action; it was skipped")
	return nil
}

func (r reader) resolve(data []byte) error {
	id, result, err := readResult(data)
	if err != nil {
		return err
	}
	depth := r.server.o.Commands.MaxDepth
	switch result.Outcome {
	case sio.Answered:
		if result.Ack.Args, err = contract.CheckPayload(result.Ack.Args, result.Ack.Attachments, depth); err != nil {
			r.fault(spanwirev1.FaultCode_FAULT_CODE_INVALID, fmt.Sprintf("the ack of dispatch %d %v; it counts as a failure", id, err))
			result = sio.Result{Outcome: sio.Failed, Message: "its ack " + err.Error()}
		}
	case sio.Refused:
		if len(result.Data) == 0 {
			break
		}
		if result.Data, err = contract.CheckJSON(result.Data, depth); err != nil {
			r.fault(spanwirev1.FaultCode_FAULT_CODE_INVALID, fmt.Sprintf("the refusal's data of dispatch %d %v; it was left out", id, err))
			result.Data = nil
		}
	case sio.Failed:
		result.Message = contract.Clip(result.Message, maxFailure)
	}
	if err := r.attachment.Resolve(id, result); err != nil {
		r.unresolved(id, err)
	}
	return nil
}

// unresolved tells the instance why a result had no effect. One that came too late is no fault of
// its protocol: it was slow, which the dispatcher has logged and counted.
func (r reader) unresolved(id sio.DispatchID, err error) {
	if sio.CodeOf(err) != sio.CodeDeadline {
		r.fault(commands.FaultFromError(err).GetCode(), fmt.Sprintf("the result of dispatch %d was dropped: %v", id, err))
		return
	}
	r.notice(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Fault{
		Fault: &spanwirev1.Fault{Code: spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, Message: err.Error()},
	}})
}

// maxFailure bounds the text of a failure, which only goes to logs.
const maxFailure = 2000
