// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"runtime/debug"
	"testing"
)

// The version is that of the SDK's module in the program, wherever that module came from.
func TestDependencyVersion(t *testing.T) {
	other := &debug.Module{Path: "example.com/other", Version: "v9.9.9"}
	for name, tt := range map[string]struct {
		module *debug.Module
		want   string
	}{
		"released":              {&debug.Module{Path: modulePath, Version: "v1.2.3"}, "1.2.3"},
		"from a workspace":      {&debug.Module{Path: modulePath, Version: "(devel)"}, "devel"},
		"replaced by a fork":    {&debug.Module{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.2.4"}}, "1.2.4"},
		"replaced by a folder":  {&debug.Module{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "../sdk"}}, "devel"},
		"not in the build info": {other, "devel"},
	} {
		if got := dependencyVersion(&debug.BuildInfo{Deps: []*debug.Module{other, tt.module}}); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
