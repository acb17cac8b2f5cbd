// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"math"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// SocketInfo describes one socket of the cluster. Its methods reach the socket as those of Socket
// do.
type SocketInfo struct {
	ID          string
	Rooms       []string // its own first
	Handshake   *Handshake
	Data        json.RawMessage // the data of the socket; nil for none
	DataVersion uint64
	Replica     string
	Transport   string // the present transport; Handshake has the first one

	target Target
}

// Emit sends an event to the socket.
func (s *SocketInfo) Emit(event string, args ...any) error { return s.target.Emit(event, args...) }

// EmitWithAck sends an event to the socket and waits for its ack; see Socket.EmitWithAck.
func (s *SocketInfo) EmitWithAck(ctx context.Context, event string, args ...any) (*Ack, error) {
	return s.target.emitForOneAck(ctx, event, args)
}

// Join adds the socket to rooms.
func (s *SocketInfo) Join(rooms ...string) error { return s.target.Join(rooms...) }

// Leave removes the socket from rooms.
func (s *SocketInfo) Leave(rooms ...string) error { return s.target.Leave(rooms...) }

// Disconnect ends the socket; see Socket.Disconnect.
func (s *SocketInfo) Disconnect(closeSession bool) error { return s.target.Disconnect(closeSession) }

// Sockets is the result of FetchSockets.
type Sockets struct {
	Sockets []SocketInfo // in no particular order
	// SilentReplicas names the replicas that did not answer in time. Their sockets are missing.
	SilentReplicas []string
	// Truncated reports that the broker's setting max-query-results cut the list.
	Truncated bool
}

// FetchSockets lists the sockets of the target, in the whole cluster unless the target is local.
// The deadline of the context, Timeout, or the broker's setting query-timeout bounds the wait. It
// then returns what has arrived, with the replicas that did not answer.
func (t Target) FetchSockets(ctx context.Context) (*Sockets, error) {
	patience, err := t.patience(ctx)
	if err != nil {
		return nil, err
	}
	a, err := t.via.query(ctx, otherCommand(&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{
		Target: t.toProto(), TimeoutMs: milliseconds(patience - margin(patience)),
	}}}))
	if err != nil {
		return nil, err
	}
	found := &Sockets{SilentReplicas: a.GetSilentReplicas(), Truncated: a.GetTruncated()}
	for _, m := range a.GetFound() {
		found.Sockets = append(found.Sockets, SocketInfo{
			ID: m.GetSocketId(), Rooms: m.GetRooms(), Handshake: handshakeFromProto(m.GetHandshake()), Data: m.GetData(),
			DataVersion: m.GetDataVersion(), Replica: m.GetReplica(), Transport: m.GetTransport(),
			target: Target{via: t.via, namespace: t.namespace, rooms: []string{m.GetSocketId()}, timeout: t.timeout},
		})
	}
	return found, nil
}

// FetchSockets lists the sockets of the namespace; see Target.FetchSockets.
func (n *Namespace) FetchSockets(ctx context.Context) (*Sockets, error) {
	return n.All().FetchSockets(ctx)
}

// FetchSockets lists the sockets of the main namespace; see Target.FetchSockets.
func (svc *Service) FetchSockets(ctx context.Context) (*Sockets, error) {
	return svc.All().FetchSockets(ctx)
}

// Rooms lists the rooms that the socket is in, its own first. A socket that is gone is in none.
func (s *Socket) Rooms(ctx context.Context) ([]string, error) {
	found, err := s.self().FetchSockets(ctx)
	if err != nil || len(found.Sockets) == 0 {
		return nil, err
	}
	return found.Sockets[0].Rooms, nil
}

// LeftRooms returns the rooms that the socket was in when it disconnected, and nil before. Use it
// in a disconnect handler.
func (s *Socket) LeftRooms() []string {
	if rooms := s.left.Load(); rooms != nil {
		return *rooms
	}
	return nil
}

// RoomsOptions configures Namespace.Rooms.
type RoomsOptions struct {
	Own   bool // include each socket's own room
	Local bool // of one replica only
	// for a context without a deadline; zero means the broker's setting query-timeout
	Timeout time.Duration
}

// Rooms is the result of Namespace.Rooms.
type Rooms struct {
	Sockets map[string]int // the number of sockets in each room
	// SilentReplicas names the replicas that did not answer in time. Their rooms are missing.
	SilentReplicas []string
	// Truncated reports that the broker's setting max-query-results cut the list.
	Truncated bool
}

// Rooms lists the rooms of the namespace, in the whole cluster.
func (n *Namespace) Rooms(ctx context.Context, o RoomsOptions) (*Rooms, error) {
	return n.All().Rooms(ctx, o)
}

// Rooms lists the rooms of the target's namespace, in the whole cluster. It uses nothing else of
// the target.
func (t Target) Rooms(ctx context.Context, o RoomsOptions) (*Rooms, error) {
	if o.Timeout > 0 {
		t = t.Timeout(o.Timeout)
	}
	patience, err := t.patience(ctx)
	if err != nil {
		return nil, err
	}
	a, err := t.via.query(ctx, otherCommand(&spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{ListRooms: &spanwirev1.ListRooms{
		Namespace: t.namespace, IncludeOwn: o.Own, Local: o.Local, TimeoutMs: milliseconds(patience - margin(patience)),
	}}}))
	if err != nil {
		return nil, err
	}
	rooms := &Rooms{
		Sockets: make(map[string]int, len(a.GetRooms())), SilentReplicas: a.GetSilentReplicas(), Truncated: a.GetTruncated(),
	}
	for _, r := range a.GetRooms() {
		rooms.Sockets[r.GetName()] += int(r.GetSockets())
	}
	return rooms, nil
}

// toProto returns the target as a message of the contract.
func (t *Target) toProto() *spanwirev1.Target {
	return &spanwirev1.Target{Namespace: t.namespace, Rooms: t.rooms, Except: t.except, Local: t.local, Pattern: t.pattern}
}

func milliseconds(d time.Duration) uint32 {
	return uint32(min(max((d+time.Millisecond-1)/time.Millisecond, 0), math.MaxUint32))
}
