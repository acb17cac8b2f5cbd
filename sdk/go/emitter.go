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

// Emitter emits from a program that handles nothing: a script, a cron job, a web application. It
// may be used from many goroutines at once. Each emit is one call that returns when the broker has
// served its sockets and told the other replicas; when those may not have been reached it fails
// with a PartialDeliveryError.
//
// With several addresses a call goes to the one that answered last, and to the next where none took
// it. A call that a broker may have taken and did not answer is not made again, and fails with
// ErrBrokerUnavailable, unless Target.IdempotencyKey makes that safe.
//
// The methods without a namespace stand for the main one, "/".
type Emitter struct {
	options Options
	peers   []*peer
	first   atomic.Uint32 // the index of the peer that answered last
	close   sync.Once
}

// NewEmitter makes an emitter. It connects when it is used first, and again whenever it has to.
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

// Close ends the connections.
func (m *Emitter) Close() error {
	var err error
	m.close.Do(func() {
		for _, p := range m.peers {
			err = errors.Join(err, p.conn.Close())
		}
	})
	return err
}

// Namespace chooses every socket of a namespace; the slash at its front may be left out.
func (m *Emitter) Namespace(name string) Target {
	if len(name) == 0 || name[0] != '/' {
		name = "/" + name
	}
	return Target{via: m, namespace: name}
}

// To chooses the sockets of the main namespace that are in any of the rooms. A socket's id is a
// room too.
func (m *Emitter) To(rooms ...string) Target { return m.Namespace(mainNamespace).To(rooms...) }

// Except chooses the sockets of the main namespace that are in none of the rooms.
func (m *Emitter) Except(rooms ...string) Target { return m.Namespace(mainNamespace).Except(rooms...) }

// Emit sends an event to every socket of the main namespace. It waits for the broker, at most
// Options.EmitTimeout.
func (m *Emitter) Emit(event string, args ...any) error {
	return m.Namespace(mainNamespace).Emit(event, args...)
}

// Send sends the event "message" to every socket of the main namespace.
func (m *Emitter) Send(args ...any) error { return m.Emit("message", args...) }

// EmitWithAck sends an event to every socket of the main namespace and gathers their acks; see
// Target.EmitWithAck.
func (m *Emitter) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	return m.Namespace(mainNamespace).EmitWithAck(ctx, event, args...)
}

// Instances chooses the instances of the services that registered for a message in the main
// namespace; see Target.Instances.
func (m *Emitter) Instances(services ...string) Instances {
	return m.Namespace(mainNamespace).Instances(services...)
}

// ServerSideEmit sends a message to every instance that registered for it in the main namespace.
func (m *Emitter) ServerSideEmit(name string, args ...any) error {
	return m.Instances().Emit(name, args...)
}

// ServerSideEmitWithAck sends a message to every instance that registered for it in the main
// namespace and gathers their acks; see Instances.EmitWithAck.
func (m *Emitter) ServerSideEmitWithAck(ctx context.Context, name string, args ...any) (*InstanceAcks, error) {
	return m.Instances().EmitWithAck(ctx, name, args...)
}

// RetireService forgets a service without instances in the whole cluster: connects that wait for it
// go on without it, and events that wait for it are dropped. It returns the replicas that did not
// answer in time; they may still know the service. The error is a CommandError: with FaultNotFound
// if no replica knows the service, with FaultConflict if it has instances, with
// FaultPermissionDenied without the right `retire`.
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

// query carries out a command: an emit as a call of its own, which brokers of every age know.
func (m *Emitter) query(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.kind == commandEmit {
		return m.emit(ctx, c)
	}
	var out *spanwirev1.ExecuteResponse
	request := &spanwirev1.ExecuteRequest{Command: c.generated(), IdempotencyKey: c.target.key}
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
	request := &spanwirev1.EmitRequest{Emit: c.message(), IdempotencyKey: c.target.key}
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

// generated gives the command as a message of the generated code.
func (c *command) generated() *spanwirev1.Command {
	t := c.target.message()
	switch c.kind {
	case commandEmit:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: c.message()}}
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

// message gives the emit as a message of the generated code.
func (c *command) message() *spanwirev1.Emit {
	t := &c.target
	m := &spanwirev1.Emit{
		Target:       t.message(),
		Event:        &spanwirev1.Event{Name: c.event, Args: c.payload.args.Bytes(), Attachments: c.payload.attachments},
		WantAcks:     c.wantAcks,
		WantCount:    c.wantCount,
		AckTimeoutMs: uint32(c.timeoutMs()),
	}
	t.emitFlags.toProto(m)
	return m
}
