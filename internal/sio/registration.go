// SPDX-License-Identifier: Apache-2.0

package sio

import "slices"

// Register is what an instance declares first.
type Register struct {
	Service     ServiceName
	Instance    InstanceID
	SDKName     string
	SDKVersion  string
	Namespaces  []Registration
	Window      int // open dispatches
	AtMostOnce  bool
	Credentials bool // wants Cookie and Authorization of handshakes
}

// Registration declares what a service handles in one namespace.
type Registration struct {
	Namespace    Namespace
	Pattern      bool     // Namespace is a regular expression that must match the whole name
	Compiled     *Pattern // of Namespace, with Pattern; nil until it is needed
	Events       []string
	CatchAll     bool // every event that no service registered by name
	Connect      bool
	ConnectOrder int // services with a lower one are asked first
	// with Connect: the service is notified of connects, nothing waits for its answer
	Advisory bool
	// of Events, those that run beside others of their socket; "*" for CatchAll
	Concurrent []string
	Disconnect bool
	RoomEvents bool
	Messages   []string // names of messages of other instances; "*" for all
}

// Equal tells whether both declare the same.
func (r *Registration) Equal(other *Registration) bool {
	return r.Namespace == other.Namespace && r.Pattern == other.Pattern && r.CatchAll == other.CatchAll && r.Connect == other.Connect &&
		r.ConnectOrder == other.ConnectOrder && r.Advisory == other.Advisory && r.Disconnect == other.Disconnect && r.RoomEvents == other.RoomEvents &&
		slices.Equal(r.Events, other.Events) && slices.Equal(r.Messages, other.Messages) &&
		slices.Equal(r.Concurrent, other.Concurrent)
}

// Covers tells whether the registration is for the namespace.
func (r *Registration) Covers(ns Namespace) bool {
	if r.Pattern {
		return r.Compiled != nil && r.Compiled.Matches(ns)
	}
	return r.Namespace == ns
}
