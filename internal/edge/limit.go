// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"fmt"
	"time"

	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
)

// Some breaches are of a rule of the protocol, and some of a limit that an operator can move. Of
// the former a browser learns nothing, as by the reference server. Of the latter it learns which
// limit, since correct programs pass them, too.

// limit is what a browser learns of a limit that it passed, and the setting for the log.
type limit struct {
	kind    engineio.Limit
	setting string
	text    string
}

// newLimits says for each cause of a breach that is about a limit what the browser learns.
func newLimits(o *Options) map[string]limit {
	count, size := engineio.LimitCount, engineio.LimitSize
	say := func(kind engineio.Limit, what, setting string, value any) limit {
		return limit{kind, setting, fmt.Sprintf("%s than the setting %s allows (%v)", what, setting, value)}
	}
	return map[string]limit{
		socketio.VerdictTooManyAttachments.String(): say(count, "more attachments", "max-attachments", o.MaxAttachments),
		socketio.VerdictAttachmentBytes.String():    say(size, "attachments larger together", "max-payload", o.Engine.MaxPayload),
		socketio.VerdictNamespace.String():          say(count, "a longer namespace", "max-namespace-length", o.MaxNamespaceLength),
		socketio.VerdictDepth.String():              say(count, "deeper JSON", "max-json-depth", o.MaxDepth),
		socketio.VerdictEventNameLength.String():    say(count, "a longer event name", "max-event-name-length", o.MaxEventNameLength),
		socketio.VerdictPayloadBytes.String():       say(size, "a packet that is larger as JSON", "max-payload", o.Engine.MaxPayload),
		causeEventRate:                              say(engineio.LimitRate, "more events per second", "max-event-rate", o.MaxEventRate),
		causeConnectRate:                            say(engineio.LimitRate, "more connects per second", "connect-rate", o.ConnectRate),
		causeNamespaces:                             say(count, "more namespaces", "max-namespaces-per-session", o.MaxNamespaces),
		causeUnfinished:                             {count, "max-unfinished", "no room for another packet whose attachments have not come, see the setting max-unfinished"},
		causeOverdue: say(count, "attachments that took longer", "attachment-timeout",
			o.AttachmentTimeout.Round(time.Millisecond)),
	}
}
