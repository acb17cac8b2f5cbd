// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Emit implements spanwire.v1.EmitterService.
func (s *Server) Emit(ctx context.Context, m *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	s.metrics.Emits.Inc()
	emit, err := emitOf(m.GetEmit(), s.o.MaxDepth)
	if err != nil {
		return nil, grpcError(err)
	}
	if !m.GetEmit().GetWantAcks() {
		sockets, err := s.hub.Emit(emit)
		if err != nil {
			return nil, grpcError(err)
		}
		return &spanwirev1.EmitResponse{Sockets: uint32(sockets)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.ackTimeout(m.GetEmit()))
	defer cancel()
	sockets, acks, err := s.hub.EmitWithAcks(ctx, emit)
	if err != nil {
		return nil, grpcError(err)
	}
	return &spanwirev1.EmitResponse{Sockets: uint32(sockets), Acks: acksOf(acks), Missing: uint32(acks.Missing)}, nil
}
