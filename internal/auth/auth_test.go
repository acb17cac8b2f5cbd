// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/certs/certstest"
	"github.com/spanwire/spanwire/internal/sio"
)

const example = `
callers:
  - name: chat
    tokens: [token-of-chat-0001, token-of-chat-0002]
    services: [chat]
    namespaces: [/, /admin]
    namespace_patterns: ["/room-[0-9]+"]
  - name: cron
    token_files: [cron.token]
    may: [emit]
  - name: watch
    certificates: [spiffe://test/watch]
    may: [query]
`

func open(t *testing.T, text string, tokens ...string) (*Callers, string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "callers.yaml")
	for name, content := range map[string]string{"callers.yaml": text, "cron.token": "\ntoken-of-cron-0001\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(tokens, file)
	return c, file, err
}

func TestCallers_Authenticate(t *testing.T) {
	c, _, err := open(t, example, "master-token")
	if err != nil {
		t.Fatal(err)
	}
	unknown, wanted := 0, 0
	c.Unknown = func() { unknown++ }
	authority := certstest.New(t)
	shows := func(name string) *tls.ConnectionState {
		leaf := parse(t, authority, name)
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}
	}
	for name, tt := range map[string]struct {
		token string
		peer  *tls.ConnectionState
		want  string
	}{
		"master":                {"master-token", nil, "service-tokens"},
		"first token":           {"token-of-chat-0001", nil, "chat"},
		"second token":          {"token-of-chat-0002", nil, "chat"},
		"token of a file":       {"token-of-cron-0001", nil, "cron"},
		"certificate":           {"", shows("watch"), "watch"},
		"unknown token":         {"token-of-nobody-01", nil, ""},
		"unknown, certificate":  {"token-of-nobody-01", shows("watch"), ""},
		"nothing":               {"", nil, ""},
		"unknown certificate":   {"", shows("nobody"), ""},
		"unchecked certificate": {"", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{parse(t, authority, "watch")}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.Authenticate(tt.token, tt.peer)
			if tt.want == "" {
				wanted++
			}
			if unknown != wanted {
				t.Errorf("%d unknown were counted, not %d", unknown, wanted)
			}
			switch {
			case tt.want == "" && sio.CodeOf(err) != sio.CodeUnauthenticated:
				t.Errorf("accepted as %q: %v", got.Name(), err)
			case tt.want != "" && (err != nil || got.Name() != tt.want):
				t.Errorf("%q, %v", got.Name(), err)
			case tt.token != "" && err != nil && strings.Contains(err.Error(), tt.token):
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
	var nobody *Callers
	if got, err := nobody.Authenticate("", nil); got != nil || err != nil {
		t.Errorf("when nobody is asked: %v, %v", got, err)
	}
}

func parse(t *testing.T, a *certstest.Authority, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.Issue(name))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestCaller_May(t *testing.T) {
	c, _, err := open(t, example)
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]*Caller{"anybody": nil}
	for _, x := range *c.list.Load() {
		who[x.name] = x
	}
	named := func(ns sio.Namespace) []sio.Registration { return []sio.Registration{{Namespace: ns}} }
	pattern := func(text sio.Namespace) []sio.Registration {
		return []sio.Registration{{Namespace: text, Pattern: true}}
	}
	for _, tt := range []struct {
		what string
		err  error
		ok   bool
	}{
		{"anybody registers", who["anybody"].MayRegister("x", named("/x")), true},
		{"anybody follows all", who["anybody"].Everywhere(Query), true},
		{"chat registers", who["chat"].MayRegister("chat", named("/admin")), true},
		{"chat registers another service", who["chat"].MayRegister("other", named("/")), false},
		{"chat registers elsewhere", who["chat"].MayRegister("chat", named("/other")), false},
		{"chat registers what its pattern matches", who["chat"].MayRegister("chat", named("/room-7")), true},
		{"chat registers its pattern", who["chat"].MayRegister("chat", pattern("/room-[0-9]+")), true},
		{"chat registers a wider pattern", who["chat"].MayRegister("chat", pattern("/.*")), false},
		{"chat emits", who["chat"].May(Emit, "/", false), true},
		{"chat emits to a wider pattern", who["chat"].May(Emit, "/.*", true), false},
		{"chat emits elsewhere", who["chat"].May(Emit, "/other", false), false},
		{"chat looks everywhere", who["chat"].Everywhere(Query), false},
		{"cron emits anywhere", who["cron"].May(Emit, "/other", false), true},
		{"cron emits to a pattern", who["cron"].May(Emit, "/.*", true), true},
		{"cron registers", who["cron"].MayRegister("cron", named("/")), false},
		{"cron looks", who["cron"].May(Query, "/", false), false},
		{"watch looks everywhere", who["watch"].Everywhere(Query), true},
		{"anybody retires", who["anybody"].MayRetire("x"), true},
		{"service-tokens retires", everything.MayRetire("x"), true},
		{"operator retires its service", (&Caller{rights: []Right{Retire}, services: []sio.ServiceName{"x"}}).MayRetire("x"), true},
		{"operator retires another", (&Caller{rights: []Right{Retire}, services: []sio.ServiceName{"x"}}).MayRetire("y"), false},
		{"operator without the right retires", (&Caller{rights: []Right{Register, Emit, Query}}).MayRetire("x"), false},
		{"chat retires, which may not use all namespaces", who["chat"].MayRetire("chat"), false},
		{"watch emits", who["watch"].May(Emit, "/", false), false},
	} {
		if (tt.err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.what, tt.err)
		}
		if tt.err != nil && (sio.CodeOf(tt.err) != sio.CodeDenied || !strings.Contains(tt.err.Error(), "service-callers")) {
			t.Errorf("%s: %v", tt.what, tt.err)
		}
	}
}

// A file that makes no sense says all that is wrong, and those who might call before still may.
func TestCallers_Load(t *testing.T) {
	c, file, err := open(t, example)
	if err != nil {
		t.Fatal(err)
	}
	for text, wants := range map[string][]string{
		"callers: {":                            {"callers.yaml"},
		"":                                      {"no list"},
		"callers: [{name: a, tokn: [x]}]":       {"tokn"},
		"callers: [{name: a}]":                  {"caller a", "nobody can be it"},
		"callers: [{name: a, tokens: [short]}]": {"caller a", "token 1", "guessed"},
		"callers: [{name: a, tokens: long-enough-token}]": {"line 1"},
		"callers: [long-enough-token]":                    {"line 1"},
		"callers: [{name: a, certificates: [x], services: []}, {certificates: [y], namespaces: , namespace_patterns: [], may: }]": {
			"caller a: services has no items", "caller number 2: namespaces has", "namespace_patterns has", "may has",
		},
		"callers: [{name: a, token_files: [no]}]": {"caller a", "no such file"},
		"callers: [{name: a, certificates: [x], may: [everything]}, {certificates: [y], namespaces: [x], namespace_patterns: ['(']}]": {
			`caller a: "everything"`, "caller number 2", "slash", "no pattern",
		},
		"callers: [{name: a, certificates: [x]}, {name: a, certificates: [y]}, {name: b, certificates: [x]}]": {"stands twice", "same certificate"},
		"callers: [{name: a, tokens: [long-enough-token]}, {name: b, tokens: [long-enough-token]}]":           {"same token"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := c.Load()
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", text, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "long-en") {
			t.Errorf("the error tells a token: %v", err)
		}
		if got, err := c.Authenticate("token-of-chat-0001", nil); err != nil || got.Name() != "chat" {
			t.Errorf("after nonsense: %v", err)
		}
	}
	if err := os.WriteFile(file, []byte("callers: [{name: late, tokens: [token-of-late-0001]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Authenticate("token-of-chat-0001", nil); sio.CodeOf(err) != sio.CodeUnauthenticated {
		t.Errorf("a token that was taken away: %v", err)
	}
	if got, err := c.Authenticate("token-of-late-0001", nil); err != nil || got.Name() != "late" {
		t.Errorf("a token that was added: %v", err)
	}
	if err := os.WriteFile(file, []byte("callers: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(); err != nil || !c.Asked() {
		t.Errorf("an empty list lets nobody in, and does not open the entry point: %v, asked %v", err, c.Asked())
	}
}
