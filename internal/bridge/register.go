// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"
	"regexp"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

// protocolVersion is the revision of the conversation that is spoken here.
const protocolVersion = 1

// Limits of a registration. They are far beyond what a service needs, and keep nonsense from
// becoming state.
const (
	maxNamespaces = 1000
	// Patterns among the namespaces. The broker tries each for every name that a browser sends.
	maxPatterns = 100
	maxEvents   = 10000 // and as many messages
)

var name = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// registerFromProto translates a registration, or says all that is wrong with it.
func registerFromProto(m *spanwirev1.Register) (*sio.Register, error) {
	faults := faults{frame: "register"}
	if v := m.GetProtocolVersion(); v != protocolVersion {
		faults.add("protocol_version %d is not spoken here; it must be %d", v, protocolVersion)
	}
	if !name.MatchString(m.GetService()) {
		faults.add("service %q must be 1 to 128 letters, digits, -, _ and .", contract.Clip(m.GetService(), contract.MaxName))
	}
	if !name.MatchString(m.GetInstanceId()) {
		faults.add("instance_id %q must be 1 to 128 letters, digits, -, _ and .", contract.Clip(m.GetInstanceId(), contract.MaxName))
	}
	if _, known := spanwirev1.DeliveryMode_name[int32(m.GetDeliveryMode())]; !known {
		faults.add("delivery_mode %d is not known", m.GetDeliveryMode())
	}
	reg := contract.RegisterFromProto(m)
	faults.registrations(m.GetRegistrations(), reg.Namespaces)
	return reg, faults.join()
}

// registrationsFromProto translates the registrations of the frame with the name, or says all that
// is wrong with them.
func registrationsFromProto(frame string, list []*spanwirev1.Registration) ([]sio.Registration, error) {
	faults := faults{frame: frame}
	all := contract.RegistrationsFromProto(list)
	faults.registrations(list, all)
	return all, faults.join()
}

// checkRegistration adds what is wrong with the registration, and compiles its pattern.
func checkRegistration(m *spanwirev1.Registration, r *sio.Registration, faults *faults) {
	if r.Pattern {
		var err error
		if r.Compiled, err = sio.CompilePattern(m.GetNamespace()); err != nil {
			r.Namespace = sio.Namespace(m.GetNamespace())
			faults.add("%s is no pattern of namespaces (RE2): %s", title(r), message(err))
		}
	} else if !contract.ValidNamespace(r.Namespace) {
		faults.add("%s must begin with a slash, have no comma and at most %d bytes", title(r), contract.MaxName)
	}
	checkNames("event", r.Events, "; use the fields connect and disconnect", r, faults)
	checkNames("message", r.Messages, "", r, faults)
}

// checkNames checks the names of events or of messages.
func checkNames(what string, names []string, instead string, r *sio.Registration, faults *faults) {
	where := title(r)
	if len(names) > maxEvents {
		all := "catch_all takes any"
		if what == "message" {
			all = `"*" takes any`
		}
		faults.add("%s has %d %ss; at most %d are taken, %s", where, len(names), what, maxEvents, all)
	}
	seen := make(map[string]bool)
	for _, name := range names {
		switch {
		case len(name) > contract.MaxName:
			faults.add("%s %q of %s must have at most %d bytes", what, contract.Clip(name, contract.MaxName), where, contract.MaxName)
		case name == "" && what == "message":
			faults.add("a message of %s has no name", where)
		case sio.ReservedEvent(name):
			faults.add("%s %q of %s is kept by Socket.IO%s", what, name, where, instead)
		case seen[name]:
			faults.add("%s %q of %s stands twice", what, name, where)
		}
		seen[name] = true
	}
}

func title(r *sio.Registration) string {
	if r.Pattern {
		return fmt.Sprintf("pattern %q", contract.Clip(string(r.Namespace), contract.MaxName))
	}
	return fmt.Sprintf("namespace %q", contract.Clip(string(r.Namespace), contract.MaxName))
}

// message returns the words of an error without its code.
func message(err error) string {
	var e *sio.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// faults collects what is wrong. The first few are enough to begin with, and a status has little
// room.
type faults struct {
	frame string // its name
	list  []error
	more  int
}

const maxFaults = 10

// registrations checks what was translated from the list.
func (f *faults) registrations(list []*spanwirev1.Registration, all []sio.Registration) {
	if n := len(list); n == 0 || n > maxNamespaces {
		f.add("there are %d registrations; 1 to %d are needed, one for each namespace", n, maxNamespaces)
	}
	type key struct {
		namespace sio.Namespace
		pattern   bool
	}
	seen, patterns := make(map[key]bool), 0
	for i := range all {
		x := &all[i]
		checkRegistration(list[i], x, f)
		if k := (key{x.Namespace, x.Pattern}); seen[k] {
			f.add("%s stands twice; put its events into one registration", title(x))
		} else {
			seen[k] = true
		}
		if x.Pattern {
			patterns++
		}
	}
	if patterns > maxPatterns {
		f.add("there are %d patterns; at most %d are taken, one can match many namespaces", patterns, maxPatterns)
	}
}

func (f *faults) add(format string, args ...any) {
	if len(f.list) == maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, fmt.Errorf(f.frame+": "+format, args...))
}

func (f *faults) join() error {
	if f.more > 0 {
		f.list = append(f.list, fmt.Errorf("and %d more", f.more))
	}
	return errors.Join(f.list...)
}
