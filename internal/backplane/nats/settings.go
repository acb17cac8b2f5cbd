// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config, but for certificates and
// PingInterval.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Cluster,
		config.Text("cluster", &o.Cluster, "spanwire",
			"Name of the cluster: replicas with the same name and NATS belong together.", validCluster),
		config.Text("nats-url", &o.URL, "",
			"URL of an external NATS, like nats://host:4222; several with commas between. Empty means that the "+
				"broker embeds a NATS server.").Secret(),
		config.Text("nats-listen", &o.Listen, "",
			"host:port at which other replicas reach the embedded NATS server. Empty means that it serves this "+
				"replica alone.", o.validListen),
		config.Text("nats-token", &o.Token, "",
			"Secret of the NATS server: asked for by the embedded one, shown to the external one.").Secret(),
		config.Size("max-envelope", &o.MaxEnvelope, 8<<20,
			"Largest envelope between replicas; it must hold max-payload. An external NATS needs a max_payload "+
				"of as much."),
		config.Number("replica-backlog", &o.Pending, 16384,
			"Most envelopes of other replicas that wait here. What comes beyond is lost, counted and logged.", config.AtLeast(1)),
		config.Size("nats-reconnect-buffer", &o.ReconnectBuffer, 8<<20,
			"Most bytes that are kept for sending while the connection to NATS is lost. Emits are answered "+
				"as partial deliveries meanwhile: what is kept reaches the replicas that are back before this "+
				"one, and what is beyond it none. 0 keeps nothing.", config.AtLeast(0)),
	)
}

// Default holds the defaults of the settings, and the options of one that stands alone.
func Default() Options {
	o := Options{ReconnectWait: 500 * time.Millisecond, PingInterval: 2500 * time.Millisecond}
	config.Preset(o.Settings())
	return o
}

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func validCluster(name string) error {
	if !clusterName.MatchString(name) {
		return fmt.Errorf("%q must be 1 to 64 letters, digits, - and _", name)
	}
	return nil
}

func (o *Options) validListen(address string) error {
	if address == "" {
		return nil
	}
	var all []error
	if o.URL != "" {
		all = append(all, errors.New("the broker embeds no NATS server when nats-url names one; set only one of the two"))
	}
	all = append(all, config.Address(address))
	if !config.Loopback(address) && o.Token == "" {
		all = append(all, fmt.Errorf("%q can be reached from other machines, where anyone could publish; set nats-token", address))
	}
	return errors.Join(all...)
}
