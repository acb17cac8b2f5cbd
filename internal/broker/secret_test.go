// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"reflect"
	"strings"
	"testing"
)

// Secrets come from files that flags, variables or the configuration file name.
func TestLoad_SecretFiles(t *testing.T) {
	tokens, secret := file(t, "first-long-secret\r\nsecond-long-secret\r\n\r\n"), file(t, "third-long-secret\n")
	c, _, err := load(t, []string{"--service-tokens-file", tokens, "--config", file(t, "cluster_secret_file: "+secret+"\n")}, "SPANWIRE_NATS_TOKEN_FILE="+file(t, "fourth-long-secret"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"first-long-secret", "second-long-secret"}; !reflect.DeepEqual(c.Listen.ServiceTokens, want) {
		t.Errorf("tokens: %q", c.Listen.ServiceTokens)
	}
	if c.Cluster.Secret != "third-long-secret" || c.Cluster.NATS.Token != "fourth-long-secret" || len(c.Shown) != 0 {
		t.Errorf("%q %q %q", c.Cluster.Secret, c.Cluster.NATS.Token, c.Shown)
	}
}

// A file that gives no secret stops the start, and no message quotes a secret.
func TestLoad_SecretFilesErr(t *testing.T) {
	for want, args := range map[string][]string{
		"setting nats-token-file: nats-token is given too": {"--nats-token-file", file(t, "long-secret"), "--nats-token", "other-long-secret"},
		"setting service-tokens-file: open /nothing":       {"--service-tokens-file", "/nothing"},
		"setting service-tokens-file: read ":               {"--service-tokens-file", t.TempDir()},
		"is empty":                                         {"--service-tokens-file", file(t, "\n\n")},
		"is larger than":                                   {"--cluster-secret-file", file(t, strings.Repeat("long-secret", 10_000))},
		"has more than one line":                           {"--cluster-secret-file", file(t, "long-secret\nlong-secret")},
		"setting cluster-secret: it can be guessed":        {"--cluster-secret-file", file(t, "short\n")},
	} {
		_, _, err := load(t, args)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "long-secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// Secrets that stand in the command line are known, and URLs only when they hold one.
func TestLoad_Shown(t *testing.T) {
	for want, args := range map[string][]string{
		"cluster-secret service-tokens": {"--service-tokens", "first-long-secret", "--cluster-secret=second-long-secret"},
		"nats-url":                      {"--nats-url", "nats://user:secret@host:4222"},
		"":                              {"--nats-url", "nats://host:4222", "--service-tokens", ""},
	} {
		c, _, err := load(t, args, "SPANWIRE_NATS_TOKEN=third-long-secret")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(want) {
			if !strings.Contains(strings.Join(c.Shown, " "), name) {
				t.Errorf("%q: %q", args, c.Shown)
			}
		}
		if len(c.Shown) != len(strings.Fields(want)) {
			t.Errorf("%q: %q", args, c.Shown)
		}
	}
}

// Beyond loopback the operators' listener needs a way to know who asks.
func TestValidate_Operators(t *testing.T) {
	for address, change := range map[string]func(*Config){
		"127.0.0.1:5001": nil, "localhost:5001": nil, "[::1]:5001": nil, "": nil,
		"0.0.0.0:5001":  func(c *Config) { c.Listen.InsecureOperator = true },
		":5001":         func(c *Config) { c.Listen.ServiceTokens = []string{"first-long-secret"} },
		"10.0.0.1:5001": func(c *Config) { c.Listen.ServiceCallers = "callers.yaml" },
		"[::]:5001":     func(c *Config) { c.Listen.OperatorTLS = TLS{Cert: "c", Key: "k", ClientCA: "ca"} },
	} {
		c := DefaultConfig()
		c.Listen.OperatorAddress = address
		if change != nil {
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "insecure-operators") {
				t.Errorf("%s: %v", address, err)
			}
			change(c)
		}
		if err := c.Validate(); err != nil && strings.Contains(err.Error(), "insecure-operators") {
			t.Errorf("%s: %v", address, err)
		}
	}
	c := DefaultConfig()
	c.Listen.OperatorAddress, c.Listen.OperatorTLS = "0.0.0.0:5001", TLS{Cert: "c", Key: "k"}
	if err := c.Validate(); err == nil {
		t.Error("a certificate of its own tells nothing of who asks")
	}
}
