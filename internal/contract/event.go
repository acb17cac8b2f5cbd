// SPDX-License-Identifier: Apache-2.0

package contract

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Events, and the acks of sockets and instances.

// EventToProto writes an event.
func EventToProto(e *sio.Event) *spanwirev1.Event {
	return &spanwirev1.Event{Name: e.Name, Args: e.Args, Attachments: e.Attachments}
}

// EventFromProto reads an event.
func EventFromProto(m *spanwirev1.Event) sio.Event {
	return sio.Event{Name: m.GetName(), Args: m.GetArgs(), Attachments: m.GetAttachments()}
}

// AckToProto writes the ack of one event.
func AckToProto(a *sio.Ack) *spanwirev1.Ack {
	return &spanwirev1.Ack{Args: a.Args, Attachments: a.Attachments}
}

// AckFromProto reads the ack of one event.
func AckFromProto(m *spanwirev1.Ack) sio.Ack {
	return sio.Ack{Args: m.GetArgs(), Attachments: m.GetAttachments()}
}

// SocketAcksToProto writes what sockets answered to an emit.
func SocketAcksToProto(acks []sio.SocketAck) (all []*spanwirev1.SocketAck) {
	for i := range acks {
		all = append(all, &spanwirev1.SocketAck{SocketId: string(acks[i].Socket), Ack: AckToProto(&acks[i].Ack)})
	}
	return all
}

// SocketAcksFromProto reads what sockets answered to an emit.
func SocketAcksFromProto(list []*spanwirev1.SocketAck) (all []sio.SocketAck) {
	for _, m := range list {
		all = append(all, sio.SocketAck{Socket: sio.SocketID(m.GetSocketId()), Ack: AckFromProto(m.GetAck())})
	}
	return all
}

// InstanceAcksToProto writes what instances answered to a message.
func InstanceAcksToProto(acks []sio.InstanceAck) (all []*spanwirev1.InstanceAck) {
	for i := range acks {
		x := &acks[i]
		all = append(all, &spanwirev1.InstanceAck{
			Service: string(x.Service), InstanceId: string(x.Instance), Ack: AckToProto(&x.Ack),
		})
	}
	return all
}

// InstanceAcksFromProto reads what instances answered to a message.
func InstanceAcksFromProto(list []*spanwirev1.InstanceAck) (all []sio.InstanceAck) {
	for _, m := range list {
		all = append(all, sio.InstanceAck{
			Addressee: sio.Addressee{Service: sio.ServiceName(m.GetService()), Instance: sio.InstanceID(m.GetInstanceId())},
			Ack:       AckFromProto(m.GetAck()),
		})
	}
	return all
}
