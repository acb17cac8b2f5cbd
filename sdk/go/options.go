// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// DeliveryMode says what happens to an event whose instance went away before it answered.
type DeliveryMode int

const (
	// AtLeastOnce gives the event to another instance, or to this one when it is back, with
	// Event.Redeliveries counted up.
	AtLeastOnce DeliveryMode = iota
	// AtMostOnce drops the event. The broker counts it.
	AtMostOnce
)

// Options shapes a Service or an Emitter. The zero value is usable.
type Options struct {
	// Address is where the broker takes services, "host:port"; several are separated by commas.
	// Empty means the environment variable SPANWIRE_ADDRESS, and 127.0.0.1:50051 when that is empty
	// too.
	Address string
	// Token is sent to the broker as "authorization: Bearer". Empty means the environment variable
	// SPANWIRE_TOKEN.
	Token string
	// TokenSource gives the token in place of Token. It is asked for each call and each attempt to
	// attach, at the same time from several goroutines, so a token may change while the program
	// runs.
	TokenSource func(ctx context.Context) (string, error)
	// TLS is used to dial the broker. Nil means what the environment says: SPANWIRE_TLS=true asks
	// for TLS, SPANWIRE_TLS_CA names a file with the certificates to trust in place of the
	// system's. Without any of them the stream is not encrypted, token included, which suits a
	// network that nobody else can read.
	TLS *tls.Config
	// CertificateFile and CertificateKeyFile name the certificate to show to the broker, and its
	// key, in PEM; they ask for TLS too. They are read for each connection, so they may be replaced
	// while the program runs.
	CertificateFile, CertificateKeyFile string
	// DialOptions are added to those of this package.
	DialOptions []grpc.DialOption

	// InstanceID names this process in the cluster. Empty means the host's name and a random part.
	InstanceID string
	// Window bounds the events that are open in this process at a time. Zero means the broker's
	// default.
	Window int
	// Delivery says what happens to open events when the stream breaks.
	Delivery DeliveryMode
	// Credentials asks for the headers Cookie and Authorization of the handshake, which are
	// withheld otherwise.
	Credentials bool
	// OneReplica attaches to the given addresses only, not to the other replicas that the broker
	// tells of.
	OneReplica bool

	// Retire says, when Run ends, that the service retires: if no other instance of it remains in
	// the cluster, connects no longer wait for it and its queued events are dropped. It is for
	// services that are renamed or removed, and for development. False means what the environment
	// variable SPANWIRE_RETIRE says.
	Retire bool

	// DrainTimeout bounds how long Run goes on after its context ended, so that open handlers
	// finish. Zero means 10 s.
	DrainTimeout time.Duration
	// EmitTimeout bounds the wait of an emit that finds no broker attached or the queue to it full,
	// and of an Emitter's call. Zero means 10 s.
	EmitTimeout time.Duration
	// AttachTimeout bounds one attempt to attach. Zero means 10 s.
	AttachTimeout time.Duration
	// MinBackoff and MaxBackoff bound the random pause between attempts to attach. Zero means 100
	// ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxQueue bounds the bytes that wait to be sent to one replica. An emit that does not fit
	// waits. Zero means 8 MiB.
	MaxQueue int

	// Logger is told what goes on. Nil means slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Address == "" {
		o.Address = os.Getenv("SPANWIRE_ADDRESS")
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:50051"
	}
	if o.Token == "" {
		o.Token = os.Getenv("SPANWIRE_TOKEN")
	}
	o.Retire = o.Retire || os.Getenv("SPANWIRE_RETIRE") == "true"
	if o.InstanceID == "" {
		o.InstanceID = newInstanceID()
	}
	setDefault(&o.DrainTimeout, 10*time.Second)
	setDefault(&o.EmitTimeout, 10*time.Second)
	setDefault(&o.AttachTimeout, 10*time.Second)
	setDefault(&o.MinBackoff, 100*time.Millisecond)
	setDefault(&o.MaxBackoff, 5*time.Second)
	setDefault(&o.MaxQueue, 8<<20)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (o *Options) addresses() []string {
	var list []string
	for a := range strings.SplitSeq(o.Address, ",") {
		if a = strings.TrimSpace(a); a != "" {
			list = append(list, a)
		}
	}
	return list
}

func newInstanceID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "instance"
	}
	id := strings.Map(func(r rune) rune {
		if idRune(r) {
			return r
		}
		return '-'
	}, host)
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return id[:min(len(id), 100)] + "-" + hex.EncodeToString(random[:])
}

// idRune tells whether the broker takes the character in the name of a service or an instance.
func idRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

func validID(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool { return !idRune(r) }) < 0
}
