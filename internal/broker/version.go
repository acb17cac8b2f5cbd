// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"runtime/debug"
	"strings"
	"sync"
)

// The broker's version, as the command `version`, the metrics and other replicas see it.

// unversioned is the version of a program that was built without a tag and without a commit.
const unversioned = "devel"

// shortRevision is the number of digits that identify a commit, as in a pseudo-version.
const shortRevision = 12

// Version returns the broker's version, without a leading v: the release that `go install` was
// given, or the version that the go command derives from the tag and the commit of a checkout.
func Version() string { return builtVersion() }

var builtVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unversioned
	}
	return mainVersion(info)
})

// mainVersion reads the version of the main module. It falls back to the commit, which old
// toolchains stamp without deriving a version from it.
func mainVersion(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	var revision, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= shortRevision:
			revision = "-" + s.Value[:shortRevision]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+dirty"
		}
	}
	return unversioned + revision + modified
}
