// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Emit implements spanwire.v1.EmitterService.
func (s *Server) Emit(ctx context.Context, m *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	s.metrics.Emits.Inc()
	emit, err := emitOf(m.GetEmit(), s.o.MaxDepth)
	if err != nil {
		return nil, grpcError(err)
	}
	sockets, acks, err := s.emit(ctx, m.GetEmit(), emit)
	if err != nil {
		return nil, grpcError(err)
	}
	return &spanwirev1.EmitResponse{Sockets: uint32(sockets), Acks: acksOf(acks), Missing: uint32(acks.Missing)}, nil
}

// emit carries out an emit, and waits for the acks if it wants any.
func (s *Server) emit(ctx context.Context, m *spanwirev1.Emit, emit *sio.Emit) (sockets int, acks sio.Acks, err error) {
	if !m.GetWantAcks() {
		sockets, err = s.hub.Emit(emit)
		return sockets, sio.Acks{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.ackTimeout(m))
	defer cancel()
	return s.hub.EmitWithAcks(ctx, emit)
}

// Execute implements spanwire.v1.EmitterService.
func (s *Server) Execute(ctx context.Context, m *spanwirev1.ExecuteRequest) (*spanwirev1.ExecuteResponse, error) {
	s.metrics.Emits.Inc()
	a, err := s.execute(ctx, m.GetCommand())
	if err != nil {
		return nil, grpcError(err)
	}
	return &spanwirev1.ExecuteResponse{Answer: a}, nil
}

// execute carries out a command of somebody without a stream. An error means that the command makes no sense.
func (s *Server) execute(ctx context.Context, m *spanwirev1.Command) (*spanwirev1.Answer, error) {
	const nobody = false // has asked for credentials
	if c := m.GetServerSideEmit(); c != nil {
		message, err := s.messageOf(c, sio.Addressee{})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, s.ackTimeout(c))
		defer cancel()
		acks, err := s.dispatcher.Tell(ctx, message)()
		return instanceAcksOf(&acks, err), nil
	}
	q, err := s.queryOf(m, nobody)
	if err != nil {
		return nil, err
	}
	if q != nil {
		ctx, cancel := context.WithTimeout(ctx, s.queryTimeout(m))
		defer cancel()
		collect, _ := s.hub.Query(ctx, q)
		found, err := collect()
		return foundOf(q, &found, err), nil
	}
	cmd, err := commandOf(m, s.o.MaxDepth)
	if err != nil {
		return nil, err
	}
	if emit, ok := cmd.(*sio.Emit); ok {
		return answerOf(s.emit(ctx, m.GetEmit(), emit)), nil
	}
	sockets, err := s.hub.Execute(cmd)
	return &spanwirev1.Answer{Sockets: uint32(sockets), Fault: faultOf(err)}, nil
}
