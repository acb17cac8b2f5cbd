// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spanwire/spanwire/api/probe"
)

// The errors of gRPC name neither a wrong port nor TLS on one side only. When a broker cannot be
// reached, the adviser therefore probes what listens at the address.

const (
	adviceTimeout = 2 * time.Second
	adviceAge     = 30 * time.Second // for which an advice is repeated without a probe
)

// adviser remembers the result of the last probe of an address.
type adviser struct {
	options *Options
	address string
	advice  string
	asked   time.Time
}

// about returns what is wrong with the address. It returns "" when the error says enough.
func (a *adviser) about(err error) string {
	switch code := status.Code(err); {
	case len(a.options.DialOptions) > 0: // they may dial somewhere else
		return ""
	case !errors.Is(err, errSlow) && code != codes.Unavailable && code != codes.DeadlineExceeded:
		return ""
	case !a.asked.IsZero() && time.Since(a.asked) < adviceAge:
		return a.advice
	}
	// The deadline of the caller may have passed. The advice is for the reader of the error.
	ctx, cancel := context.WithTimeout(context.Background(), adviceTimeout)
	defer cancel()
	config := a.options.TLS
	if config == nil {
		config, _ = a.options.environmentTLS() // dial has reported its error
	}
	a.advice, a.asked = probe.Advice(ctx, a.address, config != nil), time.Now()
	return a.advice
}
