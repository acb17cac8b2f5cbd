// SPDX-License-Identifier: Apache-2.0

package sio

import "regexp"

// CompilePattern compiles a pattern of namespaces: a regular expression that must match the whole name, slash included.
func CompilePattern(pattern Namespace) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(string(pattern)); err != nil { // by itself first, so that it cannot close the group below
		return nil, err
	}
	return regexp.Compile(`\A(?:` + string(pattern) + `)\z`)
}
