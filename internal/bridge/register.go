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

// Limits of a registration. They are far beyond what a service needs, and keep nonsense from becoming state.
const (
	maxNamespaces = 1000
	maxEvents     = 10000
	maxName       = 255 // bytes of a namespace or an event
)

var name = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// registerOf translates a registration, or says all that is wrong with it.
func registerOf(m *spanwirev1.Register) (*sio.Register, error) {
	var faults faults
	if v := m.GetProtocolVersion(); v != protocolVersion {
		faults.add("register: protocol_version %d is not spoken here; it must be %d", v, protocolVersion)
	}
	if !name.MatchString(m.GetService()) {
		faults.add("register: service %q must be 1 to 128 letters, digits, -, _ and .", clip(m.GetService(), maxName))
	}
	if !name.MatchString(m.GetInstanceId()) {
		faults.add("register: instance_id %q must be 1 to 128 letters, digits, -, _ and .", clip(m.GetInstanceId(), maxName))
	}
	if _, known := spanwirev1.DeliveryMode_name[int32(m.GetDeliveryMode())]; !known {
		faults.add("register: delivery_mode %d is not known", m.GetDeliveryMode())
	}
	if n := len(m.GetRegistrations()); n == 0 || n > maxNamespaces {
		faults.add("register: there are %d registrations; 1 to %d are needed, one for each namespace", n, maxNamespaces)
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
	seen := make(map[sio.Namespace]bool)
	for _, r := range m.GetRegistrations() {
		x := registrationOf(r, &faults)
		if seen[x.Namespace] {
			faults.add("register: namespace %q stands twice; put its events into one registration", clip(string(x.Namespace), maxName))
		}
		seen[x.Namespace] = true
		reg.Namespaces = append(reg.Namespaces, x)
	}
	return reg, faults.join()
}

func registrationOf(m *spanwirev1.Registration, faults *faults) sio.Registration {
	ns := namespaceOf(m.GetNamespace())
	where := clip(string(ns), maxName)
	if !strings.HasPrefix(string(ns), "/") || len(ns) > maxName || strings.Contains(string(ns), ",") {
		faults.add("register: namespace %q must begin with a slash, have no comma and at most %d bytes", where, maxName)
	}
	if len(m.GetEvents()) > maxEvents {
		faults.add("register: namespace %q has %d events; at most %d are taken, catch_all takes any", where, len(m.GetEvents()), maxEvents)
	}
	seen := make(map[string]bool)
	for _, e := range m.GetEvents() {
		switch {
		case e == "" || len(e) > maxName:
			faults.add("register: event %q of namespace %q must have 1 to %d bytes", clip(e, maxName), where, maxName)
		case sio.ReservedEvent(e):
			faults.add("register: event %q of namespace %q is kept by Socket.IO; use the fields connect and disconnect", e, where)
		case seen[e]:
			faults.add("register: event %q of namespace %q stands twice", e, where)
		}
		seen[e] = true
	}
	return sio.Registration{
		Namespace: ns, Events: m.GetEvents(), CatchAll: m.GetCatchAll(), Connect: m.GetConnect(), Disconnect: m.GetDisconnect(),
	}
}

// faults collects what is wrong. The first few are enough to begin mending, and a status has little room.
type faults struct {
	list []error
	more int
}

const maxFaults = 10

func (f *faults) add(format string, args ...any) {
	if len(f.list) == maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, fmt.Errorf(format, args...))
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
