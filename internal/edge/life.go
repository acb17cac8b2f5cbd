// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
)

// life is the context of one session: it ends when the session does. An idle session so needs no
// context of its own, which would cost memory for each.
type life struct{ session *engineio.Session }

// Deadline implements context.Context.
func (life) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements context.Context.
func (l life) Done() <-chan struct{} { return l.session.Done() }

// Err implements context.Context.
func (l life) Err() error {
	select {
	case <-l.session.Done():
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context.
func (life) Value(any) any { return nil }
