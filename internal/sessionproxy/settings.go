// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Cluster,
		config.Number("max-forwards", &o.MaxForwards, 10_000,
			"Most requests and WebSockets of other replicas' sessions that this replica forwards at a time. "+
				"Beyond it they are answered with 503.", config.AtLeast(1)),
	)
}
