// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// dial creates a connection to one address, without waiting for it.
func (o *Options) dial(address string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	// Bytes in flight. Batches are large; with the default they would wait for the round trip.
	const window = 4 << 20
	secrecy, err := o.transportCredentials(address)
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secrecy),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithReadBufferSize(64 << 10),
		grpc.WithWriteBufferSize(64 << 10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		// The link attaches again. gRPC must not replay a stream, for which it would keep what was
		// sent.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: o.MinBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: o.MaxBackoff},
			MinConnectTimeout: o.AttachTimeout,
		}),
		grpc.WithUserAgent(sdkName + "/" + Version()),
	}
	if o.hasToken() {
		options = append(options, grpc.WithPerRPCCredentials(bearer{o}))
	}
	return grpc.NewClient(address, append(append(options, more...), o.DialOptions...)...)
}

// transportCredentials returns what the options configure, then what the environment does.
func (o *Options) transportCredentials(address string) (credentials.TransportCredentials, error) {
	config := o.TLS
	if config == nil {
		var err error
		if config, err = o.environmentTLS(); err != nil {
			return nil, err
		}
	}
	if config == nil {
		if o.hasToken() && !loopback(address) {
			o.Logger.Warn("token is sent without TLS (set Options.TLS or SPANWIRE_TLS=true)", "address", address)
		}
		return insecure.NewCredentials(), nil
	}
	if o.CertificateFile != "" {
		if _, err := o.certificate(nil); err != nil { // fails now, not with every attempt
			return nil, err
		}
		config = config.Clone()
		config.GetClientCertificate = o.certificate
	}
	return credentials.NewTLS(config), nil
}

// environmentTLS returns the configuration of the environment variables, and nil when none asks for
// TLS.
func (o *Options) environmentTLS() (*tls.Config, error) {
	ca := os.Getenv("SPANWIRE_TLS_CA")
	asked := ca != "" || o.CertificateFile != ""
	switch strings.ToLower(os.Getenv("SPANWIRE_TLS")) {
	case "1", "true", "yes", "on":
		asked = true
	}
	if !asked {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("spanwire: SPANWIRE_TLS_CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("spanwire: SPANWIRE_TLS_CA: no certificate in %s", ca)
		}
	}
	return config, nil
}

// certificate reads the client certificate for a handshake.
func (o *Options) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(o.CertificateFile, o.CertificateKeyFile)
	if err != nil {
		return nil, fmt.Errorf("spanwire: client certificate: %w", err)
	}
	return &c, nil
}

// loopback reports whether nobody outside this machine can read what is sent to the address.
func loopback(address string) bool {
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (o *Options) hasToken() bool { return o.Token != "" || o.TokenSource != nil }

// bearer sends the token with each call.
type bearer struct{ options *Options }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token := b.options.Token
	if source := b.options.TokenSource; source != nil {
		var err error
		if token, err = source(ctx); err != nil {
			return nil, status.Errorf(codes.Unauthenticated, "token source: %v", err)
		}
	}
	if token == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. transportCredentials decides
// whether TLS is required.
func (bearer) RequireTransportSecurity() bool { return false }
