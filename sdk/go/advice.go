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

// What gRPC says of a wrong port, or of TLS on one side only, names neither. So when a broker
// cannot be reached, it is found out what listens there.

const (
	adviceTimeout = 2 * time.Second
	adviceAge     = 30 * time.Second // for which an advice is given again without looking
)

// adviser remembers what it found out about an address.
type adviser struct {
	options *Options
	address string
	advice  string
	asked   time.Time
}

// about says what is wrong with the address, or nothing: then the error says what there is to say.
func (a *adviser) about(err error) string {
	switch code := status.Code(err); {
	case len(a.options.DialOptions) > 0: // they may dial somewhere else
		return ""
	case !errors.Is(err, errSlow) && code != codes.Unavailable && code != codes.DeadlineExceeded:
		return ""
	case !a.asked.IsZero() && time.Since(a.asked) < adviceAge:
		return a.advice
	}
	// The caller's time may be over; this is for who reads what became of it.
	ctx, cancel := context.WithTimeout(context.Background(), adviceTimeout)
	defer cancel()
	config := a.options.TLS
	if config == nil {
		config, _ = a.options.environmentTLS() // dial has said what is wrong with it
	}
	a.advice, a.asked = probe.Advice(ctx, a.address, config != nil), time.Now()
	return a.advice
}
