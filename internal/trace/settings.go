// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Handlers,
		config.Number("max-tails", &o.MaxTails, 16,
			"Most callers that follow what happens (`broker tail`) at a time.", config.AtLeast(1)),
		config.Number("tail-backlog", &o.Backlog, 1024,
			"Most trace events that wait for one caller that follows; further ones are dropped and counted.", config.AtLeast(1)),
	)
}
