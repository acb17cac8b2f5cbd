// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"net/url"
	"strings"
	"unicode"
)

// HasOthers tells whether there can be other replicas.
func (c *Cluster) HasOthers() bool { return c.NATSURL != "" || c.NATSListen != "" }

// SharedSecret is what replicas know each other's envelopes and forwarded requests by. Empty means
// that whoever reaches NATS and the loopback is trusted.
func (c *Cluster) SharedSecret() string {
	if c.Secret != "" {
		return c.Secret
	}
	return c.NATSToken
}

// OpenNATS tells whether replicas use an external NATS that lets anyone publish, and share no
// secret by which they know each other.
func (c *Cluster) OpenNATS() bool {
	if c.NATSURL == "" || c.SharedSecret() != "" || c.TLS.Cert != "" {
		return false
	}
	for server := range strings.SplitSeq(c.NATSURL, ",") {
		if u, err := natsServer(server); err != nil || u.User == nil {
			return true
		}
	}
	return false
}

// natsServer reads one of the servers of nats-url.
func natsServer(server string) (*url.URL, error) {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// ForwardTold is what other replicas are told of the address at which this one takes their
// requests. It is empty when they cannot be expected to reach it.
func (c *Cluster) ForwardTold(listening net.Addr) string {
	if c.ForwardAdvertise != "" {
		return c.ForwardAdvertise
	}
	address := listening.String()
	host, _, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host).IsUnspecified() || loopback(address) && !c.onLoopback() {
		return ""
	}
	return address
}

// onLoopback tells whether all other replicas must be on this machine, since NATS is.
func (c *Cluster) onLoopback() bool {
	if c.NATSListen != "" {
		return loopback(c.NATSListen)
	}
	for server := range strings.SplitSeq(c.NATSURL, ",") {
		u, err := natsServer(server)
		if err != nil || u.Host == "" || !loopback(net.JoinHostPort(u.Hostname(), "0")) {
			return false
		}
	}
	return true
}

func (c *Cluster) forwardFaults() (f faults) {
	f.atLeast("max-forwards", c.MaxForwards, 1)
	if s := c.Secret; s != "" && (len(s) < leastToken || strings.ContainsFunc(s, unicode.IsSpace)) {
		f.add("cluster-secret", "it can be guessed or mistyped; use at least %d characters without spaces", leastToken)
	}
	if c.ForwardAddress == "" {
		if c.ForwardAdvertise != "" {
			f.add("forward-advertise-address", "it is told to nobody while forward-address is empty")
		}
		return f
	}
	f.address("forward-address", c.ForwardAddress)
	if c.ForwardAdvertise != "" {
		f.address("forward-advertise-address", c.ForwardAdvertise)
	}
	if !loopback(c.ForwardAddress) && c.SharedSecret() == "" {
		f.add("forward-address", "%q can be reached from other machines, where anyone could pass for another replica; set cluster-secret or "+
			"nats-token", c.ForwardAddress)
	}
	return f
}
