// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
	"github.com/spanwire/spanwire/internal/trace"
)

// Tail streams what happens on this replica to a caller who follows it. Package trace selects and
// queues, so that a slow caller holds nothing up.

// maxTraceEvents bounds those in one response: each has some KiB at most.
const maxTraceEvents = 64

// Tail implements spanwire.v1.EmitterService.
func (s *Server) Tail(m *spanwirev1.TailRequest, stream grpc.ServerStreamingServer[spanwirev1.TailResponse]) error {
	if ns := m.GetNamespace(); ns != "" {
		if err := contract.CheckNamespace("tail", sio.Namespace(ns)); err != nil {
			return commands.GRPCError(err)
		}
	}
	if err := s.mayFollow(stream.Context(), sio.Namespace(m.GetNamespace())); err != nil {
		return err
	}
	room := sio.Room(m.GetRoom())
	follower, err := s.o.Board.Follow(trace.Filter{
		Namespace: sio.Namespace(m.GetNamespace()), Socket: sio.SocketID(m.GetSocketId()), Room: room, Service: sio.ServiceName(m.GetService()),
	})
	if err != nil {
		return commands.GRPCError(err)
	}
	defer follower.Close()
	if err := stream.Send(&spanwirev1.TailResponse{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	missed := uint64(0)
	for {
		entries, err := follower.Next(ctx)
		if err != nil {
			if s.life.Err() != nil {
				return status.Error(codes.Unavailable, "this replica has stopped; its sockets went to others")
			}
			return err
		}
		entries, missed = s.inRoom(entries, room, missed)
		if err := s.mayFollow(ctx, sio.Namespace(m.GetNamespace())); err != nil {
			return err
		}
		for part := range slices.Chunk(entries, maxTraceEvents) {
			if err := stream.Send(tailResponse(part)); err != nil {
				return err
			}
		}
	}
}

// mayFollow tells whether the caller may see what happens, by what is said of it now. The error is
// a status.
func (s *Server) mayFollow(ctx context.Context, ns sio.Namespace) error {
	ctx, err := authInterceptor{callers: s.o.Callers}.reauthenticate(ctx)
	if err != nil {
		return err
	}
	if ns == "" {
		err = callerFromContext(ctx).Everywhere(auth.Query)
	} else {
		err = callerFromContext(ctx).May(auth.Query, ns, false)
	}
	if err != nil {
		s.metrics.Unauthorized.Inc()
		return commands.GRPCError(err)
	}
	return nil
}

// inRoom leaves out what happened to sockets that are not in the room. Rooms that keep what happens
// cannot look for that themselves. What was missed before them is reported with the next.
func (s *Server) inRoom(entries []trace.Entry, room sio.Room, missedBefore uint64) (kept []trace.Entry, missed uint64) {
	kept, missed = entries[:0], missedBefore
	for _, e := range entries {
		e.Missed += missed
		if e.Uncertain && !slices.Contains(s.hub.Rooms(e.Namespace, e.Socket), room) {
			missed = e.Missed
			continue
		}
		missed = 0
		kept = append(kept, e)
	}
	return kept, missed
}

func tailResponse(entries []trace.Entry) *spanwirev1.TailResponse {
	r := &spanwirev1.TailResponse{Occurrences: make([]*spanwirev1.Occurrence, len(entries))}
	for i := range entries {
		e := &entries[i]
		r.Occurrences[i] = contract.TraceEventToProto(&e.TraceEvent, e.Time)
		r.Occurrences[i].Missed = e.Missed
	}
	return r
}
