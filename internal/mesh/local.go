// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"bytes"

	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// Local is the Dispatcher that is there in production.
type Local struct{ dispatcher *dispatch.Dispatcher }

// ForDispatcher makes the mesh's view of the dispatcher.
func ForDispatcher(d *dispatch.Dispatcher) *Local { return &Local{dispatcher: d} }

// Attached implements Dispatcher.
func (l *Local) Attached() []backplane.Instance {
	var all []backplane.Instance
	for _, a := range l.dispatcher.Attached() {
		all = append(all, backplane.Instance{Register: a.Register, Generation: a.Generation, Draining: a.Draining})
	}
	return all
}

// Changes implements Dispatcher.
func (l *Local) Changes() <-chan struct{} { return l.dispatcher.Changes() }

// DispatchRemote implements Dispatcher.
func (l *Local) DispatchRemote(instance sio.InstanceID, generation uint64, d *backplane.Dispatch, resolved func(sio.DispatchID, sio.Result)) error {
	dp := &dispatch.Dispatch{
		ID: d.ID, Socket: newProxy(d), Kind: kindsIn[d.Kind], Event: d.Event, Reason: d.Reason, Rooms: d.Rooms, RoomEvent: d.RoomEvent,
		WantsAck: d.WantsAck, Redeliveries: d.Redeliveries, Introduce: d.Introduction != nil,
	}
	return l.dispatcher.DispatchRemote(instance, generation, dp, func(id sio.DispatchID, r sio.Result) { resolved(id, owned(r)) })
}

// Release implements Dispatcher.
func (l *Local) Release(instance sio.InstanceID, generation uint64, socket sio.SocketID) {
	l.dispatcher.ReleaseRemote(instance, generation, socket)
}

// Flush implements Dispatcher.
func (l *Local) Flush(instance sio.InstanceID) { l.dispatcher.FlushRemote(instance) }

// TellHere implements Dispatcher.
func (l *Local) TellHere(m *sio.Message) Replies { return l.dispatcher.TellHere(m) }

// Retire implements Dispatcher.
func (l *Local) Retire(q *sio.RetireService) sio.Retired {
	if q.Instance != "" {
		return l.dispatcher.RetireWith(q.Service, q.Instance)
	}
	return l.dispatcher.Retire(q.Service)
}

// Absent implements Dispatcher.
func (l *Local) Absent() []sio.Absent { return l.dispatcher.Absent() }

// Learn implements Dispatcher.
func (l *Local) Learn(all []sio.Absent) { l.dispatcher.Learn(all) }

// Attach implements Dispatcher.
func (l *Local) Attach(r *sio.Register, remote Remote) (Attachment, error) {
	a, err := l.dispatcher.Attach(r, instanceOf{remote}, dispatch.Remote)
	if err != nil {
		return nil, err
	}
	return a, nil
}

var (
	kindsIn = map[backplane.DispatchKind]dispatch.Kind{
		backplane.KindEvent: dispatch.Event, backplane.KindConnect: dispatch.Connect, backplane.KindDisconnected: dispatch.Disconnected,
		backplane.KindRoomEvent: dispatch.RoomEvent,
	}
	kindsOut = map[dispatch.Kind]backplane.DispatchKind{
		dispatch.Event: backplane.KindEvent, dispatch.Connect: backplane.KindConnect, dispatch.Disconnected: backplane.KindDisconnected,
		dispatch.RoomEvent: backplane.KindRoomEvent,
	}
)

// owned is the result with bytes of its own: it is kept until it is sent.
func owned(r sio.Result) sio.Result {
	r.Ack.Args, r.Data = bytes.Clone(r.Ack.Args), bytes.Clone(r.Data)
	if len(r.Ack.Attachments) > 0 {
		attachments := make([][]byte, len(r.Ack.Attachments))
		for i, a := range r.Ack.Attachments {
			attachments[i] = bytes.Clone(a)
		}
		r.Ack.Attachments = attachments
	}
	return r
}

// instanceOf is a Remote as an instance of the dispatcher.
type instanceOf struct{ remote Remote }

// Queue implements dispatch.Instance.
func (i instanceOf) Queue(dp *dispatch.Dispatch) {
	d := &backplane.Dispatch{
		ID: dp.ID, Socket: dp.Socket.ID(), Namespace: dp.Socket.Namespace(), Kind: kindsOut[dp.Kind], Reason: dp.Reason, Rooms: dp.Rooms,
		RoomEvent: dp.RoomEvent,
		WantsAck:  dp.WantsAck, Redeliveries: dp.Redeliveries,
	}
	if dp.Event != nil {
		event := *dp.Event // the dispatcher may use the struct again; the bytes in it stay
		d.Event = &event
	}
	if dp.Introduce || dp.Kind == dispatch.Connect {
		introduction := dp.Socket.Introduction()
		d.Recovered = introduction.Recovered && dp.Kind == dispatch.Connect
		if dp.Introduce {
			d.Introduction = &backplane.Introduction{Handshake: introduction.Handshake, Auth: introduction.Auth, Data: introduction.Data}
		}
	}
	i.remote.Queue(d)
}

// Release implements dispatch.Instance.
func (i instanceOf) Release(id sio.SocketID) { i.remote.Release(id) }

// Flush implements dispatch.Instance.
func (i instanceOf) Flush() { i.remote.Flush() }

// proxy stands for a socket of another replica, which writes the acks itself.
type proxy struct {
	id           sio.SocketID
	namespace    sio.Namespace
	introduction dispatch.Introduction
}

func newProxy(d *backplane.Dispatch) *proxy {
	p := &proxy{id: d.Socket, namespace: d.Namespace, introduction: dispatch.Introduction{Recovered: d.Recovered}}
	if i := d.Introduction; i != nil {
		p.introduction.Handshake, p.introduction.Auth, p.introduction.Data = i.Handshake, i.Auth, i.Data
	}
	return p
}

// ID implements dispatch.Socket.
func (p *proxy) ID() sio.SocketID { return p.id }

// Namespace implements dispatch.Socket.
func (p *proxy) Namespace() sio.Namespace { return p.namespace }

// Introduction implements dispatch.Socket.
func (p *proxy) Introduction() dispatch.Introduction { return p.introduction }

// Acknowledge implements dispatch.Socket.
func (p *proxy) Acknowledge(sio.AckID, sio.Ack) {}

// Flush implements dispatch.Socket.
func (p *proxy) Flush() {}
