// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Emit implements spanwire.v1.EmitterService.
func (s *Server) Emit(ctx context.Context, m *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	s.metrics.Emits.Inc()
	a, replayed, err := s.execute(ctx, m.GetIdempotencyKey(), &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: m.GetEmit()}})
	if err != nil {
		return nil, grpcError(err)
	}
	// What did nothing has no other place than the status. A status would say nothing of what a
	// partial delivery did, and callers, and proxies on their way, take UNAVAILABLE for a call that
	// may be made again.
	partial := a.GetFault()
	if code := partial.GetCode(); partial != nil && code != spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE && len(a.GetSilentReplicas()) == 0 {
		return nil, status.Error(codeOf(code), partial.GetMessage())
	}
	return &spanwirev1.EmitResponse{
		Sockets: a.GetSockets(), Acks: a.GetAcks(), Missing: a.GetMissing(), SilentReplicas: a.GetSilentReplicas(),
		Replayed: replayed, Fault: partial, OtherReplicas: a.GetOtherReplicas(), Dropped: a.GetDropped(),
	}, nil
}

// Execute implements spanwire.v1.EmitterService.
func (s *Server) Execute(ctx context.Context, m *spanwirev1.ExecuteRequest) (*spanwirev1.ExecuteResponse, error) {
	s.metrics.Emits.Inc()
	a, replayed, err := s.execute(ctx, m.GetIdempotencyKey(), m.GetCommand())
	if err != nil {
		return nil, grpcError(err)
	}
	return &spanwirev1.ExecuteResponse{Answer: a, Replayed: replayed}, nil
}

// execute carries out a command of somebody without a stream, who has asked for no credentials;
// under an idempotency key, once. An error means that the command makes no sense, or that it could
// not be waited for.
func (s *Server) execute(ctx context.Context, key string, m *spanwirev1.Command) (a *spanwirev1.Answer, replayed bool, err error) {
	o, err := s.orderOf(m, s.askerIn(ctx))
	switch {
	case err != nil:
		return nil, false, err
	case key == "":
		return s.carryOut(ctx, &o), false, nil
	}
	return s.keyed(ctx, key, m, &o)
}

// codeOf is the status for a fault that has no other place.
func codeOf(f spanwirev1.FaultCode) codes.Code {
	switch f {
	case spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE:
		return codes.Unavailable
	case spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE:
		return codes.ResourceExhausted
	case spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND:
		return codes.NotFound
	case spanwirev1.FaultCode_FAULT_CODE_CONFLICT:
		return codes.AlreadyExists
	case spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED:
		return codes.PermissionDenied
	}
	return codes.InvalidArgument
}
