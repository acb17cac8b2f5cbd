// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// Envelope is one message on the backplane.
type Envelope struct {
	Origin sio.ReplicaID
	To     sio.ReplicaID // empty: all others
	// Epoch and Sequence number the envelopes of one stream: that of the origin to all, or to one
	// replica.
	Epoch    uint64
	Sequence uint64
	// Commands counts the envelopes of the stream that must not be missed, up to this one.
	Commands uint64
	Body     Body

	// Unproven says that nobody knows whether its origin is there now: a genuine envelope may be
	// recorded, and replayed to a replica that does not know of it. It is a heartbeat, to be
	// answered with a question and nothing else.
	Unproven bool

	sealed bool // it carries a code that authenticates it, right or wrong
}

// Body is what an envelope says: one of the types below.
type Body interface{ body() }

// isCommand tells whether sockets miss something when the envelope is lost. Volatile emits may be
// lost at any time.
func isCommand(b Body) bool {
	switch b := b.(type) {
	case *Command:
		emit, ok := b.Command.(*sio.Emit)
		return !ok || !emit.Volatile
	case *GatherRequest:
		return !b.Emit.Volatile
	case *QueryRequest:
		_, ok := b.Query.(*sio.Counted)
		return ok
	}
	return false
}

// Command asks to carry out a command on the receiver's sockets.
type Command struct{ Command sio.Command }

// GatherRequest asks for an emit and the acks of the receiver's sockets, or only how many there
// are, as the emit says.
type GatherRequest struct {
	ID      uint64
	Emit    *sio.Emit
	Timeout time.Duration // from the arrival
}

// GatherAnswer answers a GatherRequest, at first with the count alone.
type GatherAnswer struct {
	ID      uint64
	Sockets int // that were asked
	Dropped int // of those, the ones for which the emit was dropped at once
	Acks    []sio.SocketAck
	Last    bool
}

// Heartbeat tells what a replica is and what it has.
type Heartbeat struct {
	Cluster     string
	GRPCAddress string // may be empty
	HTTPAddress string // may be empty
	StartedMs   int64  // since the Unix epoch
	Instances   []Instance
	Sent        []Sent
	Hello       bool // asks for heartbeats at once
	HelloID     uint64
	// the HelloID of the heartbeat that this one answers; zero when it answers none
	Answers uint64

	ForwardAddress string // may be empty
}

// Instance is an instance that a replica offers to the others.
type Instance struct {
	Register   *sio.Register
	Generation uint64 // grows with each attachment
	Draining   bool   // it takes nothing new
}

// Sent tells how far the origin counted on its stream to one replica, or to all when Replica is
// empty.
type Sent struct {
	Replica  sio.ReplicaID
	Epoch    uint64
	Sequence uint64
	Commands uint64
}

// Bye says that the origin leaves.
type Bye struct{ Sent []Sent }

// DispatchBatch hands dispatches to an instance of the receiver, oldest first.
type DispatchBatch struct {
	Instance   sio.InstanceID
	Generation uint64
	Lease      uint64 // numbers the origin's uses of instances: it grows
	Sequence   uint64 // of the batch in its lease, from 1
	Dispatches []Dispatch
	Released   []sio.SocketID // sockets that go to other instances; worked on before the dispatches
}

// DispatchKind says what a dispatch tells.
type DispatchKind uint8

const (
	// KindEvent is an event that the browser emitted.
	KindEvent DispatchKind = iota + 1
	// KindConnect asks whether the socket may connect.
	KindConnect
	// KindDisconnected tells that the socket is gone.
	KindDisconnected
	// KindRoomEvent tells what happened to a room of the socket.
	KindRoomEvent
)

// Dispatch is a dispatch on its way to an instance that is attached to another replica.
type Dispatch struct {
	ID           sio.DispatchID
	Socket       sio.SocketID
	Namespace    sio.Namespace
	Kind         DispatchKind
	Event        *sio.Event    // KindEvent
	Reason       sio.Reason    // KindDisconnected
	Rooms        []sio.Room    // KindDisconnected
	Recovered    bool          // KindConnect
	RoomEvent    sio.RoomEvent // KindRoomEvent
	WantsAck     bool
	Redeliveries int
	Introduction *Introduction // nil when the instance has met the socket
}

// Introduction describes a socket to an instance that has no state of it.
type Introduction struct {
	Handshake *sio.Handshake
	Auth      []byte
	Data      sio.Data
}

// ResultBatch brings results back to the replica that owns the sockets, in the order in which they
// take effect.
type ResultBatch struct {
	Instance   sio.InstanceID
	Generation uint64
	Results    []Result
}

// Result resolves the dispatch.
type Result struct {
	ID     sio.DispatchID
	Result sio.Result
}

// Lost says that envelopes of the receiver did not reach the origin.
type Lost struct{}

// QueryRequest asks the receiver a query, or to hand a message to its instances.
type QueryRequest struct {
	ID      uint64
	Timeout time.Duration // for acks of a message, from the arrival
	Query   sio.Query     // nil with a message
	Message *sio.Message
}

// QueryAnswer answers a QueryRequest, with what was not in an earlier answer.
type QueryAnswer struct {
	ID      uint64
	Found   sio.Found         // but for Silent
	Asked   []sio.Addressee   // instances that were asked for an ack
	Acks    []sio.InstanceAck // of them
	Last    bool
	Refused bool // the origin has too much to do to answer
}

func (*QueryRequest) body()  {}
func (*QueryAnswer) body()   {}
func (*Command) body()       {}
func (*GatherRequest) body() {}
func (*GatherAnswer) body()  {}
func (*Heartbeat) body()     {}
func (*Bye) body()           {}
func (*DispatchBatch) body() {}
func (*ResultBatch) body()   {}
func (*Lost) body()          {}
