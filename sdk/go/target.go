// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// ackMargin is the time by which the broker stops waiting for acks before the caller does, so that
// the acks that arrived reach the caller.
const ackMargin = 100 * time.Millisecond

// executor carries out commands: a Service, a Socket or an Emitter.
type executor interface {
	// execute sends a command without waiting for an answer. It may wait while a queue is full. It
	// does not keep the command.
	execute(c *command) error
	// query sends a command and waits for the whole answer, bounded by ctx.
	query(ctx context.Context, c *command) (*spanwirev1.Answer, error)
	// observe calls the listeners of outgoing events.
	observe(t *Target, event string, args []any)
}

// Target selects the sockets that an emit or a command reaches. It is a value: each method returns
// a new target, so a target can be kept and used many times.
//
// Start with All, To or Except of a Service, a Namespace, a Socket or an Emitter, and narrow the
// selection from there.
type Target struct {
	via       executor
	namespace string
	rooms     []string
	except    []string
	pattern   bool // namespace is a pattern
	local     bool
	emitFlags
	timeout time.Duration // zero for none
	key     string
}

// maxKey bounds the bytes of an idempotency key. Source: spanwire.v1.ExecuteRequest.
const maxKey = 128

// To adds the sockets in the rooms. A socket in several of them is selected once.
func (t Target) To(rooms ...string) Target {
	t.rooms = append(t.rooms[:len(t.rooms):len(t.rooms)], rooms...)
	return t
}

// Except excludes the sockets in the rooms. The id of a socket is a room too.
func (t Target) Except(rooms ...string) Target {
	t.except = append(t.except[:len(t.except):len(t.except)], rooms...)
	return t
}

// Local restricts the target to the sockets of the replica that gets the command.
func (t Target) Local() Target {
	t.local = true
	return t
}

// Volatile drops the event for browsers that cannot take it at once. Use it for events that the
// next one replaces, such as positions.
func (t Target) Volatile() Target {
	t.volatile = true
	return t
}

// Compress sets whether the event may be compressed. The default is true.
func (t Target) Compress(compress bool) Target {
	t.noCompress = !compress
	return t
}

// Timeout bounds the wait for acks and answers when the context has no deadline.
func (t Target) Timeout(d time.Duration) Target {
	t.timeout = d
	return t
}

// IdempotencyKey makes it safe to repeat a call of an Emitter's target. The broker carries out one
// call for each key, and answers another one with the outcome of the first, for as long as its
// setting idempotency-window says. The emitter then repeats a call whose answer was lost by itself,
// at another address if there is one.
//
// The key has at most 128 bytes and identifies one intent, for example "order-17-paid". Targets of
// a Service return an error for it.
func (t Target) IdempotencyKey(key string) Target {
	t.key = key
	return t
}

// Namespace returns the name of the target's namespace, or its pattern.
func (t Target) Namespace() string { return t.namespace }

// Emit sends an event to the target. It encodes the arguments as JSON before it returns. Each
// []byte, at any depth, becomes an attachment. A json.RawMessage is sent as it is.
//
// Emits of one goroutine stay in order. Emit does not wait for the browsers; it waits only while
// the queue to the broker is full.
func (t Target) Emit(event string, args ...any) error {
	c, err := t.emit(event, args)
	if err != nil {
		return err
	}
	defer c.release()
	return t.via.execute(c)
}

// Send sends the event "message" to the target.
func (t Target) Send(args ...any) error { return t.Emit("message", args...) }

// EmitWithAck sends an event to the target and collects the acks. It returns when all acks have
// arrived, or at the deadline of the context, or without a deadline after the broker's setting
// ack-timeout. Acks.Missing counts the acks that did not arrive. With an error of the broker, such
// as a PartialDeliveryError, it also returns the acks that arrived.
func (t Target) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	c, err := t.emit(event, args)
	if err != nil {
		return nil, err
	}
	defer c.release()
	c.wantAcks = true
	if c.ackTimeout, err = t.patience(ctx); err != nil {
		return nil, err
	}
	// The broker must answer before the caller stops waiting, since the answer holds the acks.
	c.ackTimeout -= margin(c.ackTimeout)
	a, err := t.via.query(ctx, c)
	if a == nil {
		return nil, err
	}
	acks := acksFromProto(a.GetAcks(), a.GetSockets(), a.GetMissing())
	acks.Dropped = int(a.GetDropped())
	return acks, err
}

// Count is the number of sockets that an emit or a command reached in the whole cluster.
type Count struct {
	Sockets int
	// Dropped counts, of Sockets, those for which the event was dropped: their queue at the broker
	// was full (setting max-outbound), they were about to disconnect, or the event was volatile and
	// the browser could not take it at once. For the others the event was queued.
	Dropped int
	// SilentReplicas names the replicas that did not report in time, or were lost meanwhile. The
	// event may have reached their sockets.
	SilentReplicas []string
}

// EmitWithCount sends an event to the target and counts the sockets that it reached, in the whole
// cluster unless the target is local. It returns when all replicas have reported, or at the
// deadline of the context, or without a deadline after the broker's setting ack-timeout. A broker
// older than this method counts its own sockets. With a PartialDeliveryError it also returns the
// known count.
func (t Target) EmitWithCount(ctx context.Context, event string, args ...any) (*Count, error) {
	c, err := t.emit(event, args)
	if err != nil {
		return nil, err
	}
	defer c.release()
	if c.ackTimeout, err = t.patience(ctx); err != nil {
		return nil, err
	}
	c.ackTimeout -= margin(c.ackTimeout)
	return t.counted(ctx, c)
}

func (t Target) counted(ctx context.Context, c *command) (*Count, error) {
	c.wantCount = true
	a, err := t.via.query(ctx, c)
	if a == nil {
		return nil, err
	}
	return &Count{Sockets: int(a.GetSockets()), Dropped: int(a.GetDropped()), SilentReplicas: a.GetSilentReplicas()}, err
}

// patience returns the longest wait; zero leaves it to the broker.
func (t Target) patience(ctx context.Context) (time.Duration, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return t.timeout, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	return left, nil
}

// Join adds the target's sockets to rooms.
func (t Target) Join(rooms ...string) error {
	return t.move(commandJoin, rooms)
}

// Leave removes the target's sockets from rooms.
func (t Target) Leave(rooms ...string) error {
	return t.move(commandLeave, rooms)
}

// JoinWithCount is Join with a count. It returns when every replica has carried it out, or after
// the broker's setting query-timeout.
func (t Target) JoinWithCount(ctx context.Context, rooms ...string) (*Count, error) {
	return t.moveCounted(ctx, commandJoin, rooms)
}

// LeaveWithCount is Leave with a count; see JoinWithCount.
func (t Target) LeaveWithCount(ctx context.Context, rooms ...string) (*Count, error) {
	return t.moveCounted(ctx, commandLeave, rooms)
}

// DisconnectWithCount is Disconnect with a count; see JoinWithCount.
func (t Target) DisconnectWithCount(ctx context.Context, closeSession bool) (*Count, error) {
	return t.counted(ctx, &command{kind: commandDisconnect, target: t, closeSession: closeSession})
}

// Disconnect disconnects the target's sockets. Their browsers do not reconnect by themselves.
// closeSession closes each whole session, with the client's sockets of other namespaces.
func (t Target) Disconnect(closeSession bool) error {
	return t.via.execute(&command{kind: commandDisconnect, target: t, closeSession: closeSession})
}

var errNoRoom = errors.New("spanwire: no room is named")

func (t Target) move(kind commandKind, rooms []string) error {
	if len(rooms) == 0 {
		return errNoRoom
	}
	return t.via.execute(&command{kind: kind, target: t, rooms: rooms})
}

func (t Target) moveCounted(ctx context.Context, kind commandKind, rooms []string) (*Count, error) {
	if len(rooms) == 0 {
		return nil, errNoRoom
	}
	return t.counted(ctx, &command{kind: kind, target: t, rooms: rooms})
}

func (t Target) emit(event string, args []any) (*command, error) {
	if reservedEvent(event) {
		return nil, fmt.Errorf("%w: %q", ErrReserved, event)
	}
	p := newPayload()
	if err := p.encode(args); err != nil {
		p.release()
		return nil, err
	}
	t.via.observe(&t, event, args)
	return &command{kind: commandEmit, target: t, event: event, payload: p}, nil
}

type commandKind uint8

const (
	commandEmit commandKind = iota
	commandJoin
	commandLeave
	commandDisconnect
	commandOther
)

// command is one request to the broker.
type command struct {
	kind         commandKind
	closeSession bool
	wantAcks     bool
	wantCount    bool
	ackTimeout   time.Duration
	id           uint64 // zero when no answer is wanted
	target       Target
	rooms        []string
	event        string
	payload      *payload            // nil unless commandEmit
	rare         *spanwirev1.Command // of commandOther; the generated code encodes it
}

func (c *command) release() { c.payload.release() }
