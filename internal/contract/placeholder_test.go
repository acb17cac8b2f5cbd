// SPDX-License-Identifier: Apache-2.0

package contract

import "testing"

// A placeholder must name an attachment that is there, however deep it stands; without attachments
// it is ordinary data.
func TestCheckPayload(t *testing.T) {
	one := [][]byte{{1}}
	for _, c := range []struct {
		args        string
		attachments [][]byte
		ok          bool
	}{
		{`[{"_placeholder":true,"num":0}]`, one, true},
		{`[{"a":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]}]`, one, true},
		{`[{"_placeholder":true,"num":1}]`, one, false},
		{`[{"a":[{"_placeholder":true,"num":-1}]}]`, one, false},
		{`[{"_placeholder":true,"num":"0"}]`, one, false},
		{`[{"_placeholder":true}]`, one, false},
		{`[{"_placeholder":true,"num":0.5}]`, one, false},
		{`[{"_placeholder":false,"num":7}]`, one, true},
		{`[{"_placeholder":true,"num":7}]`, nil, true},
		{`[]`, one, true},
	} {
		if _, err := CheckPayload([]byte(c.args), c.attachments, 10); (err == nil) != c.ok {
			t.Errorf("%s with %d attachments: %v", c.args, len(c.attachments), err)
		}
	}
}
