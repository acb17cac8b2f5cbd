// SPDX-License-Identifier: Apache-2.0

package sio

// Message is what one instance says to others. Browsers see nothing of it.
type Message struct {
	ID        DispatchID // the same for every instance
	Namespace Namespace
	// limits it to instances of these; empty means all that registered for it
	Services []ServiceName
	Event    Event
	WantAcks bool
	Sender   Addressee
	Served   []InstanceID // instances that are not given it (again)
}

// Addressee is an instance by the name of its service and its own.
type Addressee struct {
	Service  ServiceName
	Instance InstanceID
}

// InstanceAck is the answer of one instance to a message.
type InstanceAck struct {
	Addressee
	Ack Ack
}

// InstanceAcks is what came back of a message that asked for acks.
type InstanceAcks struct {
	Came    []InstanceAck // one per instance
	Missing int           // instances that were asked and did not answer in time, or left
	Silent  []ReplicaID   // replicas that did not answer in time
}

// TakesMessage tells whether the registration declares the message. Its namespace is not looked at.
func (r *Registration) TakesMessage(name string) bool {
	for _, m := range r.Messages {
		if m == name || m == "*" {
			return true
		}
	}
	return false
}
