// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"runtime/debug"
	"strings"
	"sync"
)

// The SDK's version, from the build information of the program.

// modulePath names the module of this package, as the build information of programs does.
const modulePath = "github.com/spanwire/spanwire/sdk/go"

// unversioned is the version of a program that was built from a checkout of the SDK.
const unversioned = "devel"

// Version returns the version of the SDK's module that the program was built with, without a
// leading v, such as "0.1.0". It returns "devel" when the program was built from a checkout, or
// carries no build information.
//
// The SDK sends it to the broker, which logs it. Call it to report the version elsewhere.
func Version() string { return builtVersion() }

var builtVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unversioned
	}
	return dependencyVersion(info)
})

// dependencyVersion reads the version of the SDK's module in a program that depends on it.
func dependencyVersion(info *debug.BuildInfo) string {
	for _, m := range info.Deps {
		if m.Path != modulePath {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "" && m.Version != "(devel)" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return unversioned
}
