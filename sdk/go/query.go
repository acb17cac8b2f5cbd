// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"math"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// SocketInfo is what the cluster knows of one socket, wherever it lives. Its methods reach the
// socket, as those of Socket do.
type SocketInfo struct {
	ID          string
	Rooms       []string // its own first
	Handshake   *Handshake
	Data        json.RawMessage // what handlers keep with it; nil for nothing
	DataVersion uint64
	Replica     string
	Transport   string // the present one; that of the handshake is the first

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

// Leave takes the socket out of rooms.
func (s *SocketInfo) Leave(rooms ...string) error { return s.target.Leave(rooms...) }

// Disconnect ends the socket; see Socket.Disconnect.
func (s *SocketInfo) Disconnect(closeSession bool) error { return s.target.Disconnect(closeSession) }

// Sockets is the answer to FetchSockets.
type Sockets struct {
	Sockets []SocketInfo // in no order
	// SilentReplicas did not answer in time; their sockets are missing.
	SilentReplicas []string
	// Truncated says that there are more sockets than the broker's setting max-query-results lets
	// it tell.
	Truncated bool
}

// FetchSockets asks which sockets the target has, in the whole cluster unless it is local. The
// context's deadline, Timeout, or the broker's setting query-timeout bounds the wait; what came
// until then is returned, and says what is missing.
func (t Target) FetchSockets(ctx context.Context) (*Sockets, error) {
	patience, err := t.patience(ctx)
	if err != nil {
		return nil, err
	}
	a, err := t.via.query(ctx, otherCommand(&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{
		Target: t.message(), TimeoutMs: milliseconds(patience - margin(patience)),
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

// FetchSockets asks which sockets the namespace has; see Target.FetchSockets.
func (n *Namespace) FetchSockets(ctx context.Context) (*Sockets, error) {
	return n.All().FetchSockets(ctx)
}

// FetchSockets asks which sockets the main namespace has; see Target.FetchSockets.
func (svc *Service) FetchSockets(ctx context.Context) (*Sockets, error) {
	return svc.All().FetchSockets(ctx)
}

// Rooms tells the rooms that the socket is in, its own first. A socket that is gone is in none.
func (s *Socket) Rooms(ctx context.Context) ([]string, error) {
	found, err := s.self().FetchSockets(ctx)
	if err != nil || len(found.Sockets) == 0 {
		return nil, err
	}
	return found.Sockets[0].Rooms, nil
}

// LeftRooms tells the rooms that the socket was in when it disconnected. It is nil before.
func (s *Socket) LeftRooms() []string {
	if rooms := s.left.Load(); rooms != nil {
		return *rooms
	}
	return nil
}

// RoomsOptions shapes Namespace.Rooms.
type RoomsOptions struct {
	Own   bool // include each socket's own room
	Local bool // ask one replica only
	// where the context has no deadline; zero means the broker's setting query-timeout
	Timeout time.Duration
}

// Rooms is the answer to Namespace.Rooms.
type Rooms struct {
	Sockets map[string]int // how many sockets each room has
	// SilentReplicas did not answer in time; their rooms and sockets are missing.
	SilentReplicas []string
	// Truncated says that there are more rooms than the broker's setting max-query-results lets it
	// tell.
	Truncated bool
}

// Rooms asks which rooms the namespace has, in the whole cluster.
func (n *Namespace) Rooms(ctx context.Context, o RoomsOptions) (*Rooms, error) {
	return n.All().Rooms(ctx, o)
}

// Rooms asks which rooms the target's namespace has, in the whole cluster, whatever else the target
// says.
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

// message gives the target as a message of the generated code.
func (t *Target) message() *spanwirev1.Target {
	return &spanwirev1.Target{Namespace: t.namespace, Rooms: t.rooms, Except: t.except, Local: t.local, Pattern: t.pattern}
}

func milliseconds(d time.Duration) uint32 {
	return uint32(min(max((d+time.Millisecond-1)/time.Millisecond, 0), math.MaxUint32))
}
