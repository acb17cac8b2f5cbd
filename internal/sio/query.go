// SPDX-License-Identifier: Apache-2.0

package sio

import (
	"slices"
	"time"
)

// DefaultQueryResults bounds the sockets or rooms in the answer to a query, unless a setting says
// otherwise.
const DefaultQueryResults = 10_000

// Query is what a service may ask of the cluster: FetchSockets, ListRooms, SetData or Counted; and
// what operators may: RetireService and ListAbsent.
type Query interface{ query() }

// FetchSockets asks which sockets a target has.
type FetchSockets struct {
	Target      Target
	Limit       int  // of sockets in the answer
	Credentials bool // tell Cookie, Authorization and the auth of the connect too
}

// ListRooms asks which rooms a namespace has.
type ListRooms struct {
	Namespace  Namespace
	IncludeOwn bool // each socket's own room too
	Local      bool // only rooms of the replica that takes the query
	Limit      int  // of rooms in the answer
}

// SetData asks to keep data with one socket.
type SetData struct {
	Namespace Namespace
	Socket    SocketID
	Data      []byte // one JSON value; nil takes the data away
	IfVersion uint64 // when not 0, only over this version
}

// Counted asks to carry out a command everywhere, and how many sockets it reached. It is no emit:
// the acks and the count of those are gathered as one.
type Counted struct{ Command Command }

// RetireService asks replicas to forget a service that has no instance.
type RetireService struct {
	Service ServiceName
	// the one that it leaves with, when that said so; empty when an operator did
	Instance InstanceID
}

// ListAbsent asks for the services that have no instance.
type ListAbsent struct{}

func (*FetchSockets) query()  {}
func (*ListRooms) query()     {}
func (*SetData) query()       {}
func (*Counted) query()       {}
func (*RetireService) query() {}
func (*ListAbsent) query()    {}

// Found is the answer to a Query.
type Found struct {
	Sockets   []SocketInfo // of FetchSockets, in no order
	Rooms     []RoomInfo   // of ListRooms, in no order
	Set       *Data        // of SetData, what is there afterwards; nil when no socket was found
	Conflict  bool         // of SetData: another version was there, and stays
	Reached   int          // of Counted, how many sockets
	Calls     []Call       // of FindCall, one for each replica that knows the key
	Retired   Retired      // of RetireService
	Absent    []Absent     // of ListAbsent, one for each replica and service
	Truncated bool         // there is more than the limit allowed to tell
	Silent    []ReplicaID  // replicas that did not answer in time
}

// Retired is the outcome for a service that was to be retired.
type Retired struct {
	Known     bool         // a replica knew it, and has forgotten it
	Instances []InstanceID // that are attached, so that it was not forgotten
	Connects  int          // that waited for it and go on
	Dropped   int          // dispatches that waited for it
}

// Add adds what another replica did.
func (r *Retired) Add(other *Retired) {
	r.Known = r.Known || other.Known
	r.Connects += other.Connects
	r.Dropped += other.Dropped
	r.Instances = append(r.Instances, other.Instances...)
	slices.Sort(r.Instances)
	r.Instances = slices.Compact(r.Instances)
}

// Absent is a service that has no instance, as one replica sees it.
type Absent struct {
	Service ServiceName
	Since   time.Time
	Held    int // connects that wait for it

	Declared []Registration // by its last instances
}

// Data is what handlers keep with a socket. It is never changed.
type Data struct {
	Value   []byte // one JSON value, or nil
	Version uint64 // grows with each change; 1 when nothing was ever kept
}

// SocketInfo is what is known of one socket.
type SocketInfo struct {
	ID        SocketID
	Rooms     []Room // its own first
	Handshake *Handshake
	Auth      []byte // of the connect: one JSON value, or nil
	Data      Data
	Replica   ReplicaID
	Waiting   []Wait
	Transport string // the present one
}

// Wait is what waits of one socket for one service.
type Wait struct {
	Service ServiceName
	Events  int
	Unread  bool // the socket is not read meanwhile
}

// RoomInfo is one room.
type RoomInfo struct {
	Name    Room
	Sockets int
}

// Discreet is the handshake without what authenticates the browser.
func (h *Handshake) Discreet() *Handshake {
	if h == nil {
		return nil
	}
	discreet := *h
	discreet.Headers = make([]Header, 0, len(h.Headers))
	for _, x := range h.Headers {
		if !x.Secret() {
			discreet.Headers = append(discreet.Headers, x)
		}
	}
	return &discreet
}

// Secret tells whether the header authenticates the browser.
func (h *Header) Secret() bool { return h.Name == "Cookie" || h.Name == "Authorization" }
