// SPDX-License-Identifier: Apache-2.0

package sio

import (
	"errors"
	"fmt"
)

// Code classifies errors. Each entry point has one table that turns codes into its own status.
type Code uint8

const (
	// CodeInvalid means that the request makes no sense, and will not make sense later.
	CodeInvalid Code = iota + 1
	// CodeTooLarge means that a limit was passed.
	CodeTooLarge
	// CodeNotFound means that what was named is not known, or not any more.
	CodeNotFound
	// CodeConflict means that what was asked contradicts what is there.
	CodeConflict
	// CodeUnavailable means that a part is away just now; trying again may help.
	CodeUnavailable
	// CodeDeadline means that it took too long.
	CodeDeadline
	// CodeClosed means that the part was closed.
	CodeClosed
	// CodeUnauthenticated means that nobody knows who asks.
	CodeUnauthenticated
	// CodeDenied means that the caller lacks the right.
	CodeDenied
)

// Error is an error with a code. Message says what was wrong and what to do, in one sentence
// without a final stop.
type Error struct {
	Code    Code
	Op      string // what was being done, "register"
	Message string
	Cause   error // may be nil
}

// E makes an Error without a cause.
func E(code Code, op, message string) *Error { return &Error{Code: code, Op: op, Message: message} }

// Error implements error.
func (e *Error) Error() string {
	s := e.Op + ": " + e.Message
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// UnreachedError is in the chain of an error which says that other replicas may not have been
// reached.
type UnreachedError struct {
	Replicas []ReplicaID // as far as they are known
	Cause    error       // may be nil
}

// Error implements error.
func (e *UnreachedError) Error() string {
	s := "other replicas"
	if len(e.Replicas) > 0 {
		s = fmt.Sprintf("replicas %v", e.Replicas)
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *UnreachedError) Unwrap() error { return e.Cause }

// UnreachedIn gives the replicas that err says may not have been reached.
func UnreachedIn(err error) []ReplicaID {
	var e *UnreachedError
	if errors.As(err, &e) {
		return e.Replicas
	}
	return nil
}

// CodeOf gives the code of the first Error in err's chain, and 0 when there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
