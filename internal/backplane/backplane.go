// SPDX-License-Identifier: Apache-2.0

// Package backplane is the contract between replicas: what they say to each other (Envelope), how
// it is written on the wire, how it is numbered so that a loss never goes unnoticed, and how a
// hub's commands reach the others (Publisher). How bytes travel is the business of a Backplane:
// memory within one process, nats between processes.
package backplane

import (
	"errors"

	"github.com/spanwire/spanwire/internal/sio"
)

// ErrKept is in the chain of an error of Publish when the data waits here, and passes when the
// others can be reached again.
var ErrKept = errors.New("it waits here until they can be reached")

// Backplane carries bytes between replicas. It may lose some, for example when a connection breaks,
// but what arrives keeps the order in which one publisher sent it, also between what it sent to all
// and what it sent to one.
type Backplane interface {
	// Publish sends data to one replica, or to all others when to is empty. It does not wait for
	// receivers, and may be called from several goroutines at a time. The caller must not change
	// data afterwards. An error with CodeTooLarge means that such data will never pass; one with
	// CodeUnavailable that it did not pass now, but may later if ErrKept is in it.
	Publish(to sio.ReplicaID, data []byte) error
	// Subscribe calls receive for everything sent to all and to self, but not for what was
	// published here. receive is always called from one goroutine, which stop ends and waits for;
	// receive must not call stop. Data belongs to receive.
	Subscribe(self sio.ReplicaID, receive func(data []byte)) (stop func(), err error)
	// Healthy is nil when the others can be reached as far as one can know.
	Healthy() error
	// Losses counts the times that data may have been lost on its way to or from this replica:
	// while it is the same, nothing that is known here was. It is called for every command that is
	// published.
	Losses() uint64
	// Changes holds a value when Healthy or Losses may have changed. There is one reader.
	Changes() <-chan struct{}
	// Close ends the backplane. What was published before is sent if that is possible soon. Closing
	// twice does nothing.
	Close()
}
