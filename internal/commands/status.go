// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// An error of the broker reaches a caller in one of three forms: a Fault of the contract on a
// stream and in answers, a status of gRPC, a status of HTTP. The tables of all three stand here.

var errUnknownCommand = sio.E(sio.CodeInvalid, "command", "this broker does not know the command; it may be older than the SDK")

// IsUnknown reports whether the error says that this broker does not know the command.
func IsUnknown(err error) bool { return err == error(errUnknownCommand) }

var faultByCode = map[sio.Code]spanwirev1.FaultCode{
	sio.CodeTooLarge:    spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE,
	sio.CodeNotFound:    spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND,
	sio.CodeDenied:      spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED,
	sio.CodeConflict:    spanwirev1.FaultCode_FAULT_CODE_CONFLICT,
	sio.CodeUnavailable: spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE,
}

// FaultFromError returns the fault of an error. It is nil without an error, and for one which only
// says that some replicas are silent: the answer names those.
func FaultFromError(err error) *spanwirev1.Fault {
	if err == nil || sio.CodeOf(err) == sio.CodeDeadline && len(sio.UnreachedIn(err)) > 0 {
		return nil
	}
	code, ok := faultByCode[sio.CodeOf(err)]
	switch {
	case IsUnknown(err):
		code = spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED
	case !ok:
		code = spanwirev1.FaultCode_FAULT_CODE_INVALID
	}
	return &spanwirev1.Fault{Code: code, Message: err.Error()}
}

var grpcByCode = map[sio.Code]codes.Code{
	sio.CodeInvalid:     codes.InvalidArgument,
	sio.CodeTooLarge:    codes.ResourceExhausted,
	sio.CodeNotFound:    codes.NotFound,
	sio.CodeConflict:    codes.AlreadyExists,
	sio.CodeUnavailable: codes.Unavailable,
	sio.CodeDeadline:    codes.DeadlineExceeded,
	sio.CodeClosed:      codes.Unavailable,

	sio.CodeUnauthenticated: codes.Unauthenticated,
	sio.CodeDenied:          codes.PermissionDenied,
}

// GRPCError returns the gRPC status of an error.
func GRPCError(err error) error {
	code, ok := grpcByCode[sio.CodeOf(err)]
	if !ok {
		code = codes.Internal
	}
	return status.Error(code, err.Error())
}

var grpcByFault = map[spanwirev1.FaultCode]codes.Code{
	spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE: codes.Unavailable,
	spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE:             codes.ResourceExhausted,
	spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND:             codes.NotFound,
	spanwirev1.FaultCode_FAULT_CODE_CONFLICT:              codes.AlreadyExists,
	spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED:     codes.PermissionDenied,
}

// GRPCErrorFromFault returns the gRPC status of a fault that has no other place.
func GRPCErrorFromFault(f *spanwirev1.Fault) error {
	code, ok := grpcByFault[f.GetCode()]
	if !ok {
		code = codes.InvalidArgument
	}
	return status.Error(code, f.GetMessage())
}

var httpByGRPC = map[codes.Code]int{
	codes.InvalidArgument:  http.StatusBadRequest,
	codes.Unauthenticated:  http.StatusUnauthorized,
	codes.PermissionDenied: http.StatusForbidden,
	codes.NotFound:         http.StatusNotFound,
	codes.AlreadyExists:    http.StatusConflict,

	codes.FailedPrecondition: http.StatusConflict,
	codes.ResourceExhausted:  http.StatusRequestEntityTooLarge,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
}

// HTTPStatus returns the HTTP status of a code of gRPC.
func HTTPStatus(c codes.Code) int {
	if s, ok := httpByGRPC[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

var httpByFault = map[spanwirev1.FaultCode]int{
	spanwirev1.FaultCode_FAULT_CODE_INVALID:               http.StatusBadRequest,
	spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE:             http.StatusRequestEntityTooLarge,
	spanwirev1.FaultCode_FAULT_CODE_UNIMPLEMENTED:         http.StatusNotImplemented,
	spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE: http.StatusServiceUnavailable,
	spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND:             http.StatusNotFound,
	spanwirev1.FaultCode_FAULT_CODE_CONFLICT:              http.StatusConflict,
	spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED:     http.StatusForbidden,
}

// HTTPStatusFromFault returns the HTTP status of an answer with a fault; 200 without one.
func HTTPStatusFromFault(f *spanwirev1.Fault) int {
	if f == nil {
		return http.StatusOK
	}
	if s, ok := httpByFault[f.GetCode()]; ok {
		return s
	}
	return http.StatusInternalServerError
}
