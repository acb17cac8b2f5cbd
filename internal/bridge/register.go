// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
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
	maxName     = 255   // bytes of a namespace or an event
)

var name = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// registerOf translates a registration, or says all that is wrong with it.
func registerOf(m *spanwirev1.Register) (*sio.Register, error) {
	faults := faults{frame: "register"}
	if v := m.GetProtocolVersion(); v != protocolVersion {
		faults.add("protocol_version %d is not spoken here; it must be %d", v, protocolVersion)
	}
	if !name.MatchString(m.GetService()) {
		faults.add("service %q must be 1 to 128 letters, digits, -, _ and .", clip(m.GetService(), maxName))
	}
	if !name.MatchString(m.GetInstanceId()) {
		faults.add("instance_id %q must be 1 to 128 letters, digits, -, _ and .", clip(m.GetInstanceId(), maxName))
	}
	if _, known := spanwirev1.DeliveryMode_name[int32(m.GetDeliveryMode())]; !known {
		faults.add("delivery_mode %d is not known", m.GetDeliveryMode())
	}
	reg := &sio.Register{
		Service:     sio.ServiceName(m.GetService()),
		Instance:    sio.InstanceID(m.GetInstanceId()),
		SDKName:     m.GetSdkName(),
		SDKVersion:  m.GetSdkVersion(),
		Window:      int(m.GetWindow()),
		AtMostOnce:  m.GetDeliveryMode() == spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE,
		Credentials: m.GetCredentials(),
	}
	reg.Namespaces = faults.registrations(m.GetRegistrations())
	return reg, faults.join()
}

// registrationsOf translates the registrations of the frame with the name, or says all that is
// wrong with them.
func registrationsOf(frame string, list []*spanwirev1.Registration) ([]sio.Registration, error) {
	faults := faults{frame: frame}
	all := faults.registrations(list)
	return all, faults.join()
}

func registrationOf(m *spanwirev1.Registration, faults *faults) sio.Registration {
	r := sio.Registration{
		Namespace: namespaceOf(m.GetNamespace()), Pattern: m.GetPattern(), Events: m.GetEvents(), CatchAll: m.GetCatchAll(), Connect: m.GetConnect(),
		ConnectOrder: int(m.GetConnectOrder()), Advisory: m.GetConnectAdvisory(), Disconnect: m.GetDisconnect(), RoomEvents: m.GetRoomEvents(), Messages: m.GetMessages(),
		Concurrent: m.GetConcurrentEvents(),
	}
	ns := string(r.Namespace)
	if r.Pattern {
		var err error
		if r.Compiled, err = sio.CompilePattern(m.GetNamespace()); err != nil {
			r.Namespace = sio.Namespace(m.GetNamespace())
			faults.add("%s is no pattern of namespaces (RE2): %s", titleOf(&r), messageOf(err))
		}
	} else if !strings.HasPrefix(ns, "/") || len(ns) > maxName || strings.Contains(ns, ",") {
		faults.add("%s must begin with a slash, have no comma and at most %d bytes", titleOf(&r), maxName)
	}
	namesOf("event", r.Events, "; use the fields connect and disconnect", &r, faults)
	namesOf("message", r.Messages, "", &r, faults)
	return r
}

// namesOf checks the names of events or of messages.
func namesOf(what string, names []string, instead string, r *sio.Registration, faults *faults) {
	where := titleOf(r)
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
		case len(name) > maxName:
			faults.add("%s %q of %s must have at most %d bytes", what, clip(name, maxName), where, maxName)
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

func titleOf(r *sio.Registration) string {
	if r.Pattern {
		return fmt.Sprintf("pattern %q", clip(string(r.Namespace), maxName))
	}
	return fmt.Sprintf("namespace %q", clip(string(r.Namespace), maxName))
}

// messageOf gives the words of an error without its code.
func messageOf(err error) string {
	var e *sio.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// faults collects what is wrong. The first few are enough to begin mending, and a status has little
// room.
type faults struct {
	frame string // its name
	list  []error
	more  int
}

const maxFaults = 10

func (f *faults) registrations(list []*spanwirev1.Registration) (all []sio.Registration) {
	if n := len(list); n == 0 || n > maxNamespaces {
		f.add("there are %d registrations; 1 to %d are needed, one for each namespace", n, maxNamespaces)
	}
	type key struct {
		namespace sio.Namespace
		pattern   bool
	}
	seen, patterns := make(map[key]bool), 0
	for _, r := range list {
		x := registrationOf(r, f)
		if k := (key{x.Namespace, x.Pattern}); seen[k] {
			f.add("%s stands twice; put its events into one registration", titleOf(&x))
		} else {
			seen[k] = true
		}
		if x.Pattern {
			patterns++
		}
		all = append(all, x)
	}
	if patterns > maxPatterns {
		f.add("there are %d patterns; at most %d are taken, one can match many namespaces", patterns, maxPatterns)
	}
	return all
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

func namespaceOf(s string) sio.Namespace {
	if s == "" {
		return sio.MainNamespace
	}
	return sio.Namespace(s)
}
