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

// DeliveryMode selects what happens to an event whose instance detached before it answered.
type DeliveryMode int

const (
	// AtLeastOnce dispatches the event again, to another instance or to this one when it is
	// attached again. Event.Redeliveries counts the dispatches before.
	AtLeastOnce DeliveryMode = iota
	// AtMostOnce drops the event. The broker counts it.
	AtMostOnce
)

// Options configures a Service or an Emitter. The zero value is usable.
type Options struct {
	// Address is the broker's service-address, "host:port", or several separated by commas. Empty
	// means the environment variable SPANWIRE_ADDRESS, and 127.0.0.1:50051 without it.
	Address string
	// Token is sent to the broker as "authorization: Bearer". Empty means the environment variable
	// SPANWIRE_TOKEN.
	Token string
	// TokenSource returns the token, in place of Token. It is called for each call and each attempt
	// to attach, also concurrently. Use it for tokens that expire.
	TokenSource func(ctx context.Context) (string, error)
	// TLS is the configuration for connections to the broker. Nil means the environment:
	// SPANWIRE_TLS=true enables TLS, and SPANWIRE_TLS_CA names a file with the certificates to
	// trust in place of the system's. Without either the stream is not encrypted, and neither is
	// the token: use that in a trusted network only.
	TLS *tls.Config
	// CertificateFile and CertificateKeyFile name the client certificate and its key, in PEM. They
	// enable TLS too. They are read for each connection, so they may be replaced while the program
	// runs.
	CertificateFile, CertificateKeyFile string
	// DialOptions are appended to those of this package.
	DialOptions []grpc.DialOption

	// InstanceID identifies this process in the cluster. Empty means the host name and a random
	// part.
	InstanceID string
	// Window bounds the number of events that are open in this process at a time. Zero means the
	// default of the broker.
	Window int
	// Delivery selects what happens to open events when the stream breaks.
	Delivery DeliveryMode
	// Credentials requests the headers Cookie and Authorization of the handshake, which the broker
	// withholds otherwise.
	Credentials bool
	// OneReplica attaches to the configured addresses only, not to the replicas that the broker
	// announces.
	OneReplica bool

	// Retire retires the service when Run ends: if no other instance of it remains in the cluster,
	// connects no longer wait for it and its queued events are dropped. Use it for services that
	// are renamed or removed, and for development. False means the environment variable
	// SPANWIRE_RETIRE.
	Retire bool

	// DrainTimeout bounds the time for which Run waits for open handlers after its context ended.
	// Zero means 10 s.
	DrainTimeout time.Duration
	// EmitTimeout bounds the wait of an emit while no broker is attached or the queue to it is
	// full, and the call of an Emitter. Zero means 10 s.
	EmitTimeout time.Duration
	// AttachTimeout bounds one attempt to attach. Zero means 10 s.
	AttachTimeout time.Duration
	// MinBackoff and MaxBackoff bound the random pause between attempts to attach. Zero means 100
	// ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxQueue bounds the bytes that are queued for one replica. An emit that does not fit waits.
	// Zero means 8 MiB.
	MaxQueue int

	// Logger receives the log lines of this package. Nil means slog.Default.
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

// idRune reports whether the broker accepts the character in the name of a service or an instance.
func idRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

func validID(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool { return !idRune(r) }) < 0
}
