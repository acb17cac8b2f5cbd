// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"errors"
	"fmt"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

var (
	// ErrBrokerUnavailable reports that no broker was reached within Options.EmitTimeout, or that
	// the stream broke before the answer arrived.
	ErrBrokerUnavailable = errors.New("spanwire: the broker cannot be reached")
	// ErrQueueFull reports that the queue to the broker was full for Options.EmitTimeout.
	ErrQueueFull = errors.New("spanwire: the queue to the broker is full")
	// ErrTooLarge reports that an event exceeds the broker's setting max-frame.
	ErrTooLarge = errors.New("spanwire: too large for a frame")
	// ErrReserved reports an event name that Socket.IO reserves.
	ErrReserved = errors.New("spanwire: the event name is reserved by Socket.IO")
	// ErrAckTimeout reports that a socket did not acknowledge an event in time, or left.
	ErrAckTimeout = errors.New("spanwire: the socket did not acknowledge in time")
	// ErrAcked reports a second call of Ack for an event.
	ErrAcked = errors.New("spanwire: the event is already acknowledged")
	// ErrRunning reports a second call of Run.
	ErrRunning = errors.New("spanwire: the service is already running")
	// ErrDrainTimeout reports that handlers were still running after Options.DrainTimeout.
	ErrDrainTimeout = errors.New("spanwire: handlers did not finish in time")
)

// FaultCode classifies why the broker rejected a command.
type FaultCode int

// The codes. Their numbers are those of spanwire.v1.FaultCode.
const (
	// FaultInvalid means that the command is malformed. A retry does not help.
	FaultInvalid = FaultCode(spanwirev1.FaultCode_FAULT_CODE_INVALID)
	// FaultTooLarge means that the command exceeds a limit of the broker.
	FaultTooLarge = FaultCode(spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE)
	// FaultUnimplemented means that the broker does not know the command. It may be older than this
	// package.
	FaultUnimplemented = FaultCode(spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED)
	// FaultBackplaneUnavailable means that delivery was partial; see PartialDeliveryError.
	FaultBackplaneUnavailable = FaultCode(spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE)
	// FaultNotFound means that the named thing does not exist, or no longer exists.
	FaultNotFound = FaultCode(spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND)
	// FaultConflict means that another caller changed the data meanwhile, or that the service is in
	// use.
	FaultConflict = FaultCode(spanwirev1.FaultCode_FAULT_CODE_CONFLICT)
	// FaultPermissionDenied means that the credentials do not permit the command.
	FaultPermissionDenied = FaultCode(spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED)
)

// CommandError reports that the broker rejected a command or could not carry it out.
type CommandError struct {
	Code    FaultCode
	Message string
}

// Error implements error.
func (e *CommandError) Error() string {
	return "spanwire: the broker rejected the command: " + e.Message
}

// PartialDeliveryError reports that the replica which accepted a command carried it out, and that
// other replicas may not have: the replicas cannot reach each other, or did not answer in time. It
// unwraps to a CommandError with FaultBackplaneUnavailable.
//
// A second emit reaches some sockets twice. To retry safely, use an Emitter with the
// Target.IdempotencyKey of the first call, which then returns the outcome of that call.
type PartialDeliveryError struct {
	// Sockets counts the sockets that are known to be reached.
	Sockets int
	// SilentReplicas names the replicas that may not have been reached, as far as known.
	SilentReplicas []string
	Message        string
}

// Error implements error.
func (e *PartialDeliveryError) Error() string {
	return fmt.Sprintf("spanwire: delivered to %d sockets, and possibly not to those of other replicas: %s", e.Sockets, e.Message)
}

// Unwrap returns the error as a CommandError.
func (e *PartialDeliveryError) Unwrap() error {
	return &CommandError{Code: FaultBackplaneUnavailable, Message: e.Message}
}

// errorFromProto returns the error in an answer, or nil.
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

// RegistrationError reports that the broker rejected the registrations of the service. Attaching
// again does not help.
type RegistrationError struct{ Message string }

// Error implements error.
func (e *RegistrationError) Error() string {
	return "spanwire: the broker rejected the registration: " + e.Message
}

// BindError reports an argument that cannot be decoded.
type BindError struct {
	Index int // of the argument, from 0
	Err   error
}

// Error implements error.
func (e *BindError) Error() string { return fmt.Sprintf("spanwire: argument %d: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e *BindError) Unwrap() error { return e.Err }

// EncodeError reports an argument that cannot be encoded as JSON. Nothing was sent.
type EncodeError struct {
	Index int // of the argument, from 0
	Err   error
}

// Error implements error.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("spanwire: argument %d cannot be sent: %v", e.Index, e.Err)
}

// Unwrap returns the cause.
func (e *EncodeError) Unwrap() error { return e.Err }

// RefusalError is the error with which a connect handler refuses a socket; see Refuse.
type RefusalError struct {
	Message string
	Data    any // nil for none
}

// Error implements error.
func (e *RefusalError) Error() string { return "spanwire: refused: " + e.Message }

// Refuse returns the error with which a connect handler refuses a socket. The browser's
// connect_error carries the message, "Connection rejected by server" when it is empty, and the
// data: one value as it is, several as a list.
//
// Use it for refusals that the user of the browser may see. Any other error is logged, and the
// browser gets a general message.
func Refuse(message string, data ...any) error {
	switch len(data) {
	case 0:
		return &RefusalError{Message: message}
	case 1:
		return &RefusalError{Message: message, Data: data[0]}
	}
	return &RefusalError{Message: message, Data: data}
}

// PanicError wraps the value of a handler's panic.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
