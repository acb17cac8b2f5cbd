// SPDX-License-Identifier: Apache-2.0

package contract

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// What an instance registers.

// RegisterToProto writes what an instance registered.
func RegisterToProto(r *sio.Register) *spanwirev1.Register {
	m := &spanwirev1.Register{
		Service: string(r.Service), InstanceId: string(r.Instance), SdkName: r.SDKName, SdkVersion: r.SDKVersion,
		Window: uint32(r.Window), Credentials: r.Credentials, DeliveryMode: spanwirev1.DeliveryMode_DELIVERY_MODE_AT_LEAST_ONCE,
		Registrations: RegistrationsToProto(r.Namespaces),
	}
	if r.AtMostOnce {
		m.DeliveryMode = spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE
	}
	return m
}

// RegisterFromProto reads what an instance registers.
func RegisterFromProto(m *spanwirev1.Register) *sio.Register {
	return &sio.Register{
		Service: sio.ServiceName(m.GetService()), Instance: sio.InstanceID(m.GetInstanceId()),
		SDKName: m.GetSdkName(), SDKVersion: m.GetSdkVersion(), Window: int(m.GetWindow()), Credentials: m.GetCredentials(),
		AtMostOnce: m.GetDeliveryMode() == spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE,
		Namespaces: RegistrationsFromProto(m.GetRegistrations()),
	}
}

// RegistrationsToProto writes registrations.
func RegistrationsToProto(all []sio.Registration) (list []*spanwirev1.Registration) {
	for i := range all {
		r := &all[i]
		list = append(list, &spanwirev1.Registration{
			Namespace: string(r.Namespace), Pattern: r.Pattern, Events: r.Events, CatchAll: r.CatchAll, Connect: r.Connect,
			ConnectOrder: uint32(r.ConnectOrder), ConnectAdvisory: r.Advisory, Disconnect: r.Disconnect, RoomEvents: r.RoomEvents,
			Messages: r.Messages, ConcurrentEvents: r.Concurrent,
		})
	}
	return list
}

// RegistrationsFromProto reads registrations. Patterns are not compiled.
func RegistrationsFromProto(list []*spanwirev1.Registration) (all []sio.Registration) {
	for _, m := range list {
		all = append(all, sio.Registration{
			Namespace: NamespaceFromProto(m.GetNamespace()), Pattern: m.GetPattern(), Events: m.GetEvents(), CatchAll: m.GetCatchAll(),
			Connect: m.GetConnect(), ConnectOrder: int(m.GetConnectOrder()), Advisory: m.GetConnectAdvisory(), Disconnect: m.GetDisconnect(),
			RoomEvents: m.GetRoomEvents(), Messages: m.GetMessages(), Concurrent: m.GetConcurrentEvents(),
		})
	}
	return all
}
