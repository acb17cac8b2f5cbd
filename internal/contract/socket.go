// SPDX-License-Identifier: Apache-2.0

package contract

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Handshakes, and what is known of sockets and rooms.

// Credentials says whether a handshake is written with the headers that authenticate the browser.
type Credentials bool

const (
	// WithoutCredentials leaves Cookie and Authorization out.
	WithoutCredentials Credentials = false
	// WithCredentials writes every header.
	WithCredentials Credentials = true
)

// HandshakeToProto writes a handshake and the auth of the connect. A nil handshake has auth only.
// Text that is not UTF-8 is replaced.
func HandshakeToProto(h *sio.Handshake, auth []byte, credentials Credentials) *spanwirev1.Handshake {
	m := &spanwirev1.Handshake{Auth: auth}
	if h == nil {
		return m
	}
	m.Method, m.Url, m.Host, m.Address = ValidText(h.Method), ValidText(h.URL), ValidText(h.Host), ValidText(h.Address)
	m.Secure, m.CrossDomain, m.IssuedMs = h.Secure, h.CrossDomain, h.IssuedMs
	m.Transport, m.EngineProtocol = h.Transport, uint32(h.EngineProtocol)
	for _, x := range h.Headers {
		if credentials == WithoutCredentials && x.Secret() {
			continue
		}
		m.Headers = append(m.Headers, &spanwirev1.Header{Name: ValidText(x.Name), Value: ValidText(x.Value)})
	}
	return m
}

// HandshakeFromProto reads a handshake; its auth is read by the caller.
func HandshakeFromProto(m *spanwirev1.Handshake) *sio.Handshake {
	h := &sio.Handshake{
		Method: m.GetMethod(), URL: m.GetUrl(), Host: m.GetHost(), Address: m.GetAddress(), Secure: m.GetSecure(),
		CrossDomain: m.GetCrossDomain(), IssuedMs: m.GetIssuedMs(), Transport: m.GetTransport(),
		EngineProtocol: int(m.GetEngineProtocol()),
	}
	for _, x := range m.GetHeaders() {
		h.Headers = append(h.Headers, sio.Header{Name: x.GetName(), Value: x.GetValue()})
	}
	return h
}

// IntroductionToProto writes what an instance learns of a socket with its first dispatch.
func IntroductionToProto(h *sio.Handshake, auth []byte, data sio.Data, credentials Credentials) *spanwirev1.Introduction {
	return &spanwirev1.Introduction{Handshake: HandshakeToProto(h, auth, credentials), Data: data.Value, DataVersion: data.Version}
}

// SocketToProto writes what is known of a socket.
func SocketToProto(s *sio.SocketInfo, credentials Credentials) *spanwirev1.SocketInfo {
	m := &spanwirev1.SocketInfo{
		SocketId: string(s.ID), Rooms: ToStrings(s.Rooms), Handshake: HandshakeToProto(s.Handshake, s.Auth, credentials),
		Data: s.Data.Value, DataVersion: s.Data.Version, Replica: string(s.Replica), Transport: s.Transport,
	}
	for _, w := range s.Waiting {
		m.Waiting = append(m.Waiting, &spanwirev1.SocketWait{Service: string(w.Service), Events: uint32(w.Events), Unread: w.Unread})
	}
	return m
}

// SocketFromProto reads what is known of a socket.
func SocketFromProto(m *spanwirev1.SocketInfo) sio.SocketInfo {
	s := sio.SocketInfo{
		ID: sio.SocketID(m.GetSocketId()), Rooms: FromStrings[sio.Room](m.GetRooms()), Handshake: HandshakeFromProto(m.GetHandshake()),
		Auth: m.GetHandshake().GetAuth(), Data: sio.Data{Value: m.GetData(), Version: m.GetDataVersion()},
		Replica: sio.ReplicaID(m.GetReplica()), Transport: m.GetTransport(),
	}
	for _, w := range m.GetWaiting() {
		s.Waiting = append(s.Waiting, sio.Wait{Service: sio.ServiceName(w.GetService()), Events: int(w.GetEvents()), Unread: w.GetUnread()})
	}
	return s
}

// RoomsToProto writes rooms with the number of their sockets.
func RoomsToProto(rooms []sio.RoomInfo) (all []*spanwirev1.RoomInfo) {
	for _, r := range rooms {
		all = append(all, &spanwirev1.RoomInfo{Name: string(r.Name), Sockets: uint32(r.Sockets)})
	}
	return all
}

// RoomsFromProto reads rooms with the number of their sockets.
func RoomsFromProto(list []*spanwirev1.RoomInfo) (all []sio.RoomInfo) {
	for _, m := range list {
		all = append(all, sio.RoomInfo{Name: sio.Room(m.GetName()), Sockets: int(m.GetSockets())})
	}
	return all
}
