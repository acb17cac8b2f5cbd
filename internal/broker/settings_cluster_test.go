// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"net"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/backplane/nats"
)

// An address is announced to other replicas only if they can be expected to reach it.
func TestCluster_AnnouncedForward(t *testing.T) {
	for _, c := range []struct {
		listening, advertise, url, listen, want string
	}{
		{listening: "127.0.0.1:7", listen: "127.0.0.1:4222", want: "127.0.0.1:7"},
		{listening: "127.0.0.1:7", listen: "localhost:4222", want: "127.0.0.1:7"},
		{listening: "127.0.0.1:7", listen: ":4222"},
		{listening: "127.0.0.1:7", url: "nats://127.0.0.1:4222", want: "127.0.0.1:7"},
		{listening: "127.0.0.1:7", url: "nats://localhost", want: "127.0.0.1:7"},
		{listening: "127.0.0.1:7", url: "user:pass@[::1]:4222, tls://127.0.0.2:1", want: "127.0.0.1:7"},
		{listening: "127.0.0.1:7", url: "nats://127.0.0.1:4222,nats://nats-2:4222"},
		{listening: "[::1]:7", url: "nats://nats:4222"},
		{listening: "127.0.0.1:7", url: "nats://nats:4222", advertise: "127.0.0.1:8", want: "127.0.0.1:8"},
		{listening: "10.0.0.7:7", url: "nats://nats:4222", want: "10.0.0.7:7"},
		{listening: "0.0.0.0:7", url: "nats://127.0.0.1:4222"},
		{listening: "[::]:7", url: "nats://nats:4222", advertise: "10.0.0.7:7", want: "10.0.0.7:7"},
	} {
		address, err := net.ResolveTCPAddr("tcp", c.listening)
		if err != nil {
			t.Fatal(err)
		}
		cluster := Cluster{NATS: nats.Options{URL: c.url, Listen: c.listen}, ForwardAdvertise: c.advertise}
		if got := cluster.AnnouncedForward(address); got != c.want {
			t.Errorf("%+v: announced %q", c, got)
		}
	}
}

// What would admit anyone, or no replica, is rejected.
func TestCluster_ForwardFaults(t *testing.T) {
	for _, c := range []struct {
		args, want string
	}{
		{"--forward-address=:5004", "setting forward-address: \":5004\" can be reached from other machines"},
		{"--forward-address=:5004 --nats-token=long-enough", ""},
		{"--forward-address=10.0.0.7:5004 --cluster-secret=long-enough", ""},
		{"--forward-address= --max-forwards=1", ""},
		{"--forward-address= --forward-advertise-address=a:1", "setting forward-advertise-address: it is announced to no replica"},
		{"--forward-address=nowhere", "setting forward-address: \"nowhere\" is no address"},
		{"--forward-advertise-address=nowhere", "setting forward-advertise-address: \"nowhere\" is no address"},
		{"--cluster-secret=short", "setting cluster-secret: it can be guessed"},
		{"--max-forwards=0", "setting max-forwards: 0 is too small"},
	} {
		_, _, err := load(t, strings.Fields(c.args))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	c := Cluster{NATS: nats.Options{Token: "token"}}
	if c.SharedSecret() != "token" {
		t.Error("the token of NATS is not taken")
	}
	if c.Secret = "secret"; c.SharedSecret() != "secret" {
		t.Error("the secret is not taken")
	}
}

// An external NATS is open when it asks for nothing and the replicas share no secret.
func TestCluster_OpenNATS(t *testing.T) {
	for _, c := range []struct {
		cluster Cluster
		open    bool
	}{
		{Cluster{}, false},
		{Cluster{NATS: nats.Options{Listen: "127.0.0.1:4222"}}, false},
		{Cluster{NATS: nats.Options{URL: "nats://nats:4222"}}, true},
		{Cluster{NATS: nats.Options{URL: "nats:4222"}}, true},
		{Cluster{NATS: nats.Options{URL: "nats://user:pass@nats-1:4222,nats://nats-2:4222"}}, true},
		{Cluster{NATS: nats.Options{URL: "nats://user:pass@nats-1:4222, token@nats-2:4222"}}, false},
		{Cluster{NATS: nats.Options{URL: "nats://nats:4222", Token: "a token"}}, false},
		{Cluster{NATS: nats.Options{URL: "nats://nats:4222"}, Secret: "a secret"}, false},
		{Cluster{NATS: nats.Options{URL: "tls://nats:4222"}, TLS: TLS{Cert: "cert.pem"}}, false},
	} {
		if got := c.cluster.OpenNATS(); got != c.open {
			t.Errorf("%+v: open %v, want %v", c.cluster, got, c.open)
		}
	}
}
