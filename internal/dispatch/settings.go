// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/config"
)

// Settings declares the settings of the options for broker.Config.
func (o *Options) Settings() []config.Setting {
	return slices.Concat(config.Group(config.Handlers,
		config.Number("socket-queue-events", &o.QueueEvents, 128,
			"Most events of one socket that wait for one service, before the broker stops reading from its "+
				"browser.", config.AtLeast(1)),
		config.Size("socket-queue-bytes", &o.QueueBytes, 1<<20,
			"The same bound in bytes.", config.AtLeast(1)),
		config.Duration("connect-hold", &o.ConnectHold, 20*time.Second,
			"How long a connect waits for an absent service, before the transport is closed so that the "+
				"client tries again.", config.Positive),
		config.Duration("hold-timeout", &o.HoldTimeout, 5*time.Minute,
			"How long events wait for an absent service.", config.Positive),
		config.OffAtZero(config.Number("rebalance-rate", &o.RebalanceRate, 10,
			"Idle sockets of one service that move in a second, on one replica, from instances with many sockets "+
				"to instances with few. 0 moves none."), &o.RebalanceRate),
		config.Number("rebalance-ratio", &o.RebalanceRatio, 125,
			"Sockets move when the instance with the most of one service's sockets has more than this many "+
				"percent of the sockets of the instance with the fewest.", config.AtLeast(100)),
		config.Number("max-redeliveries", &o.MaxRedeliveries, 5,
			"How often an event is dispatched again after its instance detached while it was open. Then it "+
				"is dropped, logged and counted.", config.AtLeast(1)),
		config.Duration("drain-grace", &o.DrainGrace, 250*time.Millisecond,
			"How long an instance that drains is kept at least when there are other replicas, so that what they "+
				"sent it before they heard of the drain is not given to another.", config.NotNegative("0 keeps it no longer than it needs")).ZeroIsValue(),
		config.OffAtZero(config.Size("absent-service-bytes", &o.AbsentBytes, 64<<20,
			"Most bytes of events that wait for one service while it is absent, on one replica. One socket may "+
				"take half of what the others leave. Only beyond it socket-queue-events and socket-queue-bytes stop "+
				"the reading from a browser. 0 is none."), &o.AbsentBytes),
		config.Duration("service-retention", &o.Retention, 0,
			"How long an absent service is known. Then it is retired, as by `broker services retire`: connects "+
				"do not wait for it any more. 0 means until it is retired, which keeps a namespace closed whose "+
				"service for authentication is absent. `broker dev` sets it to 2 s. The time does not run out while "+
				"the replica cannot hear of others.", config.NotNegative("0 keeps absent services until they are retired")),
		config.Toggle("retain-last-service", &o.RetainLast, false,
			"Keeps an absent service beyond service-retention until a connect waits for it alone. Without "+
				"another service for the namespace, connects and events wait for it as without service-retention. "+
				"`broker dev` turns it on."),
		config.Number("hold-sockets", &o.HoldSockets, 10_000,
			"Most sockets whose disconnects wait for one absent service.", config.AtLeast(1)),
	), o.windows(), config.Group(config.Cluster,
		config.Number("forward-events", &o.RemoteEvents, 65536,
			"Most dispatches that other replicas may leave waiting for one instance here.", config.AtLeast(1)),
		config.Size("forward-bytes", &o.RemoteBytes, 64<<20,
			"The same bound in bytes.", config.AtLeast(1)),
	))
}

// windows are the settings of what instances have at a time.
func (o *Options) windows() []config.Setting {
	return config.Group(config.Handlers,
		config.Duration("handler-timeout", &o.HandlerTimeout, 30*time.Second,
			"Time that a handler has for one event, before the broker gives up on the result. It counts from "+
				"when the instance has the event, and what the same socket sent before it has ended.", config.Positive),
		config.Number("instance-window", &o.DefaultWindow, 1024,
			"Open dispatches of an instance that asks for no window of its own.", config.AtLeast(1)),
		config.Number("max-instance-window", &o.MaxWindow, 16384,
			"Largest window that an instance may ask for.", func(n int64) error { return config.AtLeast(int64(o.DefaultWindow))(n) }),
		config.Size("instance-window-bytes", &o.WindowBytes, 32<<20,
			"Most bytes of the open dispatches of one instance.", config.AtLeast(1024)),
		config.Number("max-services", &o.MaxServices, 1024,
			"Most names of services that the broker remembers.", config.AtLeast(1)),
		config.Number("max-dynamic-namespaces", &o.MaxDynamic, 10_000,
			"Most namespaces that have sockets on one replica and that services registered by pattern only. "+
				"Beyond it connects to further ones are refused.", config.AtLeast(1)),
		config.Number("max-room-events", &o.MaxRoomEvents, 4096,
			"How many dispatches of one socket may wait for one service before room events are dropped.", config.AtLeast(1)),
	)
}
