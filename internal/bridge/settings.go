// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"
	"time"

	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config, without those of
// Commands.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Handlers,
		config.Duration("stall-timeout", &o.StallTimeout, 10*time.Second,
			"How long an instance may leave frames unanswered before its stream is ended and its events go to "+
				"others.", config.Positive),
		config.Duration("register-timeout", &o.RegisterTimeout, 10*time.Second,
			"Time that an instance has to register after it opened its stream.", config.Positive),
		config.Size("max-frame", &o.MaxFrame, 4<<20,
			"Largest frame on an instance's stream, in either direction; it must hold max-payload."),
		config.Number("max-ack-waits", &o.MaxAckWaits, 1024,
			"Most commands of one instance that wait for acks, or for answers of other replicas, at a time.", config.AtLeast(1)),
		config.Size("max-answer-bytes", &o.MaxAnswers, 16<<20,
			"Most bytes of answers to its commands that an instance may leave unread, before its stream is ended.", config.AtLeast(1024)),
		config.Duration("service-keepalive", &o.Keepalive, 5*time.Second,
			"How long an instance or caller may be silent before it is asked whether it lives, and again how "+
				"long the answer may take. At least 1 s.", validKeepalive),
		config.Number("max-streams", &o.MaxStreams, 100,
			"Most calls at a time on one connection to service-address.", config.AtLeast(1)),
	)
}

// validKeepalive holds the least that gRPC takes.
func validKeepalive(d time.Duration) error {
	if d < time.Second {
		return fmt.Errorf("%v is too short; it must be at least 1s", d)
	}
	return nil
}

// Settings declares the settings of the options for broker.Config, but for the host and
// its deadlines, which are those of the listener.
func (o *HTTPOptions) Settings() []config.Setting {
	return config.Group(config.Handlers,
		config.Size("max-call-body", &o.MaxBody, 4<<20,
			"Most bytes in the body of a call to the HTTP API at operator-address.", config.AtLeast(1024)),
	)
}
