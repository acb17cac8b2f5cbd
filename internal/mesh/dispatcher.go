// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/sio"
)

// Dispatcher is what the mesh needs of the dispatcher of this replica.
type Dispatcher interface {
	// Attached lists the instances that are attached to this replica itself.
	Attached() []backplane.Instance
	// Changes holds a value when Attached has changed. Only the mesh reads it.
	Changes() <-chan struct{}
	// DispatchRemote hands a dispatch of another replica to the instance, without writing it yet.
	// resolved is called when it ends, unless the instance detaches; it does not block.
	// CodeNotFound means that the instance is not attached here with that generation, CodeTooLarge
	// that too many dispatches wait for it. DispatchRemote does not block.
	DispatchRemote(instance sio.InstanceID, generation uint64, d *backplane.Dispatch, resolved func(sio.DispatchID, sio.Result)) error
	// Release tells the instance that a socket of another replica, of which nothing is open here,
	// goes to another instance.
	Release(instance sio.InstanceID, generation uint64, socket sio.SocketID)
	// Flush writes what was forwarded to the instance, as far as its window allows.
	Flush(instance sio.InstanceID)
	// TellHere hands a message of another replica to the instances here that take it. It does not
	// block.
	TellHere(m *sio.Message) Replies
	// Retire forgets a service that has no instance, or leaves with one, for another replica.
	Retire(q *sio.RetireService) sio.Retired
	// Absent lists the services that have no instance.
	Absent() []sio.Absent
	// Learn takes over services that are absent elsewhere.
	Learn(all []sio.Absent)
	// Attach offers an instance of another replica. The remote may be called before Attach returns.
	// CodeConflict means that it cannot be taken now.
	Attach(r *sio.Register, remote Remote) (Attachment, error)
}

// Replies gathers the acks of instances here to a message.
type Replies interface {
	// Asked lists the instances that the message was handed to.
	Asked() []sio.Addressee
	// Wait gives the acks that came until all came or ctx ended. It is called once.
	Wait(ctx context.Context) []sio.InstanceAck
}

// Remote is an instance of another replica, as the dispatcher uses it.
type Remote interface {
	// Queue appends the dispatch to what is sent next. It does not block, and does not keep d.
	Queue(d *backplane.Dispatch)
	// Release says, as Queue does, that the socket goes to another instance; nothing of it is open
	// on this one.
	Release(socket sio.SocketID)
	// Flush sends what is queued.
	Flush()
}

// Attachment is a remote instance's place in the dispatcher. Resolve and Flush are called by one
// goroutine at a time.
type Attachment interface {
	// Resolve ends an open dispatch. CodeNotFound means that it is not open here.
	Resolve(id sio.DispatchID, r sio.Result) error
	// Flush follows a batch of Resolve.
	Flush()
	// Declare changes what the instance handles.
	Declare(namespaces []sio.Registration) error
	// Drain gives the instance nothing new. The channel is closed when nothing is open on it any
	// more.
	Drain() (empty <-chan struct{})
	// Detach gives the open dispatches to other instances. The remote is not called after it.
	Detach()
}
