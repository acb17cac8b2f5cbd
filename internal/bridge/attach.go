// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// Attach implements spanwire.v1.HandlerService: the life of one instance.
func (s *Server) Attach(stream grpc.BidiStreamingServer[spanwirev1.AttachRequest, spanwirev1.AttachResponse]) error {
	reg, err := s.awaitRegister(stream)
	if err != nil {
		s.metrics.Refused.Inc()
		return err
	}
	in := newInstance(s, stream, reg)
	if err := s.add(in); err != nil {
		return err
	}
	defer s.remove(in)
	if in.attachment, err = in.welcome(); err != nil {
		s.metrics.Refused.Inc()
		return err
	}
	s.metrics.Attached.Inc()
	in.log.Info("an instance attached", "sdk", reg.SDKName, "version", reg.SDKVersion, "window", in.attachment.Window())
	// The reader ends when this call has returned: gRPC then ends the stream. s.running waits for it.
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		in.end(in.read())
	}()
	<-in.ended
	in.attachment.Detach()
	in.close()
	in.work.Wait()
	in.log.Info("an instance detached", "status", status.Convert(in.err).Message())
	return in.err
}

// welcome attaches the instance and queues the answer to its registration, before any dispatch.
func (in *Instance) welcome() (*dispatch.Attachment, error) {
	o := &in.server.o
	in.out.mu.Lock()
	in.out.sending = true // nothing leaves before the welcome
	in.out.mu.Unlock()
	a, err := in.server.dispatcher.Attach(in.register, in, dispatch.Local)
	if err != nil {
		return nil, grpcError(err)
	}
	err = in.stream.SendMsg(&spanwirev1.AttachResponse{Frame: &spanwirev1.AttachResponse_Welcome{Welcome: &spanwirev1.Welcome{
		Replica:          string(o.Replica),
		Cluster:          o.Cluster,
		Version:          o.Version,
		Window:           uint32(a.Window()),
		FrameWindow:      frameWindow,
		MaxFrameBytes:    uint32(o.MaxFrame),
		HandlerTimeoutMs: uint32(o.HandlerTimeout.Milliseconds()),
		Topology:         in.server.topology(),
		PublicUrl:        o.PublicURL,
	}}})
	if err != nil {
		a.Detach()
		return nil, err
	}
	in.out.mu.Lock()
	in.sendLocked()
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
	reg, err := registerOf(m.GetRegister())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return reg, nil
}

// read works on the instance's frames until the stream ends, and tells the stream's status.
func (in *Instance) read() error {
	for {
		var f inFrame
		if err := in.stream.RecvMsg(&f); err != nil {
			if errors.Is(err, io.EOF) { // the instance said all it had to say
				return nil
			}
			return err
		}
		in.server.metrics.FramesIn.Inc()
		if err := in.take(f.data); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

// take works on one frame. An error ends the stream.
func (in *Instance) take(frame []byte) error {
	f, rest, err := next(frame)
	if err != nil {
		return fmt.Errorf("a frame cannot be read: %w", err)
	}
	if f.key == frameBatch<<3|length && len(rest) == 0 {
		return in.takeBatch(f.data)
	}
	var m spanwirev1.AttachRequest
	if err := proto.Unmarshal(frame, &m); err != nil {
		return fmt.Errorf("a frame cannot be read: %w", err)
	}
	switch x := m.GetFrame().(type) {
	case *spanwirev1.AttachRequest_FrameAck:
		if !in.out.arrived(0, x.FrameAck.GetAnswered()) {
			return errors.New("frame_ack answers a frame that was never sent")
		}
		in.Flush()
	case *spanwirev1.AttachRequest_Drain:
		in.drain()
	case *spanwirev1.AttachRequest_Register:
		return errors.New("register was sent twice; open another stream to register anew")
	default:
		in.server.metrics.Unknown.Inc()
		in.fault(spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED, "this broker does not know that frame; it was skipped")
		in.Flush()
	}
	return nil
}

// drain lets the instance finish and then ends its stream.
func (in *Instance) drain() {
	in.log.Info("an instance drains")
	empty := in.attachment.Drain()
	in.work.Add(1)
	go func() { // ends when nothing is open any more, or with the stream
		defer in.work.Done()
		select {
		case <-empty:
			in.end(nil)
		case <-in.ended:
		}
	}()
}

// takeBatch works on a batch of actions, in their order.
func (in *Instance) takeBatch(data []byte) error {
	var sequence, answered uint64
	err := each(data, func(f field) error {
		switch f.key {
		case batchSequence<<3 | varint:
			sequence = f.number
		case batchAnswered<<3 | varint:
			answered = f.number
		case batchItems<<3 | length:
			return in.act(f.data)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("a batch cannot be read: %w", err)
	}
	// The acks are written before the frame counts as worked on: what browsers send meanwhile goes into one frame, not into many.
	in.attachment.Flush()
	if sequence == 0 || !in.out.arrived(sequence, answered) {
		return fmt.Errorf("batch frame %d, which answers frame %d, is out of sequence", sequence, answered)
	}
	in.Flush()
	return nil
}

// act carries out one action.
func (in *Instance) act(data []byte) error {
	f, _, err := next(data)
	switch {
	case len(data) > 0 && err != nil:
		return err
	case f.key == actionResult<<3|length:
		return in.resolve(f.data)
	case f.key == actionCommand<<3|length:
		return in.command(f.data)
	}
	in.server.metrics.Unknown.Inc()
	in.fault(spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED, "this broker does not know that action; it was skipped")
	return nil
}

func (in *Instance) resolve(data []byte) error {
	id, r, err := readResult(data)
	if err != nil {
		return err
	}
	switch {
	case r.Outcome == sio.Answered && !jsonArray(r.Ack.Args):
		r = sio.Result{Outcome: sio.Failed, Message: "its ack is no JSON array"}
		in.fault(spanwirev1.FaultCode_FAULT_CODE_INVALID, fmt.Sprintf("the ack of dispatch %d is no well-formed JSON array; it was dropped", id))
	case r.Outcome == sio.Refused && len(r.Data) > 0 && !json.Valid(r.Data):
		r.Data = nil
		in.fault(spanwirev1.FaultCode_FAULT_CODE_INVALID, fmt.Sprintf("the refusal's data of dispatch %d is no well-formed JSON; it was left out", id))
	}
	if err := in.attachment.Resolve(id, r); err != nil {
		in.fault(spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, err.Error())
	}
	return nil
}

// jsonArray tells whether the bytes are a well-formed JSON array, or nothing, which means an empty one.
func jsonArray(b []byte) bool {
	return len(b) == 0 || (b[0] == '[' && json.Valid(b))
}

// grpcError is this door's table of codes.
func grpcError(err error) error {
	table := map[sio.Code]codes.Code{
		sio.CodeInvalid:     codes.InvalidArgument,
		sio.CodeTooLarge:    codes.ResourceExhausted,
		sio.CodeNotFound:    codes.NotFound,
		sio.CodeConflict:    codes.AlreadyExists,
		sio.CodeUnavailable: codes.Unavailable,
		sio.CodeDeadline:    codes.DeadlineExceeded,
		sio.CodeClosed:      codes.Unavailable,
	}
	code, ok := table[sio.CodeOf(err)]
	if !ok {
		code = codes.Internal
	}
	return status.Error(code, err.Error())
}
