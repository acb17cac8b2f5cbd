// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
)

// Settings declares the settings of the options for broker.Config, without those of Engine.
func (o *Options) Settings() []config.Setting {
	limits := socketio.DefaultLimits()
	return config.Group(config.SocketIO,
		config.Duration("connect-timeout", &o.ConnectTimeout, 45*time.Second,
			"How long a session may be without a namespace.", config.Positive),
		config.Number("max-attachments", &o.MaxAttachments, limits.Attachments,
			"Most binary attachments of one event or ack from a browser.", config.AtLeast(0)),
		config.Number("max-namespaces-per-session", &o.MaxNamespaces, 64,
			"Most namespaces that one session is in, or asks for, at a time.", config.AtLeast(1)),
		config.Number("max-json-depth", &o.MaxDepth, limits.Depth,
			"Deepest nesting of arrays and objects that a browser or a handler may send.", config.Between(1, deepest)),
		config.Number("max-namespace-length", &o.MaxNamespaceLength, limits.Namespace,
			"Longest name of a namespace, in bytes.", config.AtLeast(1)),
		config.Number("max-event-name-length", &o.MaxEventNameLength, limits.EventName,
			"Longest name of an event from a browser, in bytes.", config.AtLeast(1)),
		config.Number("max-event-rate", &o.MaxEventRate, 0,
			"Most events of one session per second. As many may come at once. 0 means that there is no limit.", config.AtLeast(0)),
		config.Duration("attachment-timeout", &o.AttachmentTimeout, 10*time.Second,
			"Time for all attachments of one packet to come.", config.Positive),
		config.Number("connect-rate", &o.ConnectRate, 50,
			"Most connects of one session per second.", config.AtLeast(1)),
		config.Size("max-unfinished", &o.MaxUnfinished, 64<<20,
			"Most bytes of packets whose attachments have not all come, of all sessions together. It must hold "+
				"max-payload.", func(n int64) error { return config.AtLeast(o.Engine.MaxPayload)(n) }),
		config.Number("max-outstanding-acks", &o.MaxOutstandingAcks, 1024,
			"Most acks that one socket may owe. Beyond it the oldest counts as missing.", config.AtLeast(1)),
		config.Duration("recovery", &o.Recovery, 0,
			"How long a socket whose connection was lost may be recovered, with its id, its rooms and what "+
				"it missed. 0 turns that off; 2m suits most.", config.NotNegative("0 turns it off")),
		config.Number("recovery-max-sessions", &o.RecoverySessions, 100_000,
			"Most sockets that lost their connection and may be recovered at a time. Beyond it the one that "+
				"lost it first may not.", config.AtLeast(1)),
		config.Toggle("serve-client", &o.ServeClient, true,
			"Serves the standard JavaScript client under the path, as socket.io.js."),
	)
}

// deepest is the deepest nesting that may be allowed: each level costs some stack.
const deepest = 10_000

// DefaultOptions are the defaults of the settings: those of the reference server, where it has
// them.
func DefaultOptions() Options {
	o := Options{Engine: engineio.DefaultOptions()}
	config.Preset(o.Settings())
	return o
}

// Validate finds all options that make no sense.
func (o *Options) Validate() error {
	return config.Faults{o.Engine.Validate(), config.Check(o.Settings())}.Joined()
}
