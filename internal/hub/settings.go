// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config, but for Retention, which follows
// from others.
func (o *JournalOptions) Settings() []config.Setting {
	return config.Group(config.SocketIO,
		config.Number("recovery-max-packets", &o.MaxEvents, 16384,
			"Most events of one namespace that are kept for sockets that may be recovered. One that missed "+
				"an event that is no longer kept connects without recovery.", config.AtLeast(1)),
		config.Size("recovery-max-bytes", &o.MaxBytes, 32<<20,
			"The same bound in bytes.", config.AtLeast(1)),
	)
}
