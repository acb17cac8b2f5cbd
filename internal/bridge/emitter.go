// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/commands"
)

// Emit implements spanwire.v1.EmitterService.
func (s *Server) Emit(ctx context.Context, m *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	s.metrics.Emits.Inc()
	a, replayed, err := s.execute(ctx, m.GetIdempotencyKey(), &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: m.GetEmit()}})
	if err != nil {
		return nil, commands.GRPCError(err)
	}
	// What did nothing has no other place than the status. A status would say nothing of what a
	// partial delivery did, and callers, and proxies on their way, take UNAVAILABLE for a call that
	// may be made again.
	partial := a.GetFault()
	if code := partial.GetCode(); partial != nil && code != spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE && len(a.GetSilentReplicas()) == 0 {
		return nil, commands.GRPCErrorFromFault(partial)
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
		return nil, commands.GRPCError(err)
	}
	return &spanwirev1.ExecuteResponse{Answer: a, Replayed: replayed}, nil
}

// execute carries out a command of a caller without a stream, which has asked for no credentials.
func (s *Server) execute(ctx context.Context, key string, m *spanwirev1.Command) (a *spanwirev1.Answer, replayed bool, err error) {
	return s.commands.Execute(ctx, key, m, commands.NewCaller(callerFromContext(ctx)))
}
