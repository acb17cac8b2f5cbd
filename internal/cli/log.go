// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"log"
	"log/slog"
	"strings"

	"github.com/spanwire/spanwire/internal/broker"
)

// secret lists the keys whose values never reach a log: what browsers and
// handlers prove themselves with.
var secret = map[string]bool{"auth": true, "authorization": true, "cookie": true, "token": true, "tokens": true, "headers": true}

// logger writes to standard error in the form that was asked for. Lines that net/http writes to
// Go's default logger take the same form, with level debug: they quote what the other side of a
// connection sent.
func (t *terminal) logger(c *broker.Process) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level(), ReplaceAttr: redact}
	var h slog.Handler = slog.NewTextHandler(t.err, o)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(t.err, o)
	}
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(h, slog.LevelDebug).Writer())
	return slog.New(h)
}

func redact(_ []string, a slog.Attr) slog.Attr {
	if secret[strings.ToLower(a.Key)] {
		a.Value = slog.StringValue("(redacted)")
	}
	return a
}
