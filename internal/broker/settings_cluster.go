// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/config"
)

// The settings of the broker's part in the cluster, and of its process. Those of NATS and of
// forwarding stand in their own packages.

// Settings declares what the broker itself needs of the cluster.
func (o *Cluster) Settings() []config.Setting {
	return config.Group(config.Cluster,
		config.Text("cluster-tls-cert", &o.TLS.Cert, "",
			"File with the PEM certificate chain that this replica shows to other replicas and to NATS: at "+
				"nats-listen and forward-address, and where it dials theirs. All replicas need one, or none.", o.TLS.whole("cluster")),
		config.Text("cluster-tls-key", &o.TLS.Key, "",
			"File with the PEM key of cluster-tls-cert."),
		config.Text("cluster-tls-client-ca", &o.TLS.ClientCA, "",
			"File with the PEM certificates of the authorities whose certificates other replicas and NATS must "+
				"show, in both directions.", o.TLS.authority("cluster"), o.TLS.mutual),
		config.Text("forward-address", &o.ForwardAddress, "127.0.0.1:0",
			"Where other replicas forward requests of this replica's sessions, so that a balancer may send "+
				"each request to any replica. Beyond loopback it needs cluster-secret or nats-token, and a "+
				"private network. A replica that was given neither nats-url nor nats-listen has no others and "+
				"does not open it. Empty turns it off.", config.Optional(config.Address), o.protectedForward),
		config.Text("forward-advertise-address", &o.ForwardAdvertise, "",
			"The host:port at which other replicas reach forward-address, announced to them. Empty means "+
				"forward-address when it names a host; a loopback one is announced only when NATS is on loopback, "+
				"too.", o.validAdvertise),
		config.Text("cluster-secret", &o.Secret, "",
			"Secret that the replicas of a cluster share. It authenticates all that they say to each other over "+
				"NATS, and requests that one of them forwards: replicas with another secret, or none, are not "+
				"believed. Empty means nats-token.", validSecret).Secret(),
	)
}

// Settings declares the settings of the process.
func (o *Process) Settings() []config.Setting {
	return config.Group(config.Process,
		config.Duration("drain-timeout", &o.DrainTimeout, 25*time.Second,
			"Most time that a stopping broker takes to send browsers away and to let handlers finish. What is "+
				"left then is cut off. A session is closed when handlers have answered its events, after three "+
				"fifths of it at the latest; sessions get three quarters of it. `broker dev` sets it to 3 s.", config.Positive),
		config.Duration("drain-spread", &o.DrainSpread, 10*time.Second,
			"Time over which a stopping broker closes its sessions, so that the browsers do not all reconnect at "+
				"once; never more than half of drain-timeout. `broker dev` sets it to 0.", config.NotNegative("0 closes all sessions at once")),
		config.Size("memory-limit", &o.MemoryLimit, 0,
			"Memory that the broker tries not to exceed: near it, the runtime collects garbage more often. 0 "+
				"stands for GOMEMLIMIT when the environment sets it, else for 90 % of what the container may have "+
				"(cgroup), and for no limit without one."),
		config.Text("log-level", &o.LogLevel, "info",
			"Least important lines to be logged: debug, info, warn or error.", config.OneOf("debug", "info", "warn", "error")),
		config.Text("log-format", &o.LogFormat, "text",
			"Form of the log on standard error: text or json.", config.OneOf("text", "json")),
		config.Toggle("profiling", &o.Profiling, true,
			"Serves Go profiles at operator-address under /debug/pprof/."),
		config.Toggle("exit-with-parent", &o.ExitWithParent, false,
			"Stops the broker when the process that started it ends. For programs that start a broker of their "+
				"own."),
	)
}

// SharedSecret authenticates envelopes and forwarded requests of replicas. Empty means that every
// program that reaches NATS and the loopback is trusted.
func (o *Cluster) SharedSecret() string {
	if o.Secret != "" {
		return o.Secret
	}
	return o.NATS.Token
}

func validSecret(secret string) error {
	if secret != "" && config.Guessable(secret) {
		return fmt.Errorf("it can be guessed or mistyped; use at least %d characters without spaces", config.MinSecret)
	}
	return nil
}

// HasOthers tells whether there can be other replicas.
func (o *Cluster) HasOthers() bool { return o.NATS.URL != "" || o.NATS.Listen != "" }

// OpenNATS tells whether replicas use an external NATS that lets anyone publish, and share no
// secret that authenticates them.
func (o *Cluster) OpenNATS() bool {
	if o.NATS.URL == "" || o.SharedSecret() != "" || o.TLS.Cert != "" {
		return false
	}
	for server := range strings.SplitSeq(o.NATS.URL, ",") {
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

// AnnouncedForward is the address that other replicas forward requests to. It is empty when they
// cannot be expected to reach it.
func (o *Cluster) AnnouncedForward(listening net.Addr) string {
	if o.ForwardAdvertise != "" {
		return o.ForwardAdvertise
	}
	address := listening.String()
	host, _, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host).IsUnspecified() || config.Loopback(address) && !o.onLoopback() {
		return ""
	}
	return address
}

// onLoopback tells whether all other replicas must be on this machine, since NATS is.
func (o *Cluster) onLoopback() bool {
	if o.NATS.Listen != "" {
		return config.Loopback(o.NATS.Listen)
	}
	for server := range strings.SplitSeq(o.NATS.URL, ",") {
		u, err := natsServer(server)
		if err != nil || u.Host == "" || !config.Loopback(net.JoinHostPort(u.Hostname(), "0")) {
			return false
		}
	}
	return true
}

// protectedForward rejects a listener at which anyone could pass for another replica.
func (o *Cluster) protectedForward(address string) error {
	if address == "" || config.Loopback(address) || o.SharedSecret() != "" {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines, where anyone could pass for another replica; set cluster-secret or nats-token", address)
}

func (o *Cluster) validAdvertise(address string) error {
	switch {
	case address == "":
		return nil
	case o.ForwardAddress == "":
		return errors.New("it is announced to no replica while forward-address is empty")
	}
	return config.Address(address)
}

// mutual rejects half of the certificates: replicas show them to each other.
func (t *TLS) mutual(string) error {
	if (t.Cert == "") != (t.ClientCA == "") {
		return errors.New("replicas show certificates to each other, so each needs authorities for those of the others; set cluster-tls-cert, cluster-tls-key and " +
			"cluster-tls-client-ca together")
	}
	return nil
}
