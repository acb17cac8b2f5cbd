// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"log"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/broker"
)

// What browsers and handlers prove themselves with never reaches the log, in either form, however
// deep it stands.
func TestLogger_Secrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		term := &terminal{err: &out}
		c := broker.DefaultConfig().Run
		c.LogFormat = format
		term.logger(&c).WithGroup("handshake").Info("connect", "sid", "visible", "auth", `{"password":"hidden"}`, "Cookie", "hidden",
			"authorization", "hidden", "token", "hidden")
		if s := out.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "visible") || strings.Count(s, "(redacted)") != 4 {
			t.Errorf("%s: %s", format, s)
		}
	}
}

// What packages of others write to Go's default logger has the form that was asked for, and is not
// shown unless level debug is.
func TestLogger_Default(t *testing.T) {
	for _, test := range []struct{ format, level, want string }{
		{"json", "debug", `"level":"DEBUG","msg":"Unsolicited response"}`},
		{"text", "debug", `level=DEBUG msg="Unsolicited response"`},
		{"json", "info", ""},
	} {
		var out bytes.Buffer
		c := broker.DefaultConfig().Run
		c.LogFormat, c.LogLevel = test.format, test.level
		(&terminal{err: &out}).logger(&c)
		log.Print("Unsolicited response")
		if s := out.String(); !strings.Contains(s, test.want) || (test.want == "") != (s == "") {
			t.Errorf("%s at %s: %q", test.format, test.level, s)
		}
	}
}
