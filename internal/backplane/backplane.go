// SPDX-License-Identifier: Apache-2.0

// Package backplane is the contract between replicas: what they say to each other (Envelope), how it is written on the wire, how it is
// numbered so that a loss never goes unnoticed, and how a hub's commands reach the others (Publisher). How bytes travel is the
// business of a Backplane: memory within one process, nats between processes.
package backplane

import "github.com/spanwire/spanwire/internal/sio"

// Backplane carries bytes between replicas. It may lose some, for example when a connection breaks, but what arrives keeps the order in
// which one publisher sent it, also between what it sent to all and what it sent to one.
type Backplane interface {
	// Publish sends data to one replica, or to all others when to is empty. It does not wait for receivers, and may be called from
	// several goroutines at a time. The caller must not change data afterwards. An error with CodeTooLarge means that such data
	// will never pass; one with CodeUnavailable that it did not pass now.
	Publish(to sio.ReplicaID, data []byte) error
	// Subscribe calls receive for everything sent to all and to self, but not for what was published here. receive is always called
	// from one goroutine, which stop ends and waits for; receive must not call stop. Data belongs to receive.
	Subscribe(self sio.ReplicaID, receive func(data []byte)) (stop func(), err error)
	// Healthy is nil when the others can be reached as far as one can know.
	Healthy() error
	// Close ends the backplane. What was published before is sent if that is possible soon. Closing twice does nothing.
	Close()
}
