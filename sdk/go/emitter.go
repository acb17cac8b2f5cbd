// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Emitter emits from a program that handles no events, such as a script, a cron job or a web
// application. It is safe for concurrent use. Each emit is one call, which returns when the broker
// has delivered to its own sockets and has notified the other replicas. It fails with a
// PartialDeliveryError when some replicas may not have been reached.
//
// With several addresses, a call goes to the one that answered last, and to the next one when no
// broker accepted it. A call that a broker may have accepted without answering is not repeated. It
// fails with ErrBrokerUnavailable, unless Target.IdempotencyKey makes the repetition safe.
//
// Methods without a namespace address the main namespace, "/".
type Emitter struct {
	options Options
	peers   []*peer
	first   atomic.Uint32 // the index of the peer that answered last
	close   sync.Once
}

// NewEmitter creates an emitter. It connects on first use, and again when a connection is lost.
func NewEmitter(options Options) (*Emitter, error) {
	m := &Emitter{options: options.withDefaults()}
	for _, address := range m.options.addresses() {
		conn, err := m.options.dial(address, grpc.WithStatsHandler(callWatch{}))
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.peers = append(m.peers, &peer{address, conn, spanwirev1.NewEmitterServiceClient(conn)})
	}
	if len(m.peers) == 0 {
		return nil, errors.New("spanwire: no broker address (set Options.Address or SPANWIRE_ADDRESS)")
	}
	return m, nil
}

// Close closes the connections.
func (m *Emitter) Close() error {
	var err error
	m.close.Do(func() {
		for _, p := range m.peers {
			err = errors.Join(err, p.conn.Close())
		}
	})
	return err
}

// Namespace returns the target of all sockets of a namespace. The leading slash is optional.
func (m *Emitter) Namespace(name string) Target {
	if len(name) == 0 || name[0] != '/' {
		name = "/" + name
	}
	return Target{via: m, namespace: name}
}

// To returns the target of the sockets of the main namespace in any of the rooms. The id of a
// socket is a room too.
func (m *Emitter) To(rooms ...string) Target { return m.Namespace(mainNamespace).To(rooms...) }

// Except returns the target of the sockets of the main namespace in none of the rooms.
func (m *Emitter) Except(rooms ...string) Target { return m.Namespace(mainNamespace).Except(rooms...) }

// Emit sends an event to every socket of the main namespace. It waits for the broker, at most
// Options.EmitTimeout.
func (m *Emitter) Emit(event string, args ...any) error {
	return m.Namespace(mainNamespace).Emit(event, args...)
}

// Send sends the event "message" to every socket of the main namespace.
func (m *Emitter) Send(args ...any) error { return m.Emit("message", args...) }

// EmitWithAck sends an event to every socket of the main namespace and collects their acks; see
// Target.EmitWithAck.
func (m *Emitter) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	return m.Namespace(mainNamespace).EmitWithAck(ctx, event, args...)
}

// Instances selects the instances that registered for a message in the main namespace; see
// Target.Instances.
func (m *Emitter) Instances(services ...string) Instances {
	return m.Namespace(mainNamespace).Instances(services...)
}

// ServerSideEmit sends a message to every instance that registered for it in the main namespace.
func (m *Emitter) ServerSideEmit(name string, args ...any) error {
	return m.Instances().Emit(name, args...)
}

// ServerSideEmitWithAck sends a message to every instance that registered for it in the main
// namespace, and collects their acks; see Instances.EmitWithAck.
func (m *Emitter) ServerSideEmitWithAck(ctx context.Context, name string, args ...any) (*InstanceAcks, error) {
	return m.Instances().EmitWithAck(ctx, name, args...)
}

// RetireService removes a service without instances in the whole cluster: connects no longer wait
// for it, and its queued events are dropped. It returns the replicas that did not answer in time
// and may still know the service.
//
// The error is a CommandError: with FaultNotFound if no replica knows the service, with
// FaultConflict if it has instances, with FaultPermissionDenied without the right `retire`. Use it
// after a service was renamed or removed.
func (m *Emitter) RetireService(ctx context.Context, service string) (silent []string, err error) {
	var out *spanwirev1.RetireServiceResponse
	err = m.call(ctx, "", func(ctx context.Context, p *peer) (err error) {
		out, err = p.client.RetireService(ctx, &spanwirev1.RetireServiceRequest{Service: service})
		return err
	})
	return out.GetSilentReplicas(), err
}

// execute implements executor.
func (m *Emitter) execute(c *command) error {
	ctx, cancel := context.WithTimeout(context.Background(), m.options.EmitTimeout)
	defer cancel()
	_, err := m.query(ctx, c)
	return err
}

// query carries out a command. An emit is a call of its own, which brokers of every version
// support.
func (m *Emitter) query(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.kind == commandEmit {
		return m.emit(ctx, c)
	}
	var out *spanwirev1.ExecuteResponse
	request := &spanwirev1.ExecuteRequest{Command: c.toProto(), IdempotencyKey: c.target.key}
	err := m.call(ctx, c.target.key, func(ctx context.Context, p *peer) (err error) {
		out, err = p.client.Execute(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.GetAnswer(), errorFromProto(out.GetAnswer())
}

func (m *Emitter) emit(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	var out *spanwirev1.EmitResponse
	request := &spanwirev1.EmitRequest{Emit: c.emitToProto(), IdempotencyKey: c.target.key}
	err := m.call(ctx, c.target.key, func(ctx context.Context, p *peer) (err error) {
		out, err = p.client.Emit(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	a := &spanwirev1.Answer{
		Sockets: out.GetSockets(), Acks: out.GetAcks(), Missing: out.GetMissing(), Dropped: out.GetDropped(), SilentReplicas: out.GetSilentReplicas(),
		Fault: out.GetFault(),
	}
	return a, errorFromProto(a)
}

// toProto returns the command as a message of the contract.
func (c *command) toProto() *spanwirev1.Command {
	t := c.target.toProto()
	switch c.kind {
	case commandEmit:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: c.emitToProto()}}
	case commandJoin:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: t, Rooms: c.rooms, WantCount: c.wantCount}}}
	case commandLeave:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Leave{Leave: &spanwirev1.Leave{Target: t, Rooms: c.rooms, WantCount: c.wantCount}}}
	case commandDisconnect:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Disconnect{
			Disconnect: &spanwirev1.Disconnect{Target: t, CloseSession: c.closeSession, WantCount: c.wantCount},
		}}
	}
	return c.rare
}

func (m *Emitter) observe(*Target, string, []any) {}

// emitToProto returns the emit as a message of the contract.
func (c *command) emitToProto() *spanwirev1.Emit {
	t := &c.target
	m := &spanwirev1.Emit{
		Target:       t.toProto(),
		Event:        &spanwirev1.Event{Name: c.event, Args: c.payload.args.Bytes(), Attachments: c.payload.attachments},
		WantAcks:     c.wantAcks,
		WantCount:    c.wantCount,
		AckTimeoutMs: uint32(c.timeoutMs()),
	}
	t.emitFlags.toProto(m)
	return m
}
