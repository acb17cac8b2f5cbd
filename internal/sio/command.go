// SPDX-License-Identifier: Apache-2.0

package sio

import "sync/atomic"

// Target chooses sockets.
type Target struct {
	Namespace Namespace
	Pattern   bool   // Namespace is a pattern as in Registration
	Rooms     []Room // union, each socket once; empty means the whole namespace
	Except    []Room
	Local     bool // only sockets of the replica that takes the command
}

// in is the target in one namespace.
func (t Target) in(ns Namespace) Target {
	t.Namespace, t.Pattern = ns, false
	return t
}

// Command is what a service may ask of the sockets of a target: Emit, Join, Leave or Disconnect.
type Command interface {
	// To is the command's target.
	To() *Target
	// In is a copy of the command for one namespace, where its target may be a pattern.
	In(ns Namespace) Command
}

// Emit sends an event.
type Emit struct {
	Target Target
	Event  Event
	EmitFlags
	Origin Addressee // the instance that emits; known on its replica only
	// Tally gets the outcome of the emit on the replica that carries it out; nil when nobody
	// asks.
	Tally *Tally
	// CountOnly asks other replicas how many sockets the emit reached there, when they are asked
	// for anything.
	CountOnly bool
}

// EmitFlags are the options of an emit that travel with it to each browser. They are one value, so
// that a new one needs no change between the contract and the transport.
type EmitFlags struct {
	Volatile   bool // drop it for a browser that cannot take it right now
	NoCompress bool // compression would gain nothing
}

// Join adds the target's sockets to rooms.
type Join struct {
	Target Target
	Rooms  []Room
}

// Leave takes the target's sockets out of rooms. A socket's own room cannot be left.
type Leave struct {
	Target Target
	Rooms  []Room
}

// Disconnect ends the target's sockets, with ReasonServerNamespaceDisconnect.
type Disconnect struct {
	Target       Target
	CloseSession bool // close the sessions under them too
}

// To implements Command.
func (c *Emit) To() *Target { return &c.Target }

// In implements Command.
func (c *Emit) In(ns Namespace) Command {
	one := *c
	one.Target = c.Target.in(ns)
	return &one
}

// To implements Command.
func (c *Join) To() *Target { return &c.Target }

// In implements Command.
func (c *Join) In(ns Namespace) Command {
	one := *c
	one.Target = c.Target.in(ns)
	return &one
}

// To implements Command.
func (c *Leave) To() *Target { return &c.Target }

// In implements Command.
func (c *Leave) In(ns Namespace) Command {
	one := *c
	one.Target = c.Target.in(ns)
	return &one
}

// To implements Command.
func (c *Disconnect) To() *Target { return &c.Target }

// In implements Command.
func (c *Disconnect) In(ns Namespace) Command {
	one := *c
	one.Target = c.Target.in(ns)
	return &one
}

// SocketAck is the answer of one socket to an emit that asked for acks.
type SocketAck struct {
	Socket SocketID
	Ack    Ack
}

// Tally counts what becomes of an emit.
type Tally struct{ dropped atomic.Int64 }

// Drop counts a socket for which the emit was dropped.
func (t *Tally) Drop() { t.dropped.Add(1) }

// Dropped is how many sockets it was dropped for; none for a nil Tally.
func (t *Tally) Dropped() int {
	if t == nil {
		return 0
	}
	return int(t.dropped.Load())
}

// Acks is what came back of an emit that asked for acks.
type Acks struct {
	Came    []SocketAck
	Missing int         // sockets that were asked and did not answer in time, or left
	Sockets int         // that were asked, or reached when they were only counted
	Dropped int         // of those, the ones for which the emit was dropped
	Silent  []ReplicaID // replicas that did not even tell how many
}
