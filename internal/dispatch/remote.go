// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"

	"github.com/spanwire/spanwire/internal/sio"
)

// Dispatches of sockets that another replica owns, to instances attached here. Package mesh calls;
// remotelane.go shares the window.

// DispatchRemote hands a dispatch that another replica opened to an instance attached here. It
// keeps its id; of dp the exported fields are taken, as they are. Its window is respected, and
// shared by the sockets of all replicas and by what is handled: what does not fit waits.
//
// resolved is called once, with no lock held, when the instance resolved the dispatch, or with
// Abandoned when it took longer than the handler timeout; it is not called when the attachment
// ends, since then the replica that opened the dispatch gives it elsewhere. A dispatch that is
// still open here from an earlier call is not handed out again, but resolved takes the place of the
// earlier one.
//
// CodeNotFound: not attached here with that generation. CodeTooLarge: too much is waiting.
// FlushRemote must follow.
func (d *Dispatcher) DispatchRemote(instance sio.InstanceID, generation uint64, dp *Dispatch, resolved func(sio.DispatchID, sio.Result)) error {
	a := d.localAttachment(instance)
	if a == nil || a.generation != generation {
		return errNotAttached(instance)
	}
	s := a.service
	route := d.routes.Load().routeOf(s, dp)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.detached || a.emptied {
		return errNotAttached(instance)
	}
	if open := a.open[dp.ID]; open != nil && open.foreign() {
		open.resolved = resolved
		return nil
	}
	if a.crammedLocked() {
		return sio.E(sio.CodeTooLarge, "remote dispatch", fmt.Sprintf("%d dispatches of other replicas wait for the instance %q (settings forward-events, forward-bytes)", a.remoteLanes.waiting, instance))
	}
	own := newDispatch()
	own.ID, own.Socket, own.Kind, own.Reason, own.Rooms = dp.ID, dp.Socket, dp.Kind, dp.Reason, dp.Rooms
	own.RoomEvent, own.WantsAck, own.Redeliveries, own.Introduce = dp.RoomEvent, dp.WantsAck, dp.Redeliveries, dp.Introduce
	own.size, own.resolved = overhead+roomsSize(dp.Rooms)+len(dp.RoomEvent.Room), resolved
	if dp.Event != nil {
		own.event = *dp.Event
		own.Event = &own.event
		own.size += own.event.Size()
	}
	own.share, own.concurrent = route.share, route.concurrent
	a.receiveLocked(own, remoteLane{dp.Socket.Namespace(), dp.Socket.ID()})
	return nil
}

// ReleaseRemote tells an instance attached here that a socket of another replica, of which
// nothing is open here, goes to another instance. FlushRemote must follow.
func (d *Dispatcher) ReleaseRemote(instance sio.InstanceID, generation uint64, socket sio.SocketID) {
	a := d.localAttachment(instance)
	if a == nil || a.generation != generation {
		return
	}
	a.service.mu.Lock()
	defer a.service.mu.Unlock()
	if !a.detached {
		a.releaseLocked(socket)
	}
}

// FlushRemote sends what DispatchRemote handed to the instance.
func (d *Dispatcher) FlushRemote(instance sio.InstanceID) {
	if a := d.localAttachment(instance); a != nil {
		a.service.mu.Lock()
		a.service.unlockAndFlush()
	}
}

func (d *Dispatcher) localAttachment(instance sio.InstanceID) *Attachment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.local[instance]
}

func errNotAttached(instance sio.InstanceID) error {
	return sio.E(sio.CodeNotFound, "forward", fmt.Sprintf("the instance %q is not attached here, or not any more", instance))
}
