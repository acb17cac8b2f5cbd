// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"log/slog"
	"strings"

	"github.com/spanwire/spanwire/internal/config"
)

// secret lists the keys whose values never reach a log, whoever writes them: what browsers and handlers prove themselves with.
var secret = map[string]bool{"auth": true, "authorization": true, "cookie": true, "token": true, "tokens": true, "headers": true}

// logger writes to standard error in the form that was asked for.
func (t *terminal) logger(c *config.Run) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level(), ReplaceAttr: redact}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(t.err, o))
	}
	return slog.New(slog.NewTextHandler(t.err, o))
}

func redact(_ []string, a slog.Attr) slog.Attr {
	if secret[strings.ToLower(a.Key)] {
		a.Value = slog.StringValue("(redacted)")
	}
	return a
}
