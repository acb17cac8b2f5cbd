// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/probe"
	"github.com/spanwire/spanwire/internal/config"
)

// caller is what the flags say of the broker that is called. All commands that call one share it.
type caller struct {
	address, token        string
	tls                   bool
	tlsCA, tlsCert, tlsID string
	timeout               milliseconds
	creds                 credentials.TransportCredentials // read once
	left                  atomic.Bool                      // the present call left for the broker
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

// callerFlags are those that every command has that calls a broker.
func (t *terminal) callerFlags(name string, c *caller) *flag.FlagSet {
	const usualTimeout = 10 * time.Second
	c.timeout = milliseconds(usualTimeout)
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.address, "address", t.env("SPANWIRE_ADDRESS", "127.0.0.1:50051"), "the broker's service-address; several with commas between")
	f.StringVar(&c.token, "token", t.env("SPANWIRE_TOKEN", ""), "a token, if the broker asks for one")
	f.BoolVar(&c.tls, "tls", t.env("SPANWIRE_TLS", "") == "true", "use TLS")
	f.StringVar(&c.tlsCA, "tls-ca", t.env("SPANWIRE_TLS_CA", ""), "file with the certificates to trust; implies --tls")
	f.StringVar(&c.tlsCert, "tls-cert", t.env("SPANWIRE_TLS_CERT", ""), "file with the certificate to show, if the broker asks for one; implies --tls")
	f.StringVar(&c.tlsID, "tls-key", t.env("SPANWIRE_TLS_KEY", ""), "file with the key of that certificate")
	f.Var(&c.timeout, "timeout", "give up on the broker after so long")
	return f
}

// parse reads the flags. ok is false when there is nothing more to do than to return code.
func (t *terminal) parse(f *flag.FlagSet, usage string, args []string) (code int, ok bool) {
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		t.print(usage)
		f.SetOutput(t.out)
		f.PrintDefaults()
		return exitOK, false
	case err != nil:
		return t.misused(err), false
	}
	return exitOK, true
}

// parseAlone is parse for commands without arguments.
func (t *terminal) parseAlone(f *flag.FlagSet, usage string, args []string) (code int, ok bool) {
	code, ok = t.parse(f, usage, args)
	if ok && f.NArg() > 0 {
		return t.misused(fmt.Errorf("%s takes flags only, not %q", f.Name(), f.Arg(0))), false
	}
	return code, ok
}

// prepare reads the files that the flags name.
func (c *caller) prepare() (err error) {
	c.creds, err = c.credentials()
	return err
}

func (c *caller) usesTLS() bool { return c.tls || c.tlsCA != "" || c.tlsCert != "" || c.tlsID != "" }

func (c *caller) credentials() (credentials.TransportCredentials, error) {
	if !c.usesTLS() {
		return insecure.NewCredentials(), nil
	}
	use := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.tlsCA != "" {
		pem, err := os.ReadFile(c.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("flag --tls-ca: %w", err)
		}
		use.RootCAs = x509.NewCertPool()
		if !use.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("flag --tls-ca: there is no certificate in %s", c.tlsCA)
		}
	}
	if c.tlsCert != "" || c.tlsID != "" {
		pair, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsID)
		if err != nil {
			return nil, fmt.Errorf("flags --tls-cert and --tls-key: %w", err)
		}
		use.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(use), nil
}

// addresses are where a broker may be.
func (c *caller) addresses() (all []string) {
	for a := range strings.SplitSeq(c.address, ",") {
		all = append(all, strings.TrimSpace(a))
	}
	return all
}

// connect gives a client of the broker at the address, and the context for its calls.
func (c *caller) connect(ctx context.Context, address string) (client spanwirev1.EmitterServiceClient, with context.Context, end func(), err error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c.creds), grpc.WithNoProxy(), grpc.WithStatsHandler(departure{&c.left}))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%q is no address of a broker: %w", address, err)
	}
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	return spanwirev1.NewEmitterServiceClient(conn), ctx, func() { _ = conn.Close() }, nil
}

// call tries one address after another until a broker answers, each for as long as the flag
// --timeout allows and the extra time.
func call[T any](ctx context.Context, c *caller, extra time.Duration, do func(context.Context, spanwirev1.EmitterServiceClient) (T, error)) (answer T, err error) {
	if err = c.prepare(); err != nil {
		return answer, err
	}
	for _, address := range c.addresses() {
		c.left.Store(false)
		answer, err = callOne(ctx, c, address, extra, do)
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
			return answer, c.explain(ctx, address, err, c.left.Load())
		}
		err = c.explain(ctx, address, err, c.left.Load())
		if ctx.Err() != nil {
			return answer, err
		}
	}
	return answer, err
}

func callOne[T any](ctx context.Context, c *caller, address string, extra time.Duration,
	do func(context.Context, spanwirev1.EmitterServiceClient) (T, error),
) (answer T, err error) {
	client, ctx, end, err := c.connect(ctx, address)
	if err != nil {
		return answer, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.timeout)+extra)
	defer cancel()
	return do(ctx, client)
}

// departure notes whether a call left: a broker that does not answer then may have carried it out.
type departure struct{ left *atomic.Bool }

// TagRPC implements stats.Handler.
func (departure) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (d departure) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, sent := s.(*stats.OutPayload); sent {
		d.left.Store(true)
	}
}

// TagConn implements stats.Handler.
func (departure) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (departure) HandleConn(context.Context, stats.ConnStats) {}

// explain turns what gRPC says into what to do. left says that the call was on its way to the
// broker.
func (c *caller) explain(ctx context.Context, address string, err error, left bool) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.OK:
		return nil
	case codes.Unavailable, codes.DeadlineExceeded:
		if left {
			return fmt.Errorf("the broker at %s was given the call and did not answer (flag --timeout): it may have been carried out or not; "+
				"an emit is safe to repeat with an idempotency key only (flag --key): %s", address, s.Message())
		}
		said := cmp.Or(probe.Advice(ctx, address, c.usesTLS()), s.Message())
		return fmt.Errorf("the broker at %s (flag --address, variable SPANWIRE_ADDRESS) did not take the call: %s", address, said)
	case codes.Unauthenticated:
		return fmt.Errorf("the broker at %s asks for a token (flag --token, variable SPANWIRE_TOKEN): %s", address, s.Message())
	case codes.Unimplemented:
		return fmt.Errorf("what listens at %s is not the service-address of a broker that knows this: %s", address, s.Message())
	}
	// gRPC says so, which knows no settings
	if s.Code() == codes.ResourceExhausted && strings.Contains(s.Message(), "larger than max") {
		return errors.New(s.Message() + " (the broker's setting max-frame)")
	}
	return errors.New(s.Message())
}
