// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/sio"
)

// Caller is the origin of commands: an instance, or a program without a stream.
type Caller struct {
	Credentials bool          // queries return what authenticates browsers
	Sender      sio.Addressee // zero for callers that are not instances

	identity atomic.Pointer[auth.Caller]
}

// NewCaller makes the origin of one call. A nil identity may do everything.
func NewCaller(identity *auth.Caller) *Caller {
	c := new(Caller)
	c.identity.Store(identity)
	return c
}

// Identify replaces the identity, since the file of callers changes while streams last.
func (c *Caller) Identify(identity *auth.Caller) { c.identity.Store(identity) }

// Identity is who calls; nil may do everything.
func (c *Caller) Identity() *auth.Caller { return c.identity.Load() }

// permit reports why the caller may not make the request; nil when it may.
func (c *Caller) permit(r *Request) error {
	identity := c.identity.Load()
	switch {
	case identity == nil:
		return nil
	case r.message != nil:
		return identity.May(auth.Emit, r.message.Namespace, false)
	case r.command != nil:
		t := r.command.To()
		return identity.May(auth.Emit, t.Namespace, t.Pattern)
	}
	switch q := r.query.(type) {
	case *sio.FetchSockets:
		return identity.May(auth.Query, q.Target.Namespace, q.Target.Pattern)
	case *sio.ListRooms:
		return identity.May(auth.Query, q.Namespace, false)
	case *sio.SetData:
		return identity.May(auth.Emit, q.Namespace, false)
	}
	return identity.Everywhere(auth.Query)
}
