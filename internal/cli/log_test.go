// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/config"
)

// What browsers and handlers prove themselves with never reaches the log, in either form, however deep it stands.
func TestLogger_Secrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		term := &terminal{err: &out}
		c := config.Default().Run
		c.LogFormat = format
		term.logger(&c).WithGroup("handshake").Info("connect", "sid", "visible", "auth", `{"password":"hidden"}`, "Cookie", "hidden",
			"authorization", "hidden", "token", "hidden")
		if s := out.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "visible") || strings.Count(s, "(redacted)") != 4 {
			t.Errorf("%s: %s", format, s)
		}
	}
}
