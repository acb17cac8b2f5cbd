// SPDX-License-Identifier: Apache-2.0

package sio

// CallKey is an idempotency key. Callers do not meet each other's.
type CallKey struct {
	Caller string // tells callers apart, and is no secret
	Key    string
}

// CallDigest tells one request from another.
type CallDigest [32]byte

// CallState says how far a call is that came with an idempotency key.
type CallState uint8

const (
	// CallAsking means that the replica asks the others before it carries the call out.
	CallAsking CallState = iota + 1
	// CallRunning means that the replica carries it out.
	CallRunning
	// CallDone means that it was carried out.
	CallDone
)

// Call is what a replica knows of a call.
type Call struct {
	Replica ReplicaID
	State   CallState
	Request CallDigest
	Answer  []byte // CallDone; nil when it is too large to travel
}

// FindCall asks the other replicas whether they know a call. Services cannot ask that.
type FindCall struct{ Key CallKey }

func (*FindCall) query() {}
