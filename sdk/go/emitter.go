// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Emitter emits from a program that handles nothing: a script, a cron job, a web application. It may be used from many goroutines at
// once. Each emit is one call that returns when the broker has served its sockets and told the other replicas.
//
// The methods without a namespace stand for the main one, "/".
type Emitter struct {
	options Options
	conn    *grpc.ClientConn
	client  spanwirev1.EmitterServiceClient
	close   sync.Once
}

// NewEmitter makes an emitter. It connects when it is used first, and again whenever it has to.
func NewEmitter(options Options) (*Emitter, error) {
	o := options.withDefaults()
	addresses := o.addresses()
	if len(addresses) == 0 {
		return nil, errors.New("spanwire: no address of a broker is given")
	}
	conn, err := o.dial(addresses[0])
	if err != nil {
		return nil, err
	}
	return &Emitter{options: o, conn: conn, client: spanwirev1.NewEmitterServiceClient(conn)}, nil
}

// Close ends the connection.
func (m *Emitter) Close() error {
	var err error
	m.close.Do(func() { err = m.conn.Close() })
	return err
}

// Namespace chooses every socket of a namespace; the slash at its front may be left out.
func (m *Emitter) Namespace(name string) Target {
	if len(name) == 0 || name[0] != '/' {
		name = "/" + name
	}
	return Target{via: m, namespace: name}
}

// To chooses the sockets of the main namespace that are in any of the rooms. A socket's id is a room too.
func (m *Emitter) To(rooms ...string) Target { return m.Namespace(mainNamespace).To(rooms...) }

// Except chooses the sockets of the main namespace that are in none of the rooms.
func (m *Emitter) Except(rooms ...string) Target { return m.Namespace(mainNamespace).Except(rooms...) }

// Emit sends an event to every socket of the main namespace. It waits for the broker, at most Options.EmitTimeout.
func (m *Emitter) Emit(event string, args ...any) error {
	return m.Namespace(mainNamespace).Emit(event, args...)
}

// Send sends the event "message" to every socket of the main namespace.
func (m *Emitter) Send(args ...any) error { return m.Emit("message", args...) }

// EmitWithAck sends an event to every socket of the main namespace and gathers their acks; see Target.EmitWithAck.
func (m *Emitter) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	return m.Namespace(mainNamespace).EmitWithAck(ctx, event, args...)
}

// execute implements executor.
func (m *Emitter) execute(c *command) error {
	ctx, cancel := context.WithTimeout(context.Background(), m.options.EmitTimeout)
	defer cancel()
	if c.kind != commandEmit {
		_, err := m.query(ctx, c)
		return err
	}
	_, err := m.ask(ctx, c)
	return err
}

func (m *Emitter) ask(ctx context.Context, c *command) (*Acks, error) {
	c.ackTimeout -= margin(c.ackTimeout)
	out, err := m.client.Emit(ctx, &spanwirev1.EmitRequest{Emit: c.message()}, grpc.WaitForReady(true))
	if err != nil {
		return nil, m.explain(ctx, err)
	}
	return acksOf(out.GetAcks(), out.GetSockets(), out.GetMissing()), nil
}

// query carries out any command but an emit.
func (m *Emitter) query(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	out, err := m.client.Execute(ctx, &spanwirev1.ExecuteRequest{Command: c.generated()}, grpc.WaitForReady(true))
	if err != nil {
		return nil, m.explain(ctx, err)
	}
	if f := out.GetAnswer().GetFault(); f != nil {
		return out.GetAnswer(), &CommandError{Code: FaultCode(f.GetCode()), Message: f.GetMessage()}
	}
	return out.GetAnswer(), nil
}

// generated gives the command as a message of the generated code.
func (c *command) generated() *spanwirev1.Command {
	t := c.target.message()
	switch c.kind {
	case commandEmit:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: c.message()}}
	case commandJoin:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: t, Rooms: c.rooms}}}
	case commandLeave:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Leave{Leave: &spanwirev1.Leave{Target: t, Rooms: c.rooms}}}
	case commandDisconnect:
		return &spanwirev1.Command{Command: &spanwirev1.Command_Disconnect{
			Disconnect: &spanwirev1.Disconnect{Target: t, CloseSession: c.closeSession},
		}}
	}
	return c.rare
}

func (m *Emitter) emits(*Target, string, []any) {}

// message gives the emit as a message of the generated code.
func (c *command) message() *spanwirev1.Emit {
	t := &c.target
	return &spanwirev1.Emit{
		Target:       t.message(),
		Event:        &spanwirev1.Event{Name: c.event, Args: c.payload.args.Bytes(), Attachments: c.payload.attachments},
		Volatile:     t.volatile,
		NoCompress:   t.noCompress,
		WantAcks:     c.wantAcks,
		AckTimeoutMs: uint32(c.timeoutMs()),
	}
}

// explain turns a status into the errors that a Service's emits give.
func (m *Emitter) explain(ctx context.Context, err error) error {
	st := status.Convert(err)
	if state := m.conn.GetState(); state != connectivity.Ready {
		return fmt.Errorf("%w: %s", ErrBrokerUnavailable, st.Message())
	}
	switch st.Code() {
	case codes.InvalidArgument:
		return &CommandError{Code: FaultInvalid, Message: st.Message()}
	case codes.ResourceExhausted:
		return &CommandError{Code: FaultTooLarge, Message: st.Message()}
	case codes.Unimplemented:
		return &CommandError{Code: FaultUnimplemented, Message: st.Message()}
	case codes.Unavailable:
		return &CommandError{Code: FaultBackplaneUnavailable, Message: st.Message()}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
