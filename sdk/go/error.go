// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"errors"
	"fmt"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

var (
	// ErrBrokerUnavailable means that no broker could be reached within Options.EmitTimeout, or
	// that the stream broke before the answer came.
	ErrBrokerUnavailable = errors.New("spanwire: the broker cannot be reached")
	// ErrQueueFull means that the queue to the broker stayed full for Options.EmitTimeout.
	ErrQueueFull = errors.New("spanwire: the queue to the broker is full")
	// ErrTooLarge means that an event is larger than the broker's setting max-frame allows.
	ErrTooLarge = errors.New("spanwire: too large for a frame")
	// ErrReserved means that Socket.IO keeps the event's name for itself.
	ErrReserved = errors.New("spanwire: the event name is reserved by Socket.IO")
	// ErrAckTimeout means that a socket that was asked for an ack did not give one, in time or
	// since it left.
	ErrAckTimeout = errors.New("spanwire: the socket did not acknowledge in time")
	// ErrAcked means that the event was answered before.
	ErrAcked = errors.New("spanwire: the event is already acknowledged")
	// ErrRunning means that Run was called twice.
	ErrRunning = errors.New("spanwire: the service is already running")
	// ErrDrainTimeout means that handlers were still at work when Options.DrainTimeout was over.
	ErrDrainTimeout = errors.New("spanwire: handlers did not finish in time")
)

// FaultCode classifies what the broker found wrong with a command.
type FaultCode int

// The faults. Their numbers are those of spanwire.v1.FaultCode.
const (
	// FaultInvalid means that the command makes no sense; sending it again will not help.
	FaultInvalid = FaultCode(spanwirev1.FaultCode_FAULT_CODE_INVALID)
	// FaultTooLarge means that a limit of the broker was passed.
	FaultTooLarge = FaultCode(spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE)
	// FaultUnimplemented means that the broker does not know the command; it may be older than this
	// package.
	FaultUnimplemented = FaultCode(spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED)
	// FaultBackplaneUnavailable means that delivery was partial; see PartialDeliveryError.
	FaultBackplaneUnavailable = FaultCode(spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE)
	// FaultNotFound means that what was named is not known, or not any more.
	FaultNotFound = FaultCode(spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND)
	// FaultConflict means that what was to be changed was changed by somebody else meanwhile, or is
	// in use.
	FaultConflict = FaultCode(spanwirev1.FaultCode_FAULT_CODE_CONFLICT)
	// FaultPermissionDenied means that the credentials that were shown do not allow it.
	FaultPermissionDenied = FaultCode(spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED)
)

// CommandError means that the broker refused a command or could not carry it out.
type CommandError struct {
	Code    FaultCode
	Message string
}

// Error implements error.
func (e *CommandError) Error() string {
	return "spanwire: the broker rejected the command: " + e.Message
}

// PartialDeliveryError means that a command was carried out by the replica that took it, and may
// not have been by others: the replicas cannot reach each other now, or did not answer in time. It
// unwraps to a CommandError with FaultBackplaneUnavailable.
//
// To emit again sends the event twice to those that were reached, unless it is done by an Emitter
// with the Target.IdempotencyKey of the first call, which then tells what became of that.
type PartialDeliveryError struct {
	// Sockets counts the sockets that were reached, as far as it is known.
	Sockets int
	// SilentReplicas names the replicas that may not have been reached, as far as they are known.
	SilentReplicas []string
	Message        string
}

// Error implements error.
func (e *PartialDeliveryError) Error() string {
	return fmt.Sprintf("spanwire: delivered to %d sockets, and possibly not to those of other replicas: %s", e.Sockets, e.Message)
}

// Unwrap gives the same as a CommandError.
func (e *PartialDeliveryError) Unwrap() error {
	return &CommandError{Code: FaultBackplaneUnavailable, Message: e.Message}
}

// errorFromProto gives what an answer says went wrong.
func errorFromProto(a *spanwirev1.Answer) error {
	f := a.GetFault()
	switch {
	case f == nil:
		return nil
	case f.GetCode() == spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE:
		return &PartialDeliveryError{Sockets: int(a.GetSockets()), SilentReplicas: a.GetSilentReplicas(), Message: f.GetMessage()}
	}
	return &CommandError{Code: FaultCode(f.GetCode()), Message: f.GetMessage()}
}

// RegistrationError means that the broker did not accept what the service declared. Attaching again
// does not help.
type RegistrationError struct{ Message string }

// Error implements error.
func (e *RegistrationError) Error() string {
	return "spanwire: the broker rejected the registration: " + e.Message
}

// BindError means that an argument could not be decoded.
type BindError struct {
	Index int // of the argument, from 0
	Err   error
}

// Error implements error.
func (e *BindError) Error() string { return fmt.Sprintf("spanwire: argument %d: %v", e.Index, e.Err) }

// Unwrap gives the cause.
func (e *BindError) Unwrap() error { return e.Err }

// EncodeError means that an argument could not be encoded as JSON. Nothing was sent.
type EncodeError struct {
	Index int // of the argument, from 0
	Err   error
}

// Error implements error.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("spanwire: argument %d cannot be sent: %v", e.Index, e.Err)
}

// Unwrap gives the cause.
func (e *EncodeError) Unwrap() error { return e.Err }

// RefusalError is what a connect handler returns to refuse a socket; see Refuse.
type RefusalError struct {
	Message string
	Data    any // nil for none
}

// Error implements error.
func (e *RefusalError) Error() string { return "spanwire: refused: " + e.Message }

// Refuse makes the error with which a connect handler refuses a socket. The browser's connect_error
// carries the message, "Connection rejected by server" when it is empty, and the data: one value as
// it is, several as a list.
func Refuse(message string, data ...any) error {
	switch len(data) {
	case 0:
		return &RefusalError{Message: message}
	case 1:
		return &RefusalError{Message: message, Data: data[0]}
	}
	return &RefusalError{Message: message, Data: data}
}

// PanicError is what a handler's panic is turned into.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
