// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/sio"
)

// Settings declares the settings of the options for broker.Config, but for MaxDepth, which is that
// of browsers.
func (o *Options) Settings() []config.Setting {
	return config.Group(config.Handlers,
		config.Duration("ack-timeout", &o.AckTimeout, 10*time.Second,
			"How long an emit waits for acks when it names no time.", config.Positive),
		config.Duration("query-timeout", &o.QueryTimeout, 5*time.Second,
			"How long a query for sockets, rooms or data waits for other replicas when it names no time.", config.Positive),
		config.Number("max-query-results", &o.MaxQueryResults, sio.DefaultQueryResults,
			"Most sockets or rooms in the answer to one query. An answer that leaves some out says so.", config.AtLeast(1)),
		config.Size("max-socket-data", &o.MaxSocketData, 64<<10,
			"Most bytes of data that handlers may keep with one socket.", config.AtLeast(1)),
		config.Toggle("allow-socket-id-rooms", &o.AllowSocketIDRooms, false,
			"Lets sockets join rooms that have the form of another socket's id: 30 characters of URL-safe "+
				"base64. Members of such a room hear what is emitted to that socket alone. A socket is always in the "+
				"room of its own id."),
	)
}
