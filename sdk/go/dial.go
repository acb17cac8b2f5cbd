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
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// dial makes a connection to one address. It does not wait for it.
func (o *Options) dial(address string) (*grpc.ClientConn, error) {
	const window = 4 << 20 // bytes in flight; batches are large, and the default would make them wait for the round trip
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
		// A stream is attached again by the link, never replayed by gRPC, which would have to keep what was sent.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: o.MinBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: o.MaxBackoff},
			MinConnectTimeout: o.AttachTimeout,
		}),
		grpc.WithUserAgent(sdkName + "/" + Version),
	}
	if o.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(o.Token)))
	}
	return grpc.NewClient(address, append(options, o.DialOptions...)...)
}

// transportCredentials follows the options, then the environment.
func (o *Options) transportCredentials(address string) (credentials.TransportCredentials, error) {
	if o.TLS != nil {
		return credentials.NewTLS(o.TLS), nil
	}
	ca := os.Getenv("SPANWIRE_TLS_CA")
	asked := ca != ""
	switch strings.ToLower(os.Getenv("SPANWIRE_TLS")) {
	case "1", "true", "yes", "on":
		asked = true
	}
	if !asked {
		if o.Token != "" && !loopback(address) {
			o.Logger.Warn("the token is sent without TLS; set Options.TLS or SPANWIRE_TLS=true", "address", address)
		}
		return insecure.NewCredentials(), nil
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
	return credentials.NewTLS(config), nil
}

// loopback tells whether nobody outside of this machine can read what is sent to the address.
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

// bearer sends the token with each call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. The options decide whether to do without.
func (bearer) RequireTransportSecurity() bool { return false }
