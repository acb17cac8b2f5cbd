// SPDX-License-Identifier: Apache-2.0

package sio

import (
	"crypto/rand"
	"encoding/base64"
)

// ReplicaID names one broker process for the time of its life: 6 characters of URL-safe base64.
type ReplicaID string

// SessionID names one Engine.IO session and is the secret that its transports show. It begins with
// the replica's id.
type SessionID string

// SocketID names one socket and is public. It begins with its replica's id, so that an emit to one
// socket goes straight there. It shares nothing else with the session's id.
type SocketID string

// PrivateID is the secret by which a browser gets its socket back after the loss of a connection.
// It begins with the id of the replica that keeps the socket, and shares nothing else with any
// other id.
type PrivateID string

const (
	replicaIDBytes = 4  // 6 characters, of which the last carries 2 bits
	randomBytes    = 18 // 144 bits, 24 characters
	replicaIDLen   = 6
	fullIDLen      = replicaIDLen + 24
)

// NewReplicaID draws a new replica id.
func NewReplicaID() ReplicaID { return ReplicaID(random(replicaIDBytes)) }

// NewSessionID draws a new session id of the replica, with 144 bits from the system's secure
// source.
func NewSessionID(r ReplicaID) SessionID { return SessionID(string(r) + random(randomBytes)) }

// NewSocketID draws a new socket id of the replica, with 144 bits from the system's secure source.
func NewSocketID(r ReplicaID) SocketID { return SocketID(string(r) + random(randomBytes)) }

// NewPrivateID draws a new private id of the replica, with 144 bits from the system's secure
// source.
func NewPrivateID(r ReplicaID) PrivateID { return PrivateID(string(r) + random(randomBytes)) }

// Replica tells the replica that owns the session; ok is false when id has not the form of a
// session id.
func (id SessionID) Replica() (replica ReplicaID, ok bool) { return replicaFromID(string(id)) }

// Replica tells the replica that owns the socket; ok is false when id has not the form of a socket
// id.
func (id SocketID) Replica() (replica ReplicaID, ok bool) { return replicaFromID(string(id)) }

// Room is the room that holds just this socket.
func (id SocketID) Room() Room { return Room(id) }

func replicaFromID(id string) (ReplicaID, bool) {
	if len(id) != fullIDLen {
		return "", false
	}
	for i := range len(id) {
		if c := id[i]; !isIDChar(c) {
			return "", false
		}
	}
	return ReplicaID(id[:replicaIDLen]), true
}

func isIDChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: the runtime ends the process when the system has no randomness
	return base64.RawURLEncoding.EncodeToString(b)
}
