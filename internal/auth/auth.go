// SPDX-License-Identifier: Apache-2.0

// Package auth knows who may call the broker, and what each may do: services that handle events,
// and programs that emit and look. Callers show a bearer token, or a certificate.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/sio"
)

// Right is something that a caller may do.
type Right string

const (
	// Register is to attach as an instance of a service.
	Register Right = "register"
	// Emit is to change what browsers see: emits, rooms, disconnects, data, and messages to
	// instances.
	Emit Right = "emit"
	// Query is to look: sockets, rooms, services, and what happens.
	Query Right = "query"
	// Retire is to forget absent services, so that connects do not wait for them.
	Retire Right = "retire"
	// Operate is to see what a replica does inside: its metrics, and profiles, which cost time and
	// show much.
	Operate Right = "operate"
)

// Caller is an authenticated caller. Nil may do everything: no authentication is configured.
type Caller struct {
	name       string
	rights     []Right
	services   []sio.ServiceName // empty is any
	namespaces []sio.Namespace   // with patterns: both empty is any
	patterns   []*sio.Pattern

	tokens       [][sha256.Size]byte
	certificates []string // names of subjects
}

// Name is for logs.
func (c *Caller) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// MayRegister tells whether the caller may attach as an instance of the service that handles those
// namespaces. An error has CodeDenied.
func (c *Caller) MayRegister(service sio.ServiceName, all []sio.Registration) error {
	if c == nil {
		return nil
	}
	if err := c.may(Register); err != nil {
		return err
	}
	if len(c.services) > 0 && !slices.Contains(c.services, service) {
		return c.denied("register the service %q", service)
	}
	for i := range all {
		if err := c.in(all[i].Namespace, all[i].Pattern); err != nil {
			return err
		}
	}
	return nil
}

// MayRetire tells whether the caller may retire the service. That has an effect in all of its
// namespaces. An error has CodeDenied.
func (c *Caller) MayRetire(service sio.ServiceName) error {
	if err := c.Everywhere(Retire); c == nil || err != nil {
		return err
	}
	if len(c.services) > 0 && !slices.Contains(c.services, service) {
		return c.denied("retire the service %q", service)
	}
	return nil
}

// MayLook tells whether the caller may see the replica's metrics and status, which are of no one
// namespace. An error has CodeDenied.
func (c *Caller) MayLook() error {
	if c == nil || slices.Contains(c.rights, Operate) {
		return nil
	}
	return c.Everywhere(Query)
}

// MayOperate tells whether the caller may take profiles. An error has CodeDenied.
func (c *Caller) MayOperate() error {
	if c == nil {
		return nil
	}
	return c.may(Operate)
}

// May tells whether the caller may do that in the namespace, or in all that match it when it is a
// pattern. An error has CodeDenied.
func (c *Caller) May(r Right, ns sio.Namespace, pattern bool) error {
	if c == nil {
		return nil
	}
	if err := c.may(r); err != nil {
		return err
	}
	return c.in(ns, pattern)
}

// Everywhere tells whether the caller may do that in all namespaces. An error has CodeDenied.
func (c *Caller) Everywhere(r Right) error {
	if c == nil {
		return nil
	}
	if err := c.may(r); err != nil {
		return err
	}
	if len(c.namespaces)+len(c.patterns) > 0 {
		return c.denied("%s in all namespaces at once; name one", r)
	}
	return nil
}

func (c *Caller) may(r Right) error {
	if !slices.Contains(c.rights, r) {
		return c.denied("%s", r)
	}
	return nil
}

func (c *Caller) in(ns sio.Namespace, pattern bool) error {
	switch {
	case len(c.namespaces)+len(c.patterns) == 0:
		return nil
	case pattern:
		if slices.ContainsFunc(c.patterns, func(p *sio.Pattern) bool { return p.String() == string(ns) }) {
			return nil
		}
		return c.denied("use the pattern of namespaces %q", ns)
	case slices.Contains(c.namespaces, ns), slices.ContainsFunc(c.patterns, func(p *sio.Pattern) bool { return p.Matches(ns) }):
		return nil
	}
	return c.denied("use the namespace %q", ns)
}

// Callers are all who may call. Nil, or none, means that nobody is asked.
type Callers struct {
	file   string
	master []string // tokens of the setting service-tokens
	list   atomic.Pointer[[]*Caller]
	files  atomic.Pointer[[]string]
	// Unknown is called for each that nobody knows. Nil calls nothing; set it before Authenticate
	// is called.
	Unknown func()
}

// all are the rights that there are, and usual those of callers of whom none is named.
var (
	all   = []Right{Register, Emit, Query, Retire, Operate}
	usual = []Right{Register, Emit, Query, Retire}
)

// everything is who shows one of the tokens that may do everything.
var everything = &Caller{name: "service-tokens", rights: all}

// Open reads who may call: a caller with one of the tokens may do everything, and one in the file
// what the file says. Either may be empty.
func Open(tokens []string, file string) (*Callers, error) {
	c := &Callers{file: file, master: tokens}
	return c, c.Load()
}

// Asked tells whether callers must show who they are.
func (c *Callers) Asked() bool { return c != nil && (len(c.master) > 0 || c.file != "") }

// Authenticate finds who shows the token, or the certificate of the connection; either may be
// missing. An error has CodeUnauthenticated.
func (c *Callers) Authenticate(token string, peer *tls.ConnectionState) (*Caller, error) {
	if !c.Asked() {
		return nil, nil //nolint:nilnil // nil is who may do everything
	}
	found, err := c.find(token, peer)
	if err != nil && c.Unknown != nil {
		c.Unknown()
	}
	return found, err
}

func (c *Callers) find(token string, peer *tls.ConnectionState) (*Caller, error) {
	if token != "" {
		return c.byToken(token)
	}
	if leaf := verified(peer); leaf != nil {
		for _, x := range *c.list.Load() {
			if slices.ContainsFunc(x.certificates, func(name string) bool { return names(leaf, name) }) {
				return x, nil
			}
		}
		return nil, unknown("no caller of the setting service-callers has the certificate of %q", leaf.Subject.CommonName)
	}
	return nil, unknown("show a token of the setting service-tokens or service-callers: `authorization: Bearer TOKEN`, or a certificate")
}

// byToken compares digests, and all of them, so that the time tells nothing.
func (c *Callers) byToken(token string) (found *Caller, err error) {
	shown := sha256.Sum256([]byte(token))
	for _, t := range c.master {
		known := sha256.Sum256([]byte(t))
		if subtle.ConstantTimeCompare(shown[:], known[:]) == 1 {
			found = everything
		}
	}
	for _, x := range *c.list.Load() {
		for _, known := range x.tokens {
			if subtle.ConstantTimeCompare(shown[:], known[:]) == 1 {
				found = x
			}
		}
	}
	if found == nil {
		return nil, unknown("the token is none of the settings service-tokens and service-callers")
	}
	return found, nil
}

// verified gives the certificate that the peer showed and that was checked, or nil.
func verified(peer *tls.ConnectionState) *x509.Certificate {
	if peer == nil || len(peer.VerifiedChains) == 0 || len(peer.VerifiedChains[0]) == 0 {
		return nil
	}
	return peer.VerifiedChains[0][0]
}

// names tells whether the certificate bears the name: as common name, DNS name or URI.
func names(c *x509.Certificate, name string) bool {
	if c.Subject.CommonName == name || slices.Contains(c.DNSNames, name) {
		return true
	}
	for _, uri := range c.URIs {
		if uri.String() == name {
			return true
		}
	}
	return false
}
