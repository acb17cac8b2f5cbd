// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"runtime/debug"
	"testing"
)

// The version is that of the tag, else that of the commit, else none.
func TestMainVersion(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	clean, dirty := debug.BuildSetting{Key: "vcs.modified", Value: "false"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, tt := range []struct {
		module   string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", nil, "1.2.3"},
		{"v1.2.4-0.20261130000000-0123456789ab+dirty", []debug.BuildSetting{revision, dirty}, "1.2.4-0.20261130000000-0123456789ab+dirty"},
		{"(devel)", []debug.BuildSetting{revision, clean}, "devel-0123456789ab"},
		{"(devel)", []debug.BuildSetting{revision, dirty}, "devel-0123456789ab+dirty"},
		{"(devel)", nil, "devel"},
		{"", nil, "devel"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: tt.module}, Settings: tt.settings}
		if got := mainVersion(info); got != tt.want {
			t.Errorf("module version %q with %v: %q, want %q", tt.module, tt.settings, got, tt.want)
		}
	}
}
