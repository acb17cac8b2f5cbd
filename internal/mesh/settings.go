// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/sio"
)

// Settings declares the settings of the options for broker.Config.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Cluster,
		config.Duration("replica-heartbeat", &o.Interval, 2*time.Second,
			"Time between two heartbeats of a replica.", config.Positive),
		config.Duration("replica-timeout", &o.Dead, 10*time.Second,
			"Time without a heartbeat after which a replica counts as dead.", o.validTimeout),
		config.Number("max-gathers", &o.MaxGathers, 4096,
			"Most emits, messages and queries of other replicas that wait here for acks or answers.", config.AtLeast(1)),
	)
}

// Default holds the defaults of the settings, and the options of a mesh that stands alone.
func Default() Options {
	o := Options{Cluster: "spanwire", MaxQueryResults: sio.DefaultQueryResults}
	config.Preset(o.Settings())
	return o
}

// validTimeout leaves room for the loss of one heartbeat.
func (o *Options) validTimeout(d time.Duration) error {
	if d < 2*o.Interval {
		return fmt.Errorf("%v must be at least twice replica-heartbeat (%v)", d, o.Interval)
	}
	return nil
}
