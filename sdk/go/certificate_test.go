// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificate makes a certificate that vouches for itself, and writes it and its key.
func writeCertificate(t *testing.T, name, file, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{file: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The certificate is shown to the broker, and one that took the place of another from the next
// connection on.
func TestOptions_CertificateFile(t *testing.T) {
	t.Setenv("SPANWIRE_TLS", "")
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	o := Options{CertificateFile: in("me.pem"), CertificateKeyFile: in("me.key")}
	writeCertificate(t, "broker", in("broker.pem"), in("broker.key"))
	t.Setenv("SPANWIRE_TLS_CA", in("broker.pem"))
	if _, err := o.transportCredentials("broker:1"); err == nil {
		t.Error("a certificate that is not there was taken")
	}
	own, err := tls.LoadX509KeyPair(in("broker.pem"), in("broker.key"))
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, "first", in("me.pem"), in("me.key"))
	secrecy, err := o.transportCredentials("broker:1")
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		client, server := net.Pipe()
		name := make(chan string, 1)
		go func() { // ends with the handshake
			c := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}})
			if err := c.Handshake(); err != nil {
				name <- err.Error()
			} else {
				name <- c.ConnectionState().PeerCertificates[0].Subject.CommonName
			}
			_ = server.Close()
		}()
		conn, _, err := secrecy.ClientHandshake(t.Context(), "broker", client)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		return <-name
	}
	for _, name := range []string{"first", "second"} {
		writeCertificate(t, name, in("me.pem"), in("me.key"))
		if got := shown(); got != name {
			t.Errorf("%s was shown, want %s", got, name)
		}
	}
}
