// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Message is a message that another instance, of this service or another, sent with ServerSideEmit.
// Browsers do not see it.
type Message struct {
	Name       string
	Service    string // of the sender
	InstanceID string // of the sender

	event *Event
}

// Args returns the arguments, each as raw JSON; see Event.Args.
func (m *Message) Args() []json.RawMessage { return m.event.Args() }

// Raw returns the arguments as one JSON array, as the sender wrote it.
func (m *Message) Raw() json.RawMessage { return m.event.Raw() }

// Attachments returns the binary parts in the order of their numbers.
func (m *Message) Attachments() [][]byte { return m.event.Attachments() }

// Bind decodes the arguments; see Event.Bind.
func (m *Message) Bind(targets ...any) error { return m.event.Bind(targets...) }

// WantsAck reports whether the sender waits for an ack. The sender gets an empty ack when the
// handler returns nil and gave none.
func (m *Message) WantsAck() bool { return m.event.WantsAck }

// Ack sets the ack for the sender; see Event.Ack.
func (m *Message) Ack(args ...any) error { return m.event.Ack(args...) }

// MessageHandler handles a message. When it returns nil, the message is acknowledged if the sender
// waits for an ack. An error is logged here, and the sender gets no ack. Messages run at the same
// time as other messages and as events.
type MessageHandler func(ctx context.Context, m *Message) error

// OnMessage registers a handler for messages of other instances, by name; "*" handles all names
// without a handler of their own.
//
// Use it to notify the instances of a service of something that concerns all of them, such as a
// changed configuration.
func (n *Namespace) OnMessage(name string, h MessageHandler) {
	entry := newHandler(name, nil)
	entry.message = h
	n.service.change(n, func(n *Namespace) error {
		switch {
		case name == "":
			return fmt.Errorf(`spanwire: a message of namespace %s has no name (use "*" for all)`, n.name)
		case reservedEvent(name):
			return fmt.Errorf("%w: message %q in namespace %s", ErrReserved, name, n.name)
		case inUse(n.own.messages[name]):
			return fmt.Errorf("spanwire: message %q of namespace %s already has a handler", name, n.name)
		}
		n.own.messages[name] = entry
		return nil
	})
}

// OnMessage registers a handler for messages of the main namespace; see Namespace.OnMessage.
func (svc *Service) OnMessage(name string, h MessageHandler) { svc.main().OnMessage(name, h) }

// Instances selects other instances as receivers of messages.
type Instances struct {
	target   Target // for its namespace
	services []string
}

// Instances selects the other instances in the cluster that registered for a message, of the named
// services or of all.
func (n *Namespace) Instances(services ...string) Instances { return n.All().Instances(services...) }

// Instances selects the other instances in the cluster that registered for a message in the
// target's namespace, of the named services or of all. It uses nothing else of the target. For an
// Emitter every instance is another one.
func (t Target) Instances(services ...string) Instances { return Instances{t, services} }

// ServerSideEmit sends a message to every other instance that registered for it. Use Instances to
// select some of them.
func (n *Namespace) ServerSideEmit(name string, args ...any) error {
	return n.Instances().Emit(name, args...)
}

// ServerSideEmitWithAck sends a message to every other instance that registered for it, and
// collects their acks; see Instances.EmitWithAck.
func (n *Namespace) ServerSideEmitWithAck(ctx context.Context, name string, args ...any) (*InstanceAcks, error) {
	return n.Instances().EmitWithAck(ctx, name, args...)
}

// ServerSideEmit sends a message in the main namespace; see Namespace.ServerSideEmit.
func (svc *Service) ServerSideEmit(name string, args ...any) error {
	return svc.main().ServerSideEmit(name, args...)
}

// ServerSideEmitWithAck sends a message in the main namespace and collects the acks; see
// Instances.EmitWithAck.
func (svc *Service) ServerSideEmitWithAck(ctx context.Context, name string, args ...any) (*InstanceAcks, error) {
	return svc.main().ServerSideEmitWithAck(ctx, name, args...)
}

// Emit sends a message. Each instance gets it at most once.
func (i Instances) Emit(name string, args ...any) error {
	c, err := i.command(name, args)
	if err != nil {
		return err
	}
	return i.target.via.execute(c)
}

// InstanceAck is the ack of one instance to a message.
type InstanceAck struct {
	Service    string
	InstanceID string
	Ack
}

// InstanceAcks holds the acks to a message.
type InstanceAcks struct {
	Acks    []InstanceAck
	Missing int // instances that did not acknowledge in time, or left
	// SilentReplicas names the replicas that did not report the acks of their instances in time.
	SilentReplicas []string
}

// EmitWithAck sends a message and collects the acks. It returns when all acks have arrived, or at
// the deadline of the context, or without a deadline after the broker's setting ack-timeout.
// InstanceAcks.Missing counts the acks that did not arrive.
func (i Instances) EmitWithAck(ctx context.Context, name string, args ...any) (*InstanceAcks, error) {
	c, err := i.command(name, args)
	if err != nil {
		return nil, err
	}
	patience, err := i.target.patience(ctx)
	if err != nil {
		return nil, err
	}
	m := c.rare.GetServerSideEmit()
	m.WantAcks = true
	m.AckTimeoutMs = milliseconds(patience - margin(patience))
	a, err := i.target.via.query(ctx, c)
	if a == nil {
		return nil, err
	}
	acks := &InstanceAcks{Missing: int(a.GetMissing()), SilentReplicas: a.GetSilentReplicas()}
	for _, one := range a.GetInstanceAcks() {
		acks.Acks = append(acks.Acks, InstanceAck{
			Service: one.GetService(), InstanceID: one.GetInstanceId(),
			Ack: Ack{args: one.GetAck().GetArgs(), attachments: one.GetAck().GetAttachments()},
		})
	}
	return acks, err
}

func (i Instances) command(name string, args []any) (*command, error) {
	switch {
	case name == "":
		return nil, errors.New("spanwire: the message has no name")
	case reservedEvent(name):
		return nil, fmt.Errorf("%w: %q", ErrReserved, name)
	case i.target.pattern:
		return nil, fmt.Errorf("spanwire: a message belongs to one namespace, not to the pattern %q", i.target.namespace)
	}
	p := newPayload()
	defer p.release()
	if err := p.encode(args); err != nil {
		return nil, err
	}
	m := &spanwirev1.ServerSideEmit{
		Namespace: i.target.namespace, Services: i.services,
		Event: &spanwirev1.Event{Name: name, Args: append([]byte(nil), p.args.Bytes()...)},
	}
	for _, a := range p.attachments {
		m.Event.Attachments = append(m.Event.Attachments, append([]byte(nil), a...))
	}
	c := otherCommand(&spanwirev1.Command{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: m}})
	c.target.key = i.target.key
	return c, nil
}

func otherCommand(m *spanwirev1.Command) *command { return &command{kind: commandOther, rare: m} }

// sender is the instance that sent a message.
type sender struct{ service, instance string }

// fillFromProto decodes the dispatches that the generated code reads. One that cannot be decoded
// has no handler.
func (t *task) fillFromProto(n *Namespace, d *inDispatch) {
	if d.kind == kindRoomEvent {
		var m spanwirev1.RoomEvent
		if err := proto.Unmarshal(d.rare, &m); err == nil && n.live.room != nil {
			t.handler, t.change, t.reason = n.live.room, RoomChange(m.GetChange()), m.GetRoom()
		}
		return
	}
	var m spanwirev1.Message
	if err := proto.Unmarshal(d.rare, &m); err != nil {
		return
	}
	t.Name, t.args, t.attachments = m.GetEvent().GetName(), m.GetEvent().GetArgs(), m.GetEvent().GetAttachments()
	t.sender = &sender{m.GetService(), m.GetInstanceId()}
	if t.handler = n.live.messages[t.Name]; t.handler == nil {
		t.handler = n.live.messages[catchAll]
	}
}

// recent remembers the ids of the last messages. An instance that is attached to several replicas
// gets a message over each.
type recent struct {
	ids  map[uint64]struct{}
	ring [1024]uint64
	next int
}

// seen reports whether the id was seen before, and remembers it.
func (r *recent) seen(id uint64) bool {
	if _, ok := r.ids[id]; ok {
		return true
	}
	if r.ids == nil {
		r.ids = make(map[uint64]struct{}, len(r.ring))
	}
	delete(r.ids, r.ring[r.next])
	r.ids[id] = struct{}{}
	r.ring[r.next] = id
	r.next = (r.next + 1) % len(r.ring)
	return false
}
