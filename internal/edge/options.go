// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
)

// Options says how the browsers' entry point behaves. DefaultOptions is the place to start from.
type Options struct {
	// Engine are the options of the sessions below. Engine.MaxPayload also bounds the attachments
	// of one packet together, and Engine.MaxOutbound what is held for a socket whose connect is
	// pending, apart from what waits for its browser.
	Engine engineio.Options
	// ConnectTimeout is how long a session may be without a joined namespace before it is closed:
	// after it opened, and after the last namespace was left.
	ConnectTimeout time.Duration
	// AttachmentTimeout is how long the attachments of one packet may take to come.
	AttachmentTimeout time.Duration
	// MaxNamespaces bounds the namespaces of one session, joined and pending.
	MaxNamespaces int
	// ConnectRate bounds the connects of one session, per second. As many as MaxNamespaces may come
	// at once.
	ConnectRate int
	// MaxAttachments bounds the attachments of one packet.
	MaxAttachments int
	// MaxDepth bounds how deep JSON may be nested.
	MaxDepth int
	// MaxNamespaceLength bounds the name of a namespace, in bytes.
	MaxNamespaceLength int
	// MaxEventNameLength bounds the name of an event, in bytes.
	MaxEventNameLength int
	// MaxEventRate bounds the events of one session, per second. As many may come at once. 0 means
	// that there is no limit.
	MaxEventRate int
	// MaxUnfinished bounds the bytes of packets whose attachments have not all come, of all
	// sessions together.
	MaxUnfinished int64
	// MaxOutstandingAcks bounds the acks that one browser socket owes. Beyond it the oldest counts
	// as missing.
	MaxOutstandingAcks int
	// Recovery is how long a socket that was cut off may come back; zero means not at all. The hub
	// must keep its journal for longer: by the time after which a lost connection is noticed.
	Recovery time.Duration
	// RecoverySessions bounds the sockets that may come back at a time. Beyond it the one that was
	// cut off first may not.
	RecoverySessions int
	// ServeClient serves the JavaScript client under the Engine.IO path.
	ServeClient bool
	// Tap is notified which sockets come and go. Nil means that nothing is.
	Tap Tap
}

func (o *Options) limits() socketio.Limits {
	return socketio.Limits{
		Attachments:     o.MaxAttachments,
		AttachmentBytes: int(o.Engine.MaxPayload),
		Depth:           o.MaxDepth,
		Namespace:       o.MaxNamespaceLength,
		EventName:       o.MaxEventNameLength,
	}
}
