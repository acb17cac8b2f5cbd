// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"cmp"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/certs/certstest"
)

// shake lets a client shake hands with a server, and gives what each says of it. The client reads
// once, since with TLS 1.3 it learns of a refusal late.
func shake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		_, err = tls.Server(conn, server).Write([]byte("x"))
		served <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if client == nil {
		_, clientErr = raw.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		return <-served, clientErr
	}
	client = client.Clone()
	client.ServerName = cmp.Or(client.ServerName, "localhost")
	_, clientErr = tls.Client(raw, client).Read(make([]byte, 1))
	return <-served, clientErr
}

func TestStore_Config(t *testing.T) {
	ours, theirs := certstest.New(t), certstest.New(t)
	cert, key, ca := ours.Write(t.TempDir(), "broker")
	open := func(o Options) *tls.Config {
		t.Helper()
		o.Cert, o.Key = cert, key
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return s.Config()
	}
	foreign := theirs.Client("chat")
	foreign.RootCAs = ours.Pool()
	for name, tt := range map[string]struct {
		server, client *tls.Config
		ok             bool
	}{
		"any client":                    {open(Options{}), ours.Client(""), true},
		"client that trusts others":     {open(Options{}), theirs.Client(""), false},
		"plain text":                    {open(Options{}), nil, false},
		"right certificate":             {open(Options{ClientCA: ca}), ours.Client("chat"), true},
		"no certificate":                {open(Options{ClientCA: ca}), ours.Client(""), false},
		"expired certificate":           {open(Options{ClientCA: ca}), ours.Client("chat", certstest.Expired), false},
		"certificate of others":         {open(Options{ClientCA: ca}), foreign, false},
		"optional: none":                {open(Options{ClientCA: ca, Optional: true}), ours.Client(""), true},
		"optional: expired certificate": {open(Options{ClientCA: ca, Optional: true}), ours.Client("chat", certstest.Expired), false},
	} {
		t.Run(name, func(t *testing.T) {
			serverErr, clientErr := shake(t, tt.server, tt.client)
			if (serverErr == nil && clientErr == nil) != tt.ok {
				t.Errorf("server %v, client %v", serverErr, clientErr)
			}
		})
	}
}

// Who dials with a store believes its authorities, as they are now, and only for the name that was
// dialled.
func TestStore_ClientConfig(t *testing.T) {
	ours, theirs := certstest.New(t), certstest.New(t)
	dir := t.TempDir()
	cert, key, ca := ours.Write(dir, "replica")
	s, err := Open(Options{Cert: cert, Key: key, ClientCA: ca})
	if err != nil {
		t.Fatal(err)
	}
	if serverErr, clientErr := shake(t, s.Config(), s.ClientConfig()); serverErr != nil || clientErr != nil {
		t.Errorf("replicas of one authority: %v, %v", serverErr, clientErr)
	}
	other, key2, ca2 := theirs.Write(t.TempDir(), "outsider")
	outsider, err := Open(Options{Cert: other, Key: key2, ClientCA: ca2})
	if err != nil {
		t.Fatal(err)
	}
	if _, clientErr := shake(t, &tls.Config{Certificates: outsider.current.Load().Certificates}, s.ClientConfig()); clientErr == nil {
		t.Error("a outsider was believed")
	}
	for _, name := range []string{"127.0.0.9", "elsewhere.example"} {
		c := s.ClientConfig()
		c.ServerName = name
		if _, clientErr := shake(t, s.Config(), c); clientErr == nil {
			t.Errorf("a certificate was believed that is not for %s", name)
		}
	}
	theirs.WritePool(ca)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	if _, clientErr := shake(t, outsider.Config(), s.ClientConfig()); clientErr == nil {
		t.Error("it was accepted with a certificate that the other does not trust")
	}
}

func TestStore_Load(t *testing.T) {
	ours := certstest.New(t)
	dir := t.TempDir()
	cert, key, ca := ours.Write(dir, "one")
	s, err := Open(Options{Cert: cert, Key: key, ClientCA: ca})
	if err != nil {
		t.Fatal(err)
	}
	before, ends := s.current.Load(), s.Ends()
	for name, spoil := range map[string]func(){
		"the key of another": func() { other, _ := ours.Issue("two"); overwrite(t, cert, other) },
		"expired": func() {
			c, k := ours.Issue("two", certstest.Expired)
			overwrite(t, cert, c)
			overwrite(t, key, k)
		},
		"no certificate":  func() { overwrite(t, cert, []byte("nonsense")) },
		"no authority":    func() { overwrite(t, ca, nil) },
		"missing":         func() { _ = os.Remove(key) },
		"cut in the half": func() { c, _ := ours.Issue("two"); overwrite(t, cert, c[:len(c)/2]) },
	} {
		t.Run(name, func(t *testing.T) {
			ours.Write(dir, "one")
			spoil()
			if err := s.Load(); err == nil {
				t.Error("it was taken")
			} else if !strings.Contains(err.Error(), dir) {
				t.Errorf("the error names no file: %v", err)
			}
			if s.current.Load() != before || s.Ends() != ends {
				t.Error("what was read before is not in force")
			}
		})
	}
	ours.Write(dir, "two")
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	if got := s.current.Load().Certificates[0].Leaf.Subject.CommonName; got != "two" {
		t.Errorf("%q is in force", got)
	}
	if got := s.Files(); len(got) != 3 || filepath.Base(got[0]) != "cert.pem" {
		t.Errorf("files %q", got)
	}
}

func overwrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
