// SPDX-License-Identifier: Apache-2.0

package idempotency

import (
	"time"

	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Handlers,
		config.Duration("idempotency-window", &o.Window, 5*time.Minute,
			"How long the idempotency key of a call is remembered with its answer, once the call was carried out.", config.Positive),
		config.Number("max-idempotency-keys", &o.MaxKeys, 10_000,
			"Most idempotency keys that are remembered; the oldest is forgotten first.", config.AtLeast(1)),
		config.Size("max-idempotency-bytes", &o.MaxBytes, 64<<20,
			"Most bytes of answers that are remembered with idempotency keys; the oldest is forgotten first.", config.AtLeast(1)),
	)
}
