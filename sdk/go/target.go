// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"fmt"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// ackMargin is how much earlier than the caller the broker stops waiting for acks, so that those
// that came are not lost with a wait that ended a moment too soon.
const ackMargin = 100 * time.Millisecond

// executor carries out commands: a Service, a Socket or an Emitter.
type executor interface {
	// execute may wait while a queue is full. It does not keep the command.
	execute(c *command) error
	// query waits for the whole answer, bounded by ctx.
	query(ctx context.Context, c *command) (*spanwirev1.Answer, error)
	// observe tells listeners of an emit.
	observe(t *Target, event string, args []any)
}

// Target chooses sockets. It is a value: each method gives a new one, so a target can be kept and
// used often.
type Target struct {
	via       executor
	namespace string
	rooms     []string
	except    []string
	pattern   bool // namespace is one
	local     bool
	emitFlags
	timeout time.Duration // zero when none was named
	key     string
}

// maxKey bounds the bytes of an idempotency key. Source: spanwire.v1.ExecuteRequest.
const maxKey = 128

// To adds the sockets of rooms. A socket that is in several of them is chosen once.
func (t Target) To(rooms ...string) Target {
	t.rooms = append(t.rooms[:len(t.rooms):len(t.rooms)], rooms...)
	return t
}

// Except leaves out the sockets of rooms. A socket's id is a room too.
func (t Target) Except(rooms ...string) Target {
	t.except = append(t.except[:len(t.except):len(t.except)], rooms...)
	return t
}

// Local limits the target to the sockets of the replica that takes the command.
func (t Target) Local() Target {
	t.local = true
	return t
}

// Volatile lets the event be dropped for a browser that cannot take it right now.
func (t Target) Volatile() Target {
	t.volatile = true
	return t
}

// Compress says whether the event may be compressed. It may unless told otherwise.
func (t Target) Compress(compress bool) Target {
	t.noCompress = !compress
	return t
}

// Timeout bounds the wait for acks and answers where the context has no deadline.
func (t Target) Timeout(d time.Duration) Target {
	t.timeout = d
	return t
}

// IdempotencyKey makes it safe to ask an Emitter's target twice: what is asked under the key of an
// earlier call is not carried out again, and answered as that was, for as long as the broker's
// setting idempotency-window says. So a call whose answer was lost is made again by itself, to
// another address if there is one. The key has at most 128 bytes and belongs to one intent, for
// example "order-17-paid". A Service has no use for it: a target of one says so.
func (t Target) IdempotencyKey(key string) Target {
	t.key = key
	return t
}

// Namespace names the namespace of the target, or its pattern.
func (t Target) Namespace() string { return t.namespace }

// Emit sends an event to the target. Arguments are encoded as JSON before Emit returns; each
// []byte, however deep, becomes an attachment; a json.RawMessage is sent as it is. The command is
// queued in order, and Emit waits only while the queue to the broker is full.
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

// EmitWithAck sends an event to the target and gathers the acks. The wait ends when all came, or
// when the context's deadline, and without one the broker's setting ack-timeout, has passed;
// Acks.Missing then says how many did not come. What came is returned also beside an error of the
// broker, such as a PartialDeliveryError.
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
	// The broker's answer should come before the caller stops waiting, since it holds the acks that
	// did come.
	c.ackTimeout -= margin(c.ackTimeout)
	a, err := t.via.query(ctx, c)
	if a == nil {
		return nil, err
	}
	acks := acksFromProto(a.GetAcks(), a.GetSockets(), a.GetMissing())
	acks.Dropped = int(a.GetDropped())
	return acks, err
}

// Count is how many sockets an emit or a command reached in the whole cluster.
type Count struct {
	Sockets int
	// Dropped counts, of Sockets, those for which an event was dropped: their queues at the broker
	// were full (setting max-outbound), they were about to disconnect, or it was volatile and their
	// browsers could not take it at once. For the others it was queued.
	Dropped int
	// SilentReplicas did not say in time how many they reached, or were lost meanwhile: the event
	// may have reached their sockets or not.
	SilentReplicas []string
}

// EmitWithCount sends an event to the target and counts the sockets that it reached, in the whole
// cluster unless the target is local. The wait ends when all replicas have said it, or when the
// context's deadline, and without one the broker's setting ack-timeout, has passed. A broker that
// is older than this counts its own sockets. What is known is returned also beside a
// PartialDeliveryError.
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

// patience is how long to wait at most; zero leaves it to the broker.
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

// Leave takes the target's sockets out of rooms.
func (t Target) Leave(rooms ...string) error {
	return t.move(commandLeave, rooms)
}

// JoinWithCount is Join, and returns when every replica has carried it out, or the broker's setting
// query-timeout has passed.
func (t Target) JoinWithCount(ctx context.Context, rooms ...string) (*Count, error) {
	return t.moveCounted(ctx, commandJoin, rooms)
}

// LeaveWithCount is Leave, and returns as JoinWithCount does.
func (t Target) LeaveWithCount(ctx context.Context, rooms ...string) (*Count, error) {
	return t.moveCounted(ctx, commandLeave, rooms)
}

// DisconnectWithCount is Disconnect, and returns as JoinWithCount does.
func (t Target) DisconnectWithCount(ctx context.Context, closeSession bool) (*Count, error) {
	return t.counted(ctx, &command{kind: commandDisconnect, target: t, closeSession: closeSession})
}

// Disconnect ends the target's sockets; their browsers do not reconnect by themselves. With
// closeSession each session is closed, and with it the client's sockets of other namespaces.
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

// command is what a target asks of the broker.
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
	rare         *spanwirev1.Command // of commandOther, which the generated code writes
}

func (c *command) release() { c.payload.release() }
