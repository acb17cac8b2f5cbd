// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"testing"
)

// An attachment becomes bytes wherever the target's type leaves the choice, and as its type says
// elsewhere.
func TestBind_Mixed(t *testing.T) {
	type inner struct {
		Any   any
		Bytes []byte
		Text  string
		Map   map[string]any
		List  []any
		Ptr   *inner
	}
	args := []byte(`[{"Any":{"deep":[{"_placeholder":true,"num":0}]},"Bytes":{"_placeholder":true,"num":1},"Text":{"_placeholder":true,"num":0},` +
		`"Map":{"a":{"_placeholder":true,"num":1},"b":"plain"},"List":[{"_placeholder":true,"num":0},1],"Ptr":{"Any":{"_placeholder":true,"num":1}}}]`)
	first, second := []byte{1, 2, 3}, []byte{0xff}
	var got inner
	if err := bind(args, [][]byte{first, second}, []any{&got}); err != nil {
		t.Fatal(err)
	}
	same := func(name string, value any, want []byte) {
		t.Helper()
		if data, ok := value.([]byte); !ok || !bytes.Equal(data, want) {
			t.Errorf("%s is %T %v, not %v", name, value, value, want)
		}
	}
	same("Any", got.Any.(map[string]any)["deep"].([]any)[0], first)
	same("Bytes", got.Bytes, second)
	same("Map", got.Map["a"], second)
	same("List", got.List[0], first)
	same("Ptr", got.Ptr.Any, second)
	if got.Map["b"] != "plain" || got.Text != "AQID" {
		t.Errorf("strings came out as %q and %q", got.Map["b"], got.Text)
	}
}
