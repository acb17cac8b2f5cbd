// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Hosts matches the Host of requests with the entries of a setting. An entry without a port matches
// the host at every port.
type Hosts struct {
	any     bool
	allowed map[string]bool // "name" or "name:port" in normal form, without a dot at the end
}

// ParseHosts reads the entries. An error names each that is wrong, and says what is wrong with it.
func ParseHosts(entries []string) (*Hosts, error) {
	hosts := &Hosts{allowed: make(map[string]bool)}
	var faults []error
	for _, entry := range entries {
		if entry == Any {
			hosts.any = true
			continue
		}
		h, err := parseHostEntry(entry)
		if err != nil {
			faults = append(faults, fmt.Errorf("%q is no host: %w", entry, err))
			continue
		}
		hosts.allowed[h.at(h.port)] = true
	}
	return hosts, errors.Join(faults...)
}

func parseHostEntry(entry string) (host, error) {
	switch {
	case strings.Contains(entry, "://"):
		return host{}, errors.New("a host has no scheme; write host or host:port")
	case strings.ContainsAny(entry, "/?#"):
		return host{}, errors.New("a host has no path or query; write host or host:port")
	case strings.Contains(entry, "@"):
		return host{}, errors.New("a host has no user or password")
	}
	h, err := parseWildcard(entry)
	h.name = strings.TrimSuffix(h.name, ".")
	return h, err
}

// at is the entry that matches the host at the port; empty is every port.
func (h host) at(port string) string {
	if port == "" {
		return h.name
	}
	return h.name + ":" + port
}

// Match tells whether an entry matches the Host of a request that came by the scheme.
func (s *Hosts) Match(scheme, hostport string) bool {
	if s.any {
		return true
	}
	h, err := parseHost(hostport)
	if err != nil {
		return false
	}
	h.name = strings.TrimSuffix(h.name, ".")
	if h.port == "" {
		h.port = defaultPort(scheme)
	}
	if s.allowed[h.name] || s.allowed[h.at(h.port)] {
		return true
	}
	if h.name, _ = wild(h.name); h.name == "" {
		return false
	}
	return s.allowed[h.name] || s.allowed[h.at(h.port)]
}

// IsAddress tells whether the Host of a request is an IP address or localhost: then no name server
// can have made a page's own name lead here.
func IsAddress(hostport string) bool {
	h, err := parseHost(hostport)
	if err != nil {
		return false
	}
	name := strings.TrimSuffix(h.name, ".")
	_, err = netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil || name == "localhost"
}
