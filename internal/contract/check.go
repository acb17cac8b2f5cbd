// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"fmt"
	"strings"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// What a handler or a caller may send. Entry points call these before the translation; replicas,
// which check what they send, do not.

// MaxName bounds the name of a namespace or an event that a service registers or emits to, in
// bytes.
const MaxName = 255

// CheckNamespace checks the name of a namespace. op names the operation in the error.
func CheckNamespace(op string, ns sio.Namespace) error {
	if ValidNamespace(ns) {
		return nil
	}
	return sio.E(sio.CodeInvalid, op, fmt.Sprintf("namespace %q must begin with a slash, have no comma and at most %d bytes",
		Clip(string(ns), MaxName), MaxName))
}

// ValidNamespace reports whether a service may use the name of a namespace.
func ValidNamespace(ns sio.Namespace) bool {
	return strings.HasPrefix(string(ns), "/") && len(ns) <= MaxName && !strings.Contains(string(ns), ",")
}

// CheckTarget checks a target that a handler or a caller sent. op names the operation in the error.
func CheckTarget(op string, m *spanwirev1.Target) error {
	if m == nil {
		return sio.E(sio.CodeInvalid, op, "it has no target; an empty target means everyone in the main namespace")
	}
	ns := NamespaceFromProto(m.GetNamespace())
	if !m.GetPattern() {
		return CheckNamespace(op, ns)
	}
	if _, err := sio.CompilePattern(string(ns)); err != nil {
		return sio.E(sio.CodeInvalid, op, fmt.Sprintf("its namespace is no pattern: %v", err))
	}
	return nil
}

// CheckEvent checks an event that a service sends, and returns its arguments without the space
// around them. Its name may be empty, as with the reference server. op names the operation in the
// error; depth bounds the nesting of the arguments.
func CheckEvent(op string, m *spanwirev1.Event, depth int) (args []byte, err error) {
	switch {
	case m == nil:
		return nil, sio.E(sio.CodeInvalid, op, "it has no event")
	case sio.ReservedEvent(m.GetName()):
		return nil, sio.E(sio.CodeInvalid, op, fmt.Sprintf("the event name %q is kept by Socket.IO", m.GetName()))
	}
	args, err = CheckPayload(m.GetArgs(), m.GetAttachments(), depth)
	if err != nil {
		return nil, sio.E(sio.CodeInvalid, op, fmt.Sprintf("what is given as arguments of %q %v", Clip(m.GetName(), MaxName), err))
	}
	return args, nil
}

// Clip shortens a text to at most n bytes and an ellipsis, for messages and logs.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
