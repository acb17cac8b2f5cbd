// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/commands"
)

// failure is an error with its status.
type failure struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (f *failure) Error() string { return f.message }

// problem is how a failure stands in an answer, beside what came.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// fail answers with the failure alone.
func (c *call) fail(err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = failureFromError(err)
	}
	if f.status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", "Bearer")
	}
	_ = c.answer(f.status, map[string]problem{"error": {f.code, f.message}})
}

// failureFromError turns a status of the contract into one of HTTP.
func failureFromError(err error) *failure {
	s := status.Convert(err)
	return &failure{commands.HTTPStatus(s.Code()), screaming(s.Code().String()), strings.ReplaceAll(s.Message(), "metadata `authorization`", "header Authorization")}
}

// screaming turns InvalidArgument into INVALID_ARGUMENT.
func screaming(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// problemFromFault is nil without a fault; the status is that of an answer with it.
func problemFromFault(f *spanwirev1.Fault) (p *problem, status int) {
	if f == nil {
		return nil, commands.HTTPStatusFromFault(nil)
	}
	return &problem{strings.TrimPrefix(f.GetCode().String(), "FAULT_CODE_"), f.GetMessage()}, commands.HTTPStatusFromFault(f)
}
