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
	"github.com/spanwire/spanwire/internal/sio"
	"github.com/spanwire/spanwire/internal/trace"
)

// mostOccurrences bounds those in one response: each has some KiB at most.
const mostOccurrences = 64

// Tail implements spanwire.v1.EmitterService.
func (s *Server) Tail(m *spanwirev1.TailRequest, stream grpc.ServerStreamingServer[spanwirev1.TailResponse]) error {
	if ns := m.GetNamespace(); ns != "" {
		if err := checkNamespace("tail", sio.Namespace(ns)); err != nil {
			return grpcError(err)
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
		return grpcError(err)
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
		for part := range slices.Chunk(entries, mostOccurrences) {
			if err := stream.Send(tailResponse(part)); err != nil {
				return err
			}
		}
	}
}

// mayFollow tells whether the caller may see what happens, by what is said of it now. The error is
// a status.
func (s *Server) mayFollow(ctx context.Context, ns sio.Namespace) error {
	ctx, err := porter{callers: s.o.Callers}.again(ctx)
	if err != nil {
		return err
	}
	if ns == "" {
		err = callerIn(ctx).Everywhere(auth.Query)
	} else {
		err = callerIn(ctx).May(auth.Query, ns, false)
	}
	if err != nil {
		s.metrics.Unauthorized.Inc()
		return grpcError(err)
	}
	return nil
}

// inRoom leaves out what happened to sockets that are not in the room. Rooms that keep what happens
// cannot look for that themselves. What was missed before them is told with the next.
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
		o := &spanwirev1.Occurrence{
			TimeUs: e.Time.UnixMicro(), Kind: spanwirev1.OccurrenceKind(e.Kind), Namespace: string(e.Namespace), SocketId: string(e.Socket),
			Rooms: stringsOf(e.Rooms), Service: string(e.Service), InstanceId: string(e.Instance), DispatchId: uint64(e.Dispatch),
			Detail: e.Detail, Missed: e.Missed,
		}
		if e.Event.Name != "" || len(e.Event.Args) > 0 {
			o.Event = &spanwirev1.Event{Name: e.Event.Name, Args: e.Event.Args, Attachments: e.Event.Attachments}
		}
		r.Occurrences[i] = o
	}
	return r
}
