// SPDX-License-Identifier: Apache-2.0

package apijson

import (
	"fmt"
	"strings"
	"testing"
)

// Binary parts leave the arguments and come back; all else stays byte for byte.
func TestUnpack(t *testing.T) {
	for _, tt := range []struct{ in, args, attachments, back string }{
		{``, ``, `[]`, `[]`},
		{` null `, ``, `[]`, `[]`},
		{`[]`, `[]`, `[]`, ``},
		{`[ 1.50, {"b":1, "a":"\u00e9"} ]`, `[ 1.50, {"b":1, "a":"\u00e9"} ]`, `[]`, ``},
		{`[{"_bytes":"AQI="},"x"]`, `[{"_placeholder":true,"num":0},"x"]`, `[[1 2]]`, ``},
		{`[{"a":[{ "_bytes" : "" },{"_bytes":"/w=="}]}]`, `[{"a":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]`, `[[] [255]]`,
			`[{"a":[{"_bytes":""},{"_bytes":"/w=="}]}]`},
		{`[{"_bytes":1}]`, `[{"_bytes":1}]`, `[]`, ``},
		{`[{"_bytes":"AQI=","more":1}]`, `[{"_bytes":"AQI=","more":1}]`, `[]`, ``},
		{`[{"_bytes":{"_bytes":"AQ=="}}]`, `[{"_bytes":{"_placeholder":true,"num":0}}]`, `[[1]]`, ``},
		{`[{"a":[],"_bytes":"AQI="}]`, `[{"a":[],"_bytes":"AQI="}]`, `[]`, ``},
		{`["_bytes"]`, `["_bytes"]`, `[]`, ``},
	} {
		args, attachments, err := Unpack([]byte(tt.in))
		if err != nil || string(args) != tt.args || fmt.Sprint(attachments) != tt.attachments {
			t.Errorf("%s: %s, %v, %v", tt.in, args, attachments, err)
		}
		back := tt.back
		if back == "" {
			back = tt.in
		}
		if got := Pack(args, attachments); string(got) != back {
			t.Errorf("%s came back as %s", tt.in, got)
		}
	}
	for in, want := range map[string]string{
		`{}`: "must be a list", `[{"_bytes":"?"}]`: "not base64", `[1`: "ends too early", `[,]`: "not well-formed", `[1}`: "not well-formed",
	} {
		if _, _, err := Unpack([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// What only looks like a placeholder is shown as it is.
func TestPack_ordinary(t *testing.T) {
	for _, args := range []string{`[{"_placeholder":true,"num":1}]`, `[{"_placeholder":true,"num":-1}]`, `[{"_placeholder":true,"num":"0"}]`, `[`} {
		if got := Pack([]byte(args), [][]byte{{1}}); string(got) != args {
			t.Errorf("%s became %s", args, got)
		}
	}
}
