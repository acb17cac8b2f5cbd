// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/config"
)

const emitUsage = `broker emit [flags] EVENT [JSON...] sends an event to browsers, through a running broker.

Each argument is one JSON value: '{"data":"hi"}', 2, '"text"'. With --wait-acks, each ack is printed as a line: the socket's id, a
space, and what it answered as a JSON array; the exit code is 1 when an ack is missing.

Flags:
`

// emission is what the flags of emit say.
type emission struct {
	address, token, namespace string
	tls, local, volatile      bool
	tlsCA                     string
	rooms, except             names
	acks, timeout             milliseconds
}

// names is a flag that may be given several times.
type names []string

// String implements flag.Value.
func (n *names) String() string { return strings.Join(*n, ",") }

// Set implements flag.Value.
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

// milliseconds is a duration in the form of the settings.
type milliseconds time.Duration

// String implements flag.Value.
func (m *milliseconds) String() string {
	return strconv.FormatInt(time.Duration(*m).Milliseconds(), 10)
}

// Set implements flag.Value.
func (m *milliseconds) Set(s string) error {
	d, err := config.ParseDuration(s)
	*m = milliseconds(d)
	return err
}

func (t *terminal) emitFlags(e *emission) *flag.FlagSet {
	const usualTimeout = 10 * time.Second
	e.timeout = milliseconds(usualTimeout)
	f := flag.NewFlagSet("emit", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&e.address, "address", t.env("SPANWIRE_ADDRESS", "127.0.0.1:50051"), "the broker's service-address; several with commas between")
	f.StringVar(&e.token, "token", t.env("SPANWIRE_TOKEN", ""), "a token, if the broker asks for one")
	f.BoolVar(&e.tls, "tls", t.env("SPANWIRE_TLS", "") == "true", "use TLS")
	f.StringVar(&e.tlsCA, "tls-ca", t.env("SPANWIRE_TLS_CA", ""), "file with the certificates to trust; implies --tls")
	f.StringVar(&e.namespace, "namespace", "/", "namespace of the receivers")
	f.Var(&e.rooms, "room", "room or socket id of the receivers; may be given several times (default: everyone)")
	f.Var(&e.except, "except", "room or socket id that is left out; may be given several times")
	f.BoolVar(&e.local, "local", false, "only browsers of the replica that takes the call")
	f.BoolVar(&e.volatile, "volatile", false, "drop it for browsers that cannot take it right now")
	f.Var(&e.acks, "wait-acks", "ask for acks and wait so long for them, in milliseconds or with a unit (5000, 5s)")
	f.Var(&e.timeout, "timeout", "give up on the broker after so long")
	return f
}

// emit sends one event.
func (t *terminal) emit(args []string) int {
	var e emission
	flags := t.emitFlags(&e)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			t.print(emitUsage)
			flags.SetOutput(t.out)
			flags.PrintDefaults()
			return exitOK
		}
		return t.misused(err)
	}
	if flags.NArg() == 0 {
		return t.misused(errors.New(`emit needs the name of an event: broker emit 'my response' '{"data":"hi"}'`))
	}
	array, err := jsonArray(flags.Args()[1:])
	if err != nil {
		return t.misused(err)
	}
	answer, err := e.send(flags.Arg(0), array)
	if err != nil {
		return t.failed(err)
	}
	return t.report(&e, answer)
}

// jsonArray writes the arguments as one array.
func jsonArray(args []string) ([]byte, error) {
	for _, a := range args {
		if json.Valid([]byte(a)) {
			continue
		}
		if strings.HasPrefix(a, "--") {
			return nil, fmt.Errorf("flags stand before the event: broker emit %s ... EVENT", a)
		}
		quoted, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("argument %s is no JSON value; if it is text, write it with double quotes inside the shell's: '%s'", a, quoted)
	}
	return []byte("[" + strings.Join(args, ",") + "]"), nil
}

// send tries the addresses one after another, until a broker takes the event.
func (e *emission) send(event string, args []byte) (answer *spanwirev1.EmitResponse, err error) {
	creds, err := e.credentials()
	if err != nil {
		return nil, err
	}
	request := &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target:       &spanwirev1.Target{Namespace: e.namespace, Rooms: e.rooms, Except: e.except, Local: e.local},
		Event:        &spanwirev1.Event{Name: event, Args: args},
		Volatile:     e.volatile,
		WantAcks:     e.acks > 0,
		AckTimeoutMs: uint32(time.Duration(e.acks).Milliseconds()),
	}}
	for address := range strings.SplitSeq(e.address, ",") {
		answer, err = e.call(strings.TrimSpace(address), creds, request)
		// Only what no broker took may be sent again.
		if status.Code(err) != codes.Unavailable || answer != nil {
			return answer, explain(address, err)
		}
		err = explain(address, err)
	}
	return nil, err
}

func (e *emission) credentials() (credentials.TransportCredentials, error) {
	if e.tlsCA == "" {
		if e.tls {
			return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), nil
		}
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(e.tlsCA)
	if err != nil {
		return nil, fmt.Errorf("flag --tls-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("flag --tls-ca: there is no certificate in %s", e.tlsCA)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}), nil
}

func (e *emission) call(address string, creds credentials.TransportCredentials, request *spanwirev1.EmitRequest) (*spanwirev1.EmitResponse, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(e.timeout+e.acks))
	defer cancel()
	if e.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+e.token)
	}
	return spanwirev1.NewEmitterServiceClient(conn).Emit(ctx, request)
}

// explain turns what gRPC says into what to do.
func explain(address string, err error) error {
	s, _ := status.FromError(err)
	switch s.Code() {
	case codes.OK:
		return nil
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("the broker at %s (flag --address, variable SPANWIRE_ADDRESS) did not take the event: %s", address, s.Message())
	case codes.Unauthenticated:
		return fmt.Errorf("the broker at %s asks for a token (flag --token, variable SPANWIRE_TOKEN): %s", address, s.Message())
	case codes.Unimplemented:
		return fmt.Errorf("what listens at %s is not the service-address of a broker: %s", address, s.Message())
	}
	return errors.New(s.Message())
}

// report prints the acks, and says on standard error how many sockets there were.
func (t *terminal) report(e *emission, answer *spanwirev1.EmitResponse) int {
	for _, a := range answer.GetAcks() {
		t.print(a.GetSocketId() + " " + orEmpty(a.GetAck().GetArgs()) + "\n")
	}
	if e.acks == 0 {
		t.say("sent to %d sockets of this replica, and to the other replicas", answer.GetSockets())
		return exitOK
	}
	t.say("%d acks, %d missing", len(answer.GetAcks()), answer.GetMissing())
	if answer.GetMissing() > 0 {
		return exitFailed
	}
	return exitOK
}

func orEmpty(args []byte) string {
	if len(args) == 0 {
		return "[]"
	}
	return string(args)
}
