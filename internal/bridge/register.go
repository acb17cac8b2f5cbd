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
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if v := m.GetProtocolVersion(); v != protocolVersion {
		fault("register: protocol_version %d is not spoken here; it must be %d", v, protocolVersion)
	}
	if !name.MatchString(m.GetService()) {
		fault("register: service %q must be 1 to 128 letters, digits, -, _ and .", m.GetService())
	}
	if !name.MatchString(m.GetInstanceId()) {
		fault("register: instance_id %q must be 1 to 128 letters, digits, -, _ and .", m.GetInstanceId())
	}
	if _, known := spanwirev1.DeliveryMode_name[int32(m.GetDeliveryMode())]; !known {
		fault("register: delivery_mode %d is not known", m.GetDeliveryMode())
	}
	if n := len(m.GetRegistrations()); n == 0 || n > maxNamespaces {
		fault("register: there are %d registrations; 1 to %d are needed, one for each namespace", n, maxNamespaces)
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
		x, err := registrationOf(r)
		if err != nil {
			faults = append(faults, err)
		}
		if seen[x.Namespace] {
			fault("register: namespace %q stands twice; put its events into one registration", x.Namespace)
		}
		seen[x.Namespace] = true
		reg.Namespaces = append(reg.Namespaces, x)
	}
	return reg, errors.Join(faults...)
}

func registrationOf(m *spanwirev1.Registration) (sio.Registration, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	ns := namespaceOf(m.GetNamespace())
	if !strings.HasPrefix(string(ns), "/") || len(ns) > maxName || strings.Contains(string(ns), ",") {
		fault("register: namespace %.300q must begin with a slash, have no comma and at most %d bytes", ns, maxName)
	}
	if len(m.GetEvents()) > maxEvents {
		fault("register: namespace %q has %d events; at most %d are taken, catch_all takes any", ns, len(m.GetEvents()), maxEvents)
	}
	seen := make(map[string]bool)
	for _, e := range m.GetEvents() {
		switch {
		case e == "" || len(e) > maxName:
			fault("register: event %.300q of namespace %q must have 1 to %d bytes", e, ns, maxName)
		case sio.ReservedEvent(e):
			fault("register: event %q of namespace %q is kept by Socket.IO; use the fields connect and disconnect", e, ns)
		case seen[e]:
			fault("register: event %q of namespace %q stands twice", e, ns)
		}
		seen[e] = true
	}
	return sio.Registration{
		Namespace: ns, Events: m.GetEvents(), CatchAll: m.GetCatchAll(), Connect: m.GetConnect(), Disconnect: m.GetDisconnect(),
	}, errors.Join(faults...)
}

func namespaceOf(s string) sio.Namespace {
	if s == "" {
		return sio.MainNamespace
	}
	return sio.Namespace(s)
}
