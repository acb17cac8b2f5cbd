// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A dispatch and the lists that it waits in. A dispatch is in one list at a time, and is reused
// once it is resolved.

// Kind says what a dispatch is about.
type Kind uint8

const (
	// Connect asks whether the socket may connect.
	Connect Kind = iota + 1
	// Event carries an event of the socket.
	Event
	// Disconnected tells that the socket is gone.
	Disconnected
	// RoomEvent tells what happened to a room of the socket.
	RoomEvent
	// Message carries a message of another instance. It has no socket, only a namespace.
	Message
)

// Dispatch is one thing handed to one instance. It is open from its hand-out until its result.
type Dispatch struct {
	ID           sio.DispatchID
	Socket       Socket
	Kind         Kind
	Event        *sio.Event    // with kinds Event and Message
	Sender       sio.Addressee // with kind Message
	Reason       sio.Reason    // with kind Disconnected
	Rooms        []sio.Room    // with kind Disconnected, those that the socket was in
	RoomEvent    sio.RoomEvent // with kind RoomEvent
	WantsAck     bool
	Redeliveries int
	Introduce    bool // the socket was not introduced to the instance on this attachment

	// the dispatcher's own; a dispatch is in one list at a time: of a queue, or of the open ones
	event sio.Event
	ack   sio.AckID
	// shared by the dispatches of one event that wants an ack and goes to several services
	first    *atomic.Bool
	lane     *lane
	advisory bool // a connect whose answer nobody waits for
	// of what other replicas opened, and of messages; nil for what sockets here do
	resolved   func(sio.DispatchID, sio.Result)
	size       int
	share      int       // of its instance's window
	concurrent bool      // its instance runs it beside others of its lane
	since      time.Time // when it was queued, or handed out
	prev, next *Dispatch

	// when its turn came at the instance; zero while others of its lane come first
	clock        time.Time
	older, newer *Dispatch // of the open ones of its lane
}

// pool spares an allocation for each event: a dispatch is dead when it is resolved, since no
// Instance keeps it.
var pool = sync.Pool{New: func() any { return new(Dispatch) }}

// foreign reports whether something else than a socket here waits for the result.
func (dp *Dispatch) foreign() bool { return dp.resolved != nil }

func newDispatch() *Dispatch { return pool.Get().(*Dispatch) }

func (dp *Dispatch) free() {
	*dp = Dispatch{}
	pool.Put(dp)
}

// overhead is what a dispatch costs beside its payload, for budgets of bytes.
const overhead = 64

// roomsSize counts the bytes of names of rooms, for budgets.
func roomsSize(rooms []sio.Room) (n int) {
	for _, r := range rooms {
		n += len(r)
	}
	return n
}

// list is a linked list of dispatches that knows its length and its bytes.
type list struct {
	head, tail *Dispatch
	len, bytes int
}

func (l *list) push(dp *Dispatch) {
	dp.prev, dp.next = l.tail, nil
	if l.tail == nil {
		l.head = dp
	} else {
		l.tail.next = dp
	}
	l.tail = dp
	l.len++
	l.bytes += dp.size
}

func (l *list) pushFront(dp *Dispatch) {
	dp.prev, dp.next = nil, l.head
	if l.head == nil {
		l.tail = dp
	} else {
		l.head.prev = dp
	}
	l.head = dp
	l.len++
	l.bytes += dp.size
}

func (l *list) remove(dp *Dispatch) {
	if dp.prev == nil {
		l.head = dp.next
	} else {
		dp.prev.next = dp.next
	}
	if dp.next == nil {
		l.tail = dp.prev
	} else {
		dp.next.prev = dp.prev
	}
	dp.prev, dp.next = nil, nil
	l.len--
	l.bytes -= dp.size
}

func (l *list) pop() *Dispatch {
	dp := l.head
	if dp != nil {
		l.remove(dp)
	}
	return dp
}
