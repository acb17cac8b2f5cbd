// SPDX-License-Identifier: Apache-2.0

// Package certs keeps the certificate of a listener and the authorities of its callers, read from
// files and read again when those change. Connections keep what they began with.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Options name the files, in PEM. Cert and Key are needed.
type Options struct {
	Cert, Key string
	// ClientCA holds the authorities whose certificates callers must show. Empty asks for none.
	ClientCA string
	// Optional accepts callers that show no certificate; one that is shown is checked all the same.
	Optional bool
	// Protocols are offered to callers (ALPN).
	Protocols []string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store is the certificate in use.
type Store struct {
	o       Options
	current atomic.Pointer[tls.Config]
	ends    atomic.Int64 // when the certificate does, in seconds since 1970
}

// Open reads the files.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{o: o}
	return s, s.Load()
}

// Files names the files.
func (s *Store) Files() []string {
	files := []string{s.o.Cert, s.o.Key}
	if s.o.ClientCA != "" {
		files = append(files, s.o.ClientCA)
	}
	return files
}

// Load reads the files again. An error says why the certificate in use stays.
func (s *Store) Load() error {
	pair, err := tls.LoadX509KeyPair(s.o.Cert, s.o.Key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", s.o.Cert, s.o.Key, err)
	}
	if now := s.o.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return fmt.Errorf("certificate %s is valid from %s to %s, not now", s.o.Cert, pair.Leaf.NotBefore.Format(time.RFC3339),
			pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: s.o.Protocols, Time: s.o.Now,
	}
	if s.o.ClientCA != "" {
		if c.ClientCAs, err = Pool(s.o.ClientCA); err != nil {
			return err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if s.o.Optional {
			c.ClientAuth = tls.VerifyClientCertIfGiven
		}
		// A caller that was here before must not be accepted by an authority that is not trusted
		// any more.
		c.SessionTicketsDisabled = true
	}
	s.ends.Store(pair.Leaf.NotAfter.Unix())
	s.current.Store(c)
	return nil
}

// Config is for a listener. Each connection begins with what was read last.
func (s *Store) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: s.o.Protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil },
	}
}

// ClientConfig is for one connection to others that have a certificate of the same authorities; it
// shows this one. Take one for each connection: it has what was read last. crypto/tls
// checks the name, or the address, that is dialled.
func (s *Store) ClientConfig() *tls.Config {
	now := s.current.Load()
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: now.Certificates, RootCAs: now.ClientCAs, Time: s.o.Now}
}

// Ends is the expiry of the certificate in use, in seconds since 1970.
func (s *Store) Ends() int64 { return s.ends.Load() }

// Pool reads a file of authorities.
func Pool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates of authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("there is no certificate in " + file)
	}
	return pool, nil
}
